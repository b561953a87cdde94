# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""
Mutants that survived the whole suite once, each of which a test must find now: some by the name
that scripts/mutants_list.py gives them, "..." standing for anything; the others as patches, (title,
file, old text, new text), as no single small change makes them.
"""
PATCHES = [
    ('the crowd is left before the nesting goes down', 'src/gp/crowd.c',
     '''	if (--crowd_nest == 0) {
		compiler_barrier();
		crowd_leave(xchg(&crowd_in, 0));
	}
''',
     '''	if (crowd_nest == 1)
		crowd_leave(xchg(&crowd_in, 0));
	compiler_barrier();
	crowd_nest--;
'''),
    ('an ending thread frees its record before it resets its own pointer', 'src/gp/reader.c',
     '''	anyrcu_self = &unregistered;
	compiler_barrier();
	free_record(self, owner);
''',
     '''	free_record(self, owner);
	compiler_barrier();
	anyrcu_self = &unregistered;
'''),
    ('a record that is freed keeps its generation', 'src/gp/reader.c',
     '''	return ((owner | NUMBER) + 1) | tid;
''',
     '''	return (owner & ~(uint64_t)NUMBER) | tid;
'''),
    ('an object goes into a page that was found before the chain was looked at',
     'src/domain/append.c',
     '''	if (likely(!load_acquire(&d->store.chain))) /* before the page: see append_lane() */
		result = store_append(load_acquire(&d->lane[my_lane()].open[0]), KEY_HEAD, &o);
''',
     '''	struct store_page *p = load_acquire(&d->lane[my_lane()].open[0]);
	if (likely(!load_acquire(&d->store.chain)))
		result = store_append(p, KEY_HEAD, &o);
'''),
]

NAMES = {
    'the child of a fork takes the workers of its parent for awake':
        'src/defer/worker_fork.c worker_fork_child() removed: store(&workers.state[i], GONE); => ;',
    'the scan takes the list of blocks before the fence in all threads':
        'src/gp/gp.c publish() swap: if (port_fence_all_works) port_fence_all(); '
        'reader_scan_begin... => reader_scan_begin(&gp.at); ...',
    'the child does not finish a half-begun grace period':
        'src/gp/gp.c gp_fork_child() removed: publish(gp.started); => ;',
    'a drainer that comes from rest does not look again whether a fork is under way':
        'src/defer/drain.c pause_for_fork() loop: load(&defer_pipe.pause)); => false);',
    'the bell is marked rung before the wake':
        'src/defer/worker.c defer_wake() swap: port_wake(&workers.bell); ...',
    'a ticking worker ignores wanted grace periods':
        'src/defer/collect.c defer_hurries() clause: ... => return full ;',
    'needed is raised by a load and a store': 'src/gp/gp.c gp_cookie() torn: ...',
    'a domain takes the chain without a grace period':
        'src/domain/worker.c collect() condition: if (chained) => if (false)',
    'the last place for a chain is not looked at':
        'src/defer/ready.c chain_acquire() bound: ... => ...i < CHAINS - 1...',
    'a chain is put behind the last place':
        'src/defer/ready.c chain_free() bound: ... => ...i <= CHAINS...',
}
