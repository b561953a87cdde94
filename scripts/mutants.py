#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""
Build each mutant of the core, run the tests that could find it, and print how many they found.

A mutant is compiled in up to three forms: for the library; for the unit tests on the mock platform,
or, if it is of src/port/posix, for those of that platform; and for the explorer, which has its own
platform and memory (tests/explore). Only the changed file is compiled. Where a form comes out as
the same machine code as without the change, that form's tests are left out; a mutant whose forms
are all the same is equivalent. Tests run from the shortest to the longest, and the first failure
ends them. Results are kept in BUILD/mutants and used again while the file stays the same.

docs/design/mutants.md argues why each survivor is equivalent, or says what else covers it. An entry
that matches no mutant, or one that is found, is an error; so is a survivor without an entry.

usage: mutants.py BUILD [--sample N [--skip N]] [--named] [--only TEXT] [--quick] [--again]
                  [--jobs N]
       mutants.py BUILD ... --list
    BUILD        a meson build directory in which all is built
    --sample N   N mutants, always the same ones
    --skip N     not the first N of those that --sample takes, but the ones that come after them
    --named      those of tests/mutants/named.py, and no others but a sample
    --only TEXT  those whose name has TEXT in it
    --quick      without the programs that use the library; a later run without --quick runs the
                 programs only, for those that are open
    --again      run survivors again, with all tests
    --jobs N     N mutants at once; 2 if not given
    --list       names and last results, without running anything
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutants_list

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROCESS = 'src/port/posix/process.c' # what the explorer has of the platform, too


def sources(*directories):
    return sorted(d + '/' + f for d in directories for f in os.listdir(ROOT + '/' + d)
                  if f.endswith('.c'))


CORE = sources('src/pages', 'src/gp', 'src/store', 'src/defer', 'src/domain')
POSIX = sources('src/port/posix')
HEADERS = ['src/store/store.h', 'src/defer/defer.h', 'src/defer/pipe.h',
           'src/port/posix/port/x86_64/append.h',
           'include/anyrcu/inline/reader.h']
# Linked with them, and not mutated.
OTHERS = sources('src/cache', 'src/context', 'src/data', 'src/lockdep')
INIT = sources('src/init')
UNIT = ['tests/unit.c'] + ['tests/unit_%s.c' % name for name in
                           ('barrier', 'calls', 'domain', 'domain_life', 'domain_threads', 'duties',
                            'exchange', 'exchange_back', 'gp', 'pages', 'pipe', 'sleep', 'worker')]
PLATFORM = ['tests/test_platform%s.c' % name for name in
            ('', '_refused', '_tasks', '_waits', '_where')]
SCENE_FILES = ['tests/explore/%s.c' % name for name in
               ('main', 'objects', 'readers', 'workers', 'forks', 'domains', 'windows',
                'windows_store', 'windows_tasks')]
EXPLORE = ['tests/explore/sim.c', 'tests/explore/memory.c', 'tests/explore/port.c'] + SCENE_FILES

CC = ['gcc', '-std=gnu11', '-w', '-pthread', '-D_FILE_OFFSET_BITS=64']
FORMS = {
    'library': ['-O2', '-fPIC', '-fvisibility=hidden'],
    'unit': ['-O1', '-DPORT_RSEQ=0'],
    'explore': ['-O1', '-DPORT_RSEQ=0', '-fsanitize=thread', '--param',
                'tsan-instrument-func-entry-exit=0', '-DEXPLORE',
                '-U__SANITIZE_THREAD__'],
    'platform': ['-O2', '-fPIC'],
}
# The programs that use the library: name, arguments, environment. Shortest first.
PROGRAMS = [
    ('test_defer', [], {}), ('test_domain', [], {}), ('test_config', [], {}),
    ('test_debug', [], {}), ('test_system', [], {}),
    ('test_defer', [], {'ANYRCU_RSEQ': '0'}), ('stress', [], {}), ('test_life', [], {}),
    ('test_rcu', [], {}), ('test_page', [], {}), ('test_reclaim', [], {}),
    ('test_bytes', [], {}), ('test_exchange', [], {}), ('test_cache', [], {}),
    ('stress', [], {'ANYRCU_MEMBARRIER': '0'}), ('test_rcu', [], {'ANYRCU_MEMBARRIER': '0'}),
    ('test_life', [], {'ANYRCU_RSEQ': '0'}), ('test_domain', [], {'ANYRCU_MEMBARRIER': '0'}),
    ('test_fork', [], {}),
]
# What is tried first for a file.
NEAR = {'src/defer/bytes': 'test_bytes', 'src/defer/exchange': 'test_exchange',
        'src/gp/': 'test_rcu', 'src/pages/': 'test_page', 'src/domain/': 'test_domain',
        'src/port/posix/report': 'test_debug', 'src/port/posix/thread': 'test_fork',
        'src/port/posix/process': 'test_fork', 'src/defer/fork': 'test_fork',
        'src/domain/fork': 'test_fork', 'include/': 'test_rcu'}

