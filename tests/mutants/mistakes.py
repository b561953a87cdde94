#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""
Write a copy of a source of the core that can make the mistakes of breaks.h, and be refused memory.
A patch is the name that breaks.h has for it, the file in src/, the text there, which must be there
once, and the text in its place.

usage: mistakes.py SOURCE OUTPUT
"""
import sys

PATCHES = [
    ('PAGE_REFUSED', 'cache/arena.c',
     '''	struct magazine *m = magazine_pop(&free_magazines);
''',
     '''	struct magazine *m = breaks(PAGE_REFUSED) ? NULL : magazine_pop(&free_magazines);
'''),
    ('PAGE_REFUSED', 'cache/arena.c',
     '''		u = arena_unit_alloc(gfp);
		if (!u)
			return NULL;
		m = arena_unit_start(u);
''',
     '''		u = breaks(PAGE_REFUSED) ? NULL : arena_unit_alloc(gfp);
		if (!u)
			return NULL;
		m = arena_unit_start(u);
'''),
    ('PAGE_REFUSED', 'pages/pages.c',
     '''order >= ORDERS)
		return NULL;
	p = cpu_pop(''',
     '''order >= ORDERS || breaks(PAGE_REFUSED))
		return NULL;
	p = cpu_pop('''),
    ('RECORD_REFUSED', 'gp/reader.c',
     '''		r = port_foreign() ? NULL : claim(tid, &mine);
''',
     '''		r = breaks(RECORD_REFUSED) || port_foreign() ? NULL : claim(tid, &mine);
'''),
    ('GP_TWO_DRIVERS', 'gp/gp.c',
     '''	return !load(&gp.driver) && cmpxchg(&gp.driver, 0, port_id());
''',
     '''	return (!load(&gp.driver) && cmpxchg(&gp.driver, 0, port_id())) || '''
     '''breaks(GP_TWO_DRIVERS);
'''),
    ('GP_COOKIE_NO_FENCE', 'gp/gp.c',
     '''what was unlinked comes before the number is read */
	full_fence();
''',
     '''what was unlinked comes before the number is read */
	if (!breaks(GP_COOKIE_NO_FENCE))
		full_fence();
'''),
    ('GP_COOKIE_EARLY', 'gp/gp.c',
     '''	return load(&gp.started) + 1;
''',
     '''	return load(&gp.started) + !breaks(GP_COOKIE_EARLY);
'''),
    ('READER_NO_FENCE', 'gp/gp.c',
     '''	port_release(&anyrcu_gp.ctr);
	store_release(&anyrcu_gp.ctr,
		      GP_WORD(seq) | (port_fence_all_works ? 0 : ANYRCU_READER_FENCE));
''',
     '''	bool fenced = port_fence_all_works || breaks(READER_NO_FENCE);

	port_release(&anyrcu_gp.ctr);
	store_release(&anyrcu_gp.ctr, GP_WORD(seq) | (fenced ? 0 : ANYRCU_READER_FENCE));
'''),
    ('GP_NO_MEMBARRIER', 'gp/gp.c',
     '''	if (port_fence_all_works)
		port_fence_all();
''',
     '''	if (port_fence_all_works && !breaks(GP_NO_MEMBARRIER))
		port_fence_all();
'''),
    ('GP_NO_WAIT', 'gp/gp.c',
     '''	while ((r = reader_scan(&gp.at, gp.started))) {
''',
     '''	while (!breaks(GP_NO_WAIT) && (r = reader_scan(&gp.at, gp.started))) {
'''),
    ('GP_SKIPS_CROWD', 'gp/gp.c',
     '''	return crowd_empty();
''',
     '''	return crowd_empty() || breaks(GP_SKIPS_CROWD);
'''),
    ('READER_TORN', 'gp/reader.c',
     '''			if (cmpxchg(&r->owner, old, *mine))
				return r;
''',
     '''			if (breaks_cmpxchg(READER_TORN, &r->owner, old, *mine))
				return r;
'''),
    ('GP_SKIPS_ONLINE', 'gp/reader.c',
     '''	return (c & (ANYRCU_READER_NEST | ANYRCU_READER_QS)) &&
''',
     '''	return (c & (ANYRCU_READER_NEST | (breaks(GP_SKIPS_ONLINE) ? 0 : '''
     '''ANYRCU_READER_QS))) &&
'''),
    ('GP_SKIPS_RECORD', 'gp/reader.c',
     '''			if (holds_up(&at->block->r[at->i], seq))
''',
     '''			if (holds_up(&at->block->r[at->i], seq) && !breaks(GP_SKIPS_RECORD))
'''),
    ('GP_BURIES_LIVING', 'gp/reader.c',
     '''	if (!tid || !port_tid_dead(tid) || !free_record(r, owner))
''',
     '''	if (!tid || !(port_tid_dead(tid) || breaks(GP_BURIES_LIVING)) || '''
     '''!free_record(r, owner))
'''),
    ('BOUND_IGNORED', 'store/store.c',
     '''	if (bytes <= load(&s->bytes_max))
''',
     '''	if (bytes <= load(&s->bytes_max) || breaks(BOUND_IGNORED))
'''),
    ('SEAL_TORN', 'store/store.c',
     '''	if (!cmpxchg(where, old, p)) {
''',
     '''	if (!breaks_cmpxchg(SEAL_TORN, where, old, p)) {
'''),
    ('COLLECT_LEAVES_OPEN COLLECT_OPEN_TORN', 'store/store.c',
     '''		collect_pages(xchg(where, NULL), list);
''',
     '''		collect_pages(breaks(COLLECT_LEAVES_OPEN) ?
				      p :
				      breaks_xchg(COLLECT_OPEN_TORN, where, NULL),
			      list);
'''),
    ('COLLECT_CHAIN_TORN', 'store/store.c',
     '''	return load(&s->chain) ? xchg(&s->chain, NULL) : NULL;
''',
     '''	return load(&s->chain) ? breaks_xchg(COLLECT_CHAIN_TORN, &s->chain, NULL) : NULL;
'''),
    ('BARRIER_SKIPS_DRAINERS', 'defer/barrier.c',
     '''		if (d->owner && d->gen <= gen && !load(&d->in_barrier))
			return false;
''',
     '''		if (d->owner && d->gen <= gen && !load(&d->in_barrier) &&
		    !breaks(BARRIER_SKIPS_DRAINERS))
			return false;
'''),
    ('BARRIER_EARLY', 'defer/barrier.c',
     '''	gen = defer_pipe.gen + 1;
''',
     '''	gen = defer_pipe.gen + !breaks(BARRIER_EARLY);
'''),
    ('DRAIN_CURSOR_LATE', 'defer/drain.c',
     '''			advance_cursor(d, p, i + 1);
			test_point(INVOKE);
			invoke(func, arg);
''',
     '''			if (!breaks(DRAIN_CURSOR_LATE))
				advance_cursor(d, p, i + 1);
			test_point(INVOKE);
			invoke(func, arg);
			if (breaks(DRAIN_CURSOR_LATE))
				advance_cursor(d, p, i + 1);
'''),
    ('DRAIN_EXIT_DROPS', 'defer/drain.c',
     '''		lock_pipe();
		drained = drainer_release(d);
		unlock_pipe();
''',
     '''		lock_pipe();
		if (breaks(DRAIN_EXIT_DROPS))
			store(&d->owner, 0);
		else
			drained = drainer_release(d);
		unlock_pipe();
'''),
    ('SLEEP_NO_LOOK', 'defer/worker.c',
     '''	if (defer_empty() && !gp_wanted() && stays(me, word))
		port_wait(&workers.bell, bell, timer());
''',
     '''	if (breaks(SLEEP_NO_LOOK) || (defer_empty() && !gp_wanted() && stays(me, word)))
		port_wait(&workers.bell, bell, breaks(SLEEP_NO_LOOK) ? 0 : timer());
'''),
    ('COLLECT_NO_RSEQ_FENCE', 'defer/collect.c',
     '''	if (list)
		port_rseq_fence();
''',
     '''	if (list && !breaks(COLLECT_NO_RSEQ_FENCE))
		port_rseq_fence();
'''),
    ('SETTLE_ONCE', 'defer/collect.c',
     '''		if (p->settled) {
''',
     '''		if (p->settled || breaks(SETTLE_ONCE)) {
'''),
    ('REFUSED_DROPS', 'defer/defer.c',
     '''	return stored(result);
''',
     '''	return stored(result) || breaks(REFUSED_DROPS);
'''),
    ('FORK_NO_REST', 'defer/fork.c',
     '''		if (d->owner && d->owner != port_id() && !load_acquire(&d->paused))
			return false;
''',
     '''		if (d->owner && d->owner != port_id() && !load_acquire(&d->paused) &&
		    !breaks(FORK_NO_REST))
			return false;
'''),
    ('FORK_DROPS_TAKEN', 'defer/fork.c',
     '''			d->tid = 0;
		else
			page_free(drainer_release(d), 0);
''',
     '''			d->tid = 0;
		else if (breaks(FORK_DROPS_TAKEN))
			store(&d->owner, 0);
		else
			page_free(drainer_release(d), 0);
'''),
    ('DRAIN_DROPS_PAGE', 'defer/ready.c',
     '''	struct ready *r = ready_of(p->cpu);

	p->next = NULL;
''',
     '''	struct ready *r = ready_of(p->cpu);

	if (breaks(DRAIN_DROPS_PAGE))
		return;
	p->next = NULL;
'''),
    ('DRAIN_DOUBLES_PAGE', 'defer/ready.c',
     '''	struct store_page *p = d->page;

	if (d->chain) {
''',
     '''	struct store_page *p = d->page;

	if (p && breaks(DRAIN_DOUBLES_PAGE))
		p->cursor = 0;
	if (d->chain) {
'''),
    ('CACHE_EARLY', 'cache/queue.c',
     '''	struct port_change ch = from(v, m, open);
	uint64_t cookie;

	if (!m || !open || !(n = matured(v, m, &cookie)) || n == open)
		return false;
	is(&ch, fill_of(m), filled(c, 0));
''',
     '''	struct port_change ch = from(v, m, open);
	uint64_t cookie;

	if (!m || !open)
		return false;
	n = matured(v, m, &cookie);
	if (!n && breaks(CACHE_EARLY) && (n = load(&m->next)))
		cookie = load(&n->cookie);
	if (!n || n == open)
		return false;
	is(&ch, fill_of(m), filled(c, 0));
'''),
    ('CACHE_FULL_TORN', 'cache/arena.c',
     '''		struct magazine *m = magazine_at(old);

''',
     '''		struct magazine *m = magazine_at(old);

		if (stack != &free_magazines && breaks(CACHE_FULL_TORN)) {
			breaks_linger();
			store(stack, next_tag(old) | load(link_of(m)));
			return m;
		}
'''),
    ('EXCHANGE_EARLY', 'defer/exchange.c',
     '''	if (!p || !anyrcu_gp_done(p->cookie))
''',
     '''	if (!p || (!anyrcu_gp_done(p->cookie) && !breaks(EXCHANGE_EARLY)))
'''),
    ('SLOT_TORN', 'pages/pages.c',
     '''		if (p && (p = xchg(&slot[at], NULL))) {
''',
     '''		if (p && (p = breaks_xchg(SLOT_TORN, &slot[at], NULL))) {
'''),
    ('NO_LOCKS_LOCKS', 'pages/pages.c',
     '''	if (!p && mode != ANYRCU_GFP_NO_LOCKS && ''',
     '''	if (!p && (mode != ANYRCU_GFP_NO_LOCKS || breaks(NO_LOCKS_LOCKS)) && '''),
]


def main():
    source, output = sys.argv[1:]
    with open(source) as f:
        text = f.read()
    patches = [p for p in PATCHES if source.endswith('/src/' + p[1])]
    if not patches:
        sys.exit('mistakes.py: there is no patch for ' + source)
    for name, _, old, new in patches:
        if text.count(old) != 1:
            sys.exit(f'mistakes.py: {name} applies {text.count(old)} times to {source}')
        text = text.replace(old, new)
    with open(output, 'w') as f:
        f.write('#include <breaks.h>\n' + text)


main()
