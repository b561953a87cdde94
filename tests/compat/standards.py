#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""The headers of liburcu's names compile without a warning under each standard of C and C++, with
gcc and clang.

Each header alone; each before all others; all together in both orders, with each choice of macros;
and the use of them, in uses.c. That finds the headers that hide each other by a guard of the same
name, too.
usage: standards.py SOURCE_DIR
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

source = pathlib.Path(sys.argv[1])
compat = source / 'include/anyrcu/compat'
uses = source / 'tests/compat/uses.c'
# gnu89 has neither // nor variadic macros by its own standard, so it is not pedantic.
c = [['-std=gnu89'], ['-std=c99', '-pedantic'], ['-std=c11', '-pedantic'],
     ['-std=c2x', '-pedantic']]
cxx = [[f'-std={std}', '-pedantic'] for std in ('c++11', 'c++14', 'c++17', 'c++20', 'c++2b')]
languages = [(compilers, flags)
             for compilers, all_flags in ((('gcc', 'clang'), c), (('g++', 'clang++'), cxx))
             for flags in all_flags]
macros = [[], ['-D_LGPL_SOURCE'], ['-DURCU_NO_COMPAT_IDENTIFIERS'],
          ['-D_LGPL_SOURCE', '-DURCU_NO_COMPAT_IDENTIFIERS']]
# A header that compiles alone with these does with all: what it includes is the same,
# and together they are compiled with all.
alone = {('gcc', '-std=gnu89'), ('gcc', '-std=c99'), ('clang', '-std=c2x'), ('g++', '-std=c++11'),
         ('g++', '-std=c++20'), ('clang++', '-std=c++2b')}
# Private parts, which others bring.
private = {'urcu/anyrcu/flavor.h', 'urcu/anyrcu/map.h', 'urcu/anyrcu/urcu.h', 'urcu/map/clear.h'}


def headers():
    return sorted(str(h.relative_to(compat)) for h in compat.rglob('*.h')
                  if str(h.relative_to(compat)) not in private)


def include(names):
    # The map of the plain names is for the flavour that a macro names.
    return ''.join(('#define RCU_MEMBARRIER\n' if n == 'urcu/map/urcu.h' else '') +
                   f'#include <{n}>\n' for n in names)


def compile(job):
    compiler, flags, text = job
    command = [compiler, '-x', 'c++' if '++' in compiler else 'c', *flags, '-Wall', '-Wextra',
               '-Werror', '-fsyntax-only', '-pthread',
               f'-I{compat}', f'-I{source}/include', '-']
    done = subprocess.run(command, input=text + '\nextern int anyrcu_test;\n', text=True,
                          capture_output=True)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines()
                      if re.search('error|warning', line)), done.stderr)
        return f'{compiler} {" ".join(flags)}: {first}'
    return None


def jobs(names):
    orders = [include(names), include(reversed(names))]
    for compilers, flags in languages:
        for compiler in compilers:
            if not shutil.which(compiler):
                continue
            if (compiler, flags[0]) in alone:
                for name in names:
                    yield compiler, flags, include([name])
            for order, macro in zip(orders * 2, macros):
                yield compiler, flags + macro, order
            for macro in macros[0], macros[-1]:
                yield compiler, flags + macro, uses.read_text()
    for compiler, flags in (('gcc', c[0]), ('g++', cxx[3])):
        for name in names if shutil.which(compiler) else []:
            yield compiler, flags, include([name, *names])


# What is looked for can be seen.
if not compile(('gcc', ['-std=c99', '-pedantic'], 'int f(void) { return ({ 1; }); }')):
    sys.exit('a warning is not seen')
count, bad = 0, []
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for problem in pool.map(compile, jobs(headers())):
        count += 1
        bad += [problem] if problem else []
for line in bad[:20]:
    print(line)
print(f'{count} compiled, {len(bad)} failed')
sys.exit(bool(bad))