# The scenes that a file's mutants could be found by.
SCENES = {
    'src/domain/': ['--only', 'window', 'domain'],
    'src/store/': ['--only', 'window', 'deferr', 'chain', 'more', 'domain', 'barriers', 'fork'],
    'src/pages/': ['--only', 'window', 'pages', 'chains', 'deferr', 'domain_chain', 'polled'],
    'src/gp/': ['--only', 'window', 'sync', 'online', 'crowd', 'new', 'records', 'threads', 'dead',
                'polled', 'fork_beside_sync', 'fork_in_handler'],
    'include/': ['--only', 'window', 'sync', 'online', 'crowd', 'threads', 'dead'],
    'src/defer/worker': ['--only', 'window', 'worker', 'polled', 'callbacks', 'fork', 'two_forks',
                         'barriers'],
    'src/defer/': ['--only', 'window', 'deferr', 'chain', 'more', 'callbacks', 'barriers', 'fork',
                   'two_forks'],
}


def scenes_for(file):
    return next((s for prefix, s in SCENES.items() if file.startswith(prefix)), [])


base = None # directory of what is built without a change
lock = threading.Lock()


def run(command, limit, env=None, cwd=None):
    """Exit status, or None when the limit is over; nothing that it started stays."""
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL,
                         env=dict(os.environ, **(env or {})), cwd=cwd, start_new_session=True)
    try:
        return p.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_session(p)


def end_session(p):
    """The test programs put each case into a process group of its own, all in the session."""
    if p.poll() is None:
        pids = [int(d) for d in os.listdir('/proc') if d.isdigit()]
        for pid in pids:
            try:
                if os.getsid(pid) == p.pid:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        p.wait()


def compile_one(form, source, out, include=None, text=None):
    """
    @text in place of what the source has; @include: a directory whose headers come first. The
    compiler reads both from its standard input, as objects have the name of what was compiled.
    """
    if text is None:
        with open(ROOT + '/' + source) as f:
            text = f.read()
    command = CC + FORMS[form] + ['-include', ROOT + '/tests/mutants/ops.h']
    if include:
        command += ['-I' + include]
    if form == 'unit':
        command += ['-I' + ROOT + '/src/port/mock']
    command += ['-I' + ROOT + '/include', '-I' + ROOT + '/src', '-I' + ROOT + '/src/port/posix',
                '-I' + ROOT + '/tests/explore', '-I' + ROOT + '/tests']
    if form == 'explore' and (source in INIT or source in OTHERS or
                              source.startswith('tests/') and source not in SCENE_FILES):
        command = [a for a in command if a != '-fsanitize=thread']
    if form == 'explore' and source == PROCESS:
        command += ['-include', ROOT + '/tests/explore/process.h']
    if form == 'explore' and source == 'src/init/init.c':
        command += ['-include', ROOT + '/tests/explore/init.h']
    command += ['-c', '-x', 'c', '-o', out, '-']
    p = subprocess.run(command, input=text, text=True, capture_output=True,
                       cwd=os.path.dirname(out))
    if p.returncode and os.environ.get('MUTANTS_ERRORS'):
        print(p.stderr, file=sys.stderr)
    return p.returncode == 0


def sources_of(form):
    if form == 'library':
        return CORE + OTHERS + POSIX + INIT
    if form == 'unit':
        return CORE + OTHERS + ['src/port/mock/checker.c', 'src/port/mock/port.c'] + UNIT
    if form == 'platform':
        return POSIX + PLATFORM
    return (CORE + OTHERS + INIT + EXPLORE + ['src/port/mock/checker.c', PROCESS]
            if os.path.exists(ROOT + '/tests/explore/sim.c') else [])


def object_of(directory, form, source):
    return '%s/%s-%s.o' % (directory, form, source.replace('/', '_'))


def link(form, objects, out):
    if form == 'library':
        out = out + '/libanyrcu.so.0'
        more = ['-shared', '-Wl,--version-script=' + ROOT + '/src/libanyrcu.map', '-Wl,-z,nodelete',
                '-Wl,-soname,libanyrcu.so.0']
    else:
        out = out + '/' + form
        more = {'unit': ['-lcmocka'], 'platform': ['-lcmocka', '-Wl,--hash-style=sysv']}
        more = more.get(form, [])
    return subprocess.run(CC + objects + ['-o', out] + more, capture_output=True).returncode == 0


