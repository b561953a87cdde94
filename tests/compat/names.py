#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Each name of each of liburcu's headers is provided by anyrcu's, or is listed as not provided in
the manual; and each is in the manual.

usage: names.py SOURCE_DIR
"""
import fnmatch
import pathlib
import re
import subprocess
import sys

source = pathlib.Path(sys.argv[1])
compat = source / 'include/anyrcu/compat'
cc = ['cc', '-std=gnu11', '-w', '-D_GNU_SOURCE', '-E', '-dD']


def preprocess(text, *args):
    return subprocess.run([*cc, *args, '-x', 'c', '-'], input=text, text=True, check=True,
                          capture_output=True).stdout


def installed():
    """Liburcu's headers by the name that a program includes them by."""
    place = subprocess.run(['cc', '-print-multiarch'], text=True, capture_output=True,
                           check=True).stdout.strip()
    for root in (pathlib.Path('/usr/include') / place, pathlib.Path('/usr/include')):
        if (root / 'urcu.h').exists():
            return {str(p.relative_to(root)): p for pattern in ('urcu*.h', 'urcu/**/*.h')
                    for p in root.glob(pattern)}
    sys.exit(77)


def names(path):
    """What a header defines or declares by itself, from its text."""
    text = re.sub(r'/\*.*?\*/|//[^\n]*', ' ', path.read_text(), flags=re.S).replace('\\\n', ' ')
    found = set(re.findall(r'^\s*#\s*define\s+(\w+)', text, re.M))
    text = re.sub(r'^\s*#.*$|extern "C" \{', '', text, flags=re.M)
    for constants in re.findall(r'\benum\s*\w*\s*\{([^}]*)\}', text):
        found |= set(re.findall(r'(\w+)\s*(?:=[^,]*)?(?:,|$)', constants.strip()))
    found |= set(re.findall(r'\b(?:struct|union|enum)\s+(\w+)\s*\{', text))
    while re.search(r'\{[^{}]*\}', text):
        text = re.sub(r'\{[^{}]*\}', ';', text)
    text = re.sub(r'__(?:attribute|extension|asm|volatile)__\s*(?:\(\(.*?\)\))?', '', text)
    found |= set(re.findall(r'^(?:static|extern|void|int|struct|bool|pthread_t|enum)?'
                            r'[\w\s*]*?\b(\w+)\s*\(', text, re.M))
    found |= set(re.findall(r'\btypedef [\w\s*]*?(\w+)\s*;', text))
    found |= set(re.findall(r'\bextern [\w\s*]*?(\w+)\s*;', text))
    guard = re.compile(r'_(?:URCU|CDS|KCOMPAT|STATIC)\w*_H$')
    words = {'defined', 'int', 'union', 'void'} | {'queue_call_rcu'}  # the last one a parameter
    if path.name != 'tls-compat.h':
        words.add('DECLARE_URCU_TLS')  # declares others
    return {n for n in found if not guard.match(n) and n not in words}


def manual():
    """The names that the manual writes as code, as patterns, and those of its section on what is
    not provided."""
    text = (source / 'docs/liburcu.md').read_text()
    gone = re.search(r'^## Not provided$(.*?)(?=^## |\Z)', text, re.M | re.S).group(1)
    gone = '\n'.join(re.findall(r'^\|([^|]*)\|', gone, re.M))
    return [set(re.findall(r'`([\w*/.-]+)(?:\(\))?`', t)) for t in (text, gone)]


def matches(name, patterns):
    return name in patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns if '*' in p)


headers = installed()
defined = {n for p in compat.rglob('*.h')
           for n in re.findall(r'^\s*#\s*define\s+(\w+)', p.read_text(), re.M)}
written, gone = manual()
bad = []
count = 0
for header, path in sorted(headers.items()):
    if not matches(header, written):
        bad.append(f'{header} is not in the manual')
    if not (compat / header).exists():
        if not matches(header, gone):
            bad.append(f'{header} is not provided, and the manual does not say so')
        continue
    before = '#define RCU_MEMBARRIER\n' if 'map/urcu.h' in header else ''
    ours = preprocess(before + f'#include <{header}>\n#define URCU_API_MAP\n'
                      '#include <urcu.h>\n#include <urcu-bp.h>\n#include <urcu-qsbr.h>\n'
                      '#include <urcu/urcu-mb.h>\n#include <urcu/urcu-signal.h>\n',
                      f'-I{compat}', f'-I{source}/include')
    have = set(re.findall(r'\w+', ours)) | defined
    for name in sorted(names(path)):
        count += 1
        if not matches(name, written):
            bad.append(f'{name} of {header} is not in the manual')
        elif name not in have and not matches(name, gone):
            bad.append(f'{name} of {header} is not provided, and the manual does not say so')
        elif name in have and name in gone:
            bad.append(f'{name} of {header} is provided, and the manual says that it is not')
for line in bad:
    print(line)
if count < 500:
    sys.exit(f'found only {count} names: the check is blind')
sys.exit(bool(bad))