def build_base(directory):
    os.makedirs(directory, exist_ok=True)
    jobs = [(form, source) for form in FORMS for source in sources_of(form)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda j: compile_one(j[0], j[1], object_of(directory, *j)), jobs))
    bad = [j for j, ok in zip(jobs, built) if not ok]
    bad += [form for form in FORMS if sources_of(form) and
            not link(form, [object_of(directory, form, s) for s in sources_of(form)], directory)]
    if bad:
        sys.exit('the sources as they are do not build: %s' % bad)


def code_of(path):
    with open(path, 'rb') as f:
        return f.read()


def programs_for(file):
    near = [p for prefix, p in NEAR.items() if file.startswith(prefix)]
    return sorted(PROGRAMS, key=lambda p: p[0] not in near or p[2] != {})


class Times:
    """What a test takes as things are; the limit follows from it, so that a busy machine is no
    failure."""
    def __init__(self):
        self.taken = {}

    def limit(self, key):
        return 20 + 6 * self.taken.get(key, 10)


times = Times()


def test(name, file, text, is_open):
    """(verdict, what found it); @is_open: no test but the programs is left to find it"""
    directory = '%s/work-%s' % (base, hashlib.sha1(name.encode()).hexdigest()[:12])
    os.makedirs(directory, exist_ok=True)
    try:
        include = None
        if file.endswith('.h'):
            include = directory + '/include'
            inside = include + '/' + file.replace('src/port/posix/', 'src/').split('/', 1)[1]
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            with open(inside, 'w') as f:
                f.write(text)
        different = {}
        for form in FORMS:
            if quick and form == 'library':
                continue
            changed = []
            for source in sources_of(form):
                if source != file and not (include and (
                        source in CORE or source in UNIT + SCENE_FILES)):
                    continue
                out = object_of(directory, form, source)
                if not compile_one(form, source, out, include, None if include else text):
                    return 'invalid', ''
                if code_of(out) != code_of(object_of(base, form, source)):
                    changed.append(source)
            if changed:
                different[form] = changed
        if not different:
            return 'same', ''
        for form in ('unit', 'platform', 'explore', 'library'):
            if form not in different:
                continue
            objects = [object_of(directory if s in different[form] else base, form, s)
                       for s in sources_of(form)]
            if not link(form, objects, directory):
                return 'invalid', ''
            by = None
            if form in ('unit', 'platform') and not is_open:
                by = fails(form, [directory + '/' + form])
            if form == 'explore' and not is_open:
                by = fails('explore', [directory + '/explore'] + scenes_for(file))
            if form == 'library' and not quick:
                by = test_library(directory, file)
            if by:
                return 'found', by
        if quick:
            return 'open', ''
        return ('survived' if 'library' in different else 'unseen'), ''
    finally:
        if not os.environ.get('MUTANTS_KEEP'):
            shutil.rmtree(directory, ignore_errors=True)


def fails(test, command, title=None, env=None, cwd=None):
    """What found the mutant, or None"""
    status = run(command, times.limit(test), env, cwd)
    if status == 0:
        return None
    return (title or test) + (' (did not end)' if status is None else '')


def test_library(directory, file):
    programs = programs_for(file)
    # Most of them sleep most of the time.
    for group in (programs[:2], programs[2:6], programs[6:10], programs[10:]):
        with concurrent.futures.ThreadPoolExecutor(len(group)) as pool:
            def one(p):
                return fails(p[0], [build + '/tests/' + p[0]] + p[1],
                             ' '.join([p[0]] + ['%s=%s' % e for e in p[2].items()]),
                             dict(p[2], LD_LIBRARY_PATH=directory), directory)
            for by in pool.map(one, group):
                if by:
                    return by
    return None


def measure():
    for form in ('unit', 'platform', 'explore'):
        if sources_of(form):
            start = time.time()
            if run([base + '/' + form], 600):
                sys.exit(form + ' fails without a change')
            times.taken[form] = time.time() - start
    for p in [] if quick else PROGRAMS:
        start = time.time()
        if run([build + '/tests/' + p[0]] + p[1], 600, dict(p[2], LD_LIBRARY_PATH=base)) != 0:
            sys.exit('%s %s fails without a change' % (p[0], p[2]))
        times.taken[p[0]] = max(times.taken.get(p[0], 0), time.time() - start)


# ---- the arguments ----

def arguments():
    """[(pattern as it is written, regular expression)]"""
    out = []
    path = ROOT + '/docs/design/mutants.md'
    if not os.path.exists(path):
        return out
    with open(path) as f:
        for m in re.finditer(r'^- `([^`]+)`', f.read(), re.M):
            pattern = ' '.join(m.group(1).split())
            out.append((pattern, matcher(pattern)))
    return out


# ---- all of it ----

def matcher(pattern):
    return re.compile('.*'.join(re.escape(p) for p in pattern.split('...')) + '$')


def named(every):
    """Those of tests/mutants/named.py; one that is not there is an error."""
    out, errors = [], []
    for title, pattern in mutants_list.load_named(ROOT)['NAMES'].items():
        found = [m for m in every if matcher(pattern).match(m[0])]
        if not found:
            errors.append('tests/mutants/named.py: no mutant is "%s"' % title)
        out += found
    if errors:
        sys.exit('\n'.join(errors))
    return out + [m for m in every if ' named: ' in m[0]]


def digest(text):
    return hashlib.sha1(text.encode()).hexdigest()[:16]


def main():
    global base, build, quick
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--sample', type=int)
    parser.add_argument('--skip', type=int, default=0)
    parser.add_argument('--only', action='append', default=[])
    parser.add_argument('--again', action='store_true')
    parser.add_argument('--named', action='store_true')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--jobs', type=int, default=2)
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    quick = args.quick
    base = build + '/mutants'
    os.makedirs(base, exist_ok=True)

    every = [(name, file, text) for file in CORE + HEADERS + POSIX
             for name, text in mutants_list.mutants(ROOT, file)]
    argued = arguments()
    stale = [p for p, r in argued if not any(r.match(name) for name, _, _ in every)]
    chosen = [m for m in every if all(o in m[0] for o in args.only)]
    if args.skip and not args.sample:
        parser.error('--skip is for --sample')
    if args.sample:
        chosen = sorted(chosen, key=lambda m: digest(m[0]))[args.skip:args.skip + args.sample]
    if args.named:
        chosen = named(every) + [m for m in chosen if args.sample]
        chosen = list({m[0]: m for m in chosen}.values())

    cache_path = base + '/results.json'
    results = {}
    if os.path.exists(cache_path):
        with open(cache_path) as f:
            results = json.load(f)
    if args.list:
        for name, _, text in chosen:
            r = results.get(name)
            print('%-8s %-14s %s' %
                  ((r[1], r[2], name) if r and r[0] == digest(text) else ('', '', name)))
        return 0

    build_base(base)
    todo = []
    for name, file, text in chosen:
        r = results.get(name)
        if (not r or r[0] != digest(text) or
                (args.again and r[1] in ('survived', 'unseen', 'open')) or
                (r[1] == 'open' and not quick)):
            is_open = not args.again and r and r[0] == digest(text) and r[1] == 'open'
            todo.append((name, file, text, is_open))
    if todo:
        measure()
    done = 0
    begun = time.time()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for future in concurrent.futures.as_completed({pool.submit(timed, m): m for m in todo}):
            name, text, verdict, by, seconds = future.result()
            results[name] = [digest(text), verdict, by, round(seconds, 1)]
            done += 1
            if verdict in ('survived', 'unseen', 'open') or done % 50 == 0:
                print('%d/%d, %d s: %s %s %s' % (
                    done, len(todo), time.time() - begun, verdict, by, name), flush=True)
            save(cache_path, results)
    return report(chosen, results, argued, stale)


def timed(m):
    name, file, text, is_open = m
    start = time.time()
    verdict, by = test(name, file, text, is_open)
    return name, text, verdict, by, time.time() - start


def save(path, results):
    with open(path + '.new', 'w') as f:
        json.dump(results, f, indent=0)
    os.replace(path + '.new', path)


def report(chosen, results, argued, stale):
    rows = {}
    open_ones, wrong = [], ['no such mutant: ' + p for p in stale]
    for name, file, _ in chosen:
        verdict = results[name][1]
        if verdict == 'found':
            wrong += ['found by %s, but argued: %s' % (results[name][2], p)
                      for p, r in argued if r.match(name)]
        if verdict in ('survived', 'unseen', 'open') and any(r.match(name) for _, r in argued):
            verdict = 'argued'
        if verdict in ('survived', 'unseen', 'open'):
            open_ones.append((verdict, name))
        rows.setdefault(file, {}).setdefault(verdict, 0)
        rows[file][verdict] += 1
    kinds = ['found', 'survived', 'unseen', 'argued', 'same', 'invalid', 'open']
    print('%-34s' % 'file' + ''.join('%10s' % k for k in kinds))
    total = dict.fromkeys(kinds, 0)
    for file, counts in rows.items():
        print('%-34s' % file + ''.join('%10d' % counts.get(k, 0) for k in kinds))
        for k in kinds:
            total[k] += counts.get(k, 0)
    print('%-34s' % 'all' + ''.join('%10d' % total[k] for k in kinds))
    for verdict, name in sorted(open_ones):
        print('%s: %s' % (verdict, name))
    for w in wrong:
        print(w)
    real = total['found'] + total['survived'] + total['unseen'] + total['open']
    print('mutants: %d of %d that are not equivalent found, %.1f %%' %
          (total['found'], real, 100 * total['found'] / max(real, 1)))
    return 1 if wrong or open_ones else 0


if __name__ == '__main__':
    sys.exit(main())
