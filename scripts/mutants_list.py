#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""
List the mutants of a C source: small changes, each a plausible mistake.

The source is read as text. A function's body is split into statements, which is enough of C's
grammar here; what the code looks like is given by the project's style. A mutant is named by what it
changes, not by where that stands: its file, its function, the kind of change, the statement before
and after. So the name stays the same while the code around it changes.

usage: mutants_list.py SOURCE...    prints the names
"""
import re
import sys

KEYWORDS = {'if', 'for', 'while', 'do', 'else', 'return', 'goto', 'break', 'continue', 'switch',
            'case', 'default'}
# What has no effect in the library as it is built, or reports to people.
SILENT = re.compile(r'^\(void\)|^(port_probe\d|test_point|port_report|lockdep|va_start|va_end|'
                    r'__builtin_prefetch|prefetch)\b')
DECLARATION = re.compile(r'^(static\s+|const\s+|PORT_THREAD_LOCAL\s+|extern\s+)*'
                         r'(struct\s+\w+|enum\s+\w+|[A-Za-z_]\w*)\s+[\s*]*'
                         r'(const\s+)?\(?\*?[A-Za-z_]\w*\s*($|[=,;\[()])')


def blank(text):
    """The text with comments, strings and preprocessor lines blanked out, at the same length."""
    out = list(text)

    def wipe(m):
        for i in range(m.start(), m.end()):
            if out[i] != '\n':
                out[i] = ' '
    for m in re.finditer(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', text, re.S):
        wipe(m)
    for m in re.finditer(r'^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', text, re.M):
        wipe(m)
    return ''.join(out)


def squeeze(text):
    return ' '.join(re.sub(r'/\*.*?\*/', ' ', text, flags=re.S).split())


def calls(code):
    """Does it more than assign to plain variables?"""
    return '(' in code or '++' in code or '--' in code


class Statement:
    """kind: expression, declaration, jump, if, while, do, for, switch, block, empty; cond: the span
    of its condition."""
    def __init__(self, kind, start):
        self.kind, self.start, self.end, self.cond, self.inner = kind, start, start, None, []


class Parser:
    def __init__(self, code):
        self.code = code

    def skip(self, at):
        while self.code[at].isspace():
            at += 1
        return at

    def close(self, at):
        """Behind the bracket that closes the one at @at."""
        depth = 0
        while True:
            c = self.code[at]
            depth += c in '([{'
            depth -= c in ')]}'
            at += 1
            if depth == 0:
                return at

    def block(self, at):
        """From behind the opening brace; the statements, and the place of the closing one."""
        out = []
        at = self.skip(at)
        while self.code[at] != '}':
            out.append(self.statement(at))
            at = self.skip(out[-1].end)
        return out, at

    def statement(self, at):
        code = self.code
        if code[at] == '{':
            s = Statement('block', at)
            s.inner, end = self.block(at + 1)
            s.end = end + 1
            return s
        if code[at] == ';':
            s = Statement('empty', at)
            s.end = at + 1
            return s
        label = re.compile(r'(case\b[^:;]*|default|[a-z_]\w*)\s*:(?!:)').match(code, at)
        if label and not code[at:label.end()].count('?'):
            s = Statement('label', at)
            s.end = label.end()
            return s
        word = re.compile(r'\w+').match(code, at)
        word = word.group() if word else ''
        if word in ('if', 'while', 'for', 'switch'):
            s = Statement(word, at)
            opening = code.index('(', at)
            closing = self.close(opening)
            s.cond = (opening + 1, closing - 1)
            body = self.statement(self.skip(closing))
            s.inner, s.end = [body], body.end
            after = self.skip(s.end)
            if word == 'if' and re.compile(r'else\b').match(code, after):
                other = self.statement(self.skip(after + 4))
                s.inner.append(other)
                s.end = other.end
            return s
        if word == 'do':
            s = Statement('do', at)
            body = self.statement(self.skip(at + 2))
            opening = code.index('(', body.end)
            closing = self.close(opening)
            s.cond, s.inner = (opening + 1, closing - 1), [body]
            s.end = code.index(';', closing) + 1
            return s
        end = at
        while code[end] != ';':
            end = self.close(end) if code[end] in '([{' else end + 1
        text = code[at:end]
        kind = 'expression'
        if word in ('return', 'break', 'continue', 'goto'):
            kind = 'jump'
        elif DECLARATION.match(text):
            kind = 'declaration'
        s = Statement(kind, at)
        s.end = end + 1
        return s


def functions(text, code):
    """(name, start of the body) of each function, by the project's style: braces of functions stand
    alone."""
    for m in re.finditer(r'^\{[ \t]*$', code, re.M):
        head = code[:m.start()].rstrip()
        start = max(head.rfind(';'), head.rfind('}'), head.rfind('\n\n'))
        head = head[start + 1:]
        names = [n for n in re.findall(r'(\w+)\s*\(', head)
                 if not n.startswith('__attribute') and n not in ('aligned', 'constructor')]
        if head.rstrip().endswith(')') and names:
            yield names[0], m.start()


class Mutants:
    def __init__(self, file, text):
        self.file, self.text, self.code, self.out, self.seen = file, text, blank(text), [], {}

    def add(self, function, kind, start, end, new, shown=None):
        """Replace the span; the name shows the statement @shown before and after."""
        old = self.text[start:end]
        if shown and shown != (start, end):
            a, b = shown
            before = squeeze(self.text[a:b])
            after = squeeze(self.text[a:start] + new + self.text[end:b])
        else:
            before, after = squeeze(old), squeeze(new)
        if before == after and kind != 'swap':
            return
        name = '%s %s() %s: %s => %s' % (self.file, function, kind, before, after or 'nothing')
        n = self.seen[name] = self.seen.get(name, 0) + 1
        if n > 1:
            name += ' #%d' % n
        self.out.append((name, self.text[:start] + new + self.text[end:]))

    # ---- what there is to change ----

    def operators(self, function, start, end, conditions):
        """Inside one statement, or one condition."""
        code = self.code
        shown = (start, end)
        part = code[start:end]
        for pattern, kind, new in (
                (r'\bload_acquire\(', 'order', 'load('),
                (r'\bstore_release\(', 'order', 'store('),
                (r'\bxchg\(', 'order', 'relaxed_xchg('),
                (r'\bcmpxchg\(', 'order', 'relaxed_cmpxchg('),
                (r'\bfetch_add\(', 'order', 'relaxed_fetch_add('),
                (r'__ATOMIC_(ACQUIRE|RELEASE|SEQ_CST|ACQ_REL)\b', 'order', '__ATOMIC_RELAXED'),
                (r'\bxchg\(', 'torn', 'torn_xchg('),
                (r'\bcmpxchg\(', 'torn', 'torn_cmpxchg('),
                (r'\bfetch_add\(', 'torn', 'torn_fetch_add('),
                (r'\bcount_add\(', 'torn', 'torn_count_add('),
                (r'(?<![\w<])<(?![<=])|(?<=[\w\s])<(?![<=])', 'bound', '<='),
                (r'<=', 'bound', '<'),
                (r'(?<![->])>(?![>=])', 'bound', '>='),
                (r'(?<!>)>=', 'bound', '>'),
                (r'\s[+-] 1\b(?![.\w])', 'bound', ''),
                (r'(?<=; \w < )(\w+|pipe\.\w+ \+ \w+)(?=;| &&)', 'bound', None),
                (r'(?<=return )true\b', 'result', 'false'),
                (r'(?<=return )false\b', 'result', 'true'),
                (r'(?<![\w!=<>)])!(?=[\w(*&])', 'negation', '')):
            if kind == 'negation' and conditions:
                continue
            for m in re.finditer(pattern, part):
                self.add(function, kind, start + m.start(), start + m.end(),
                         m.group() + ' - 1' if new is None else new, shown)
        # a = b = c: each left out
        names = [m for m in re.finditer(r'(?<![=!<>])[\w.>\[\]-]+ = (?!=)', part)]
        if not conditions and len(names) > 1 and re.match(r'([\w.>\[\]-]+ = ){2}', part):
            for m in names:
                self.add(function, 'chained', start + m.start(), start + m.end(), '', shown)
        for m in re.finditer(r'__atomic_(fetch_add|fetch_sub)\(([^;]*?), __ATOMIC_\w+\)', part):
            self.add(function, 'torn', start + m.start(), start + m.end(),
                     'torn_%s(%s)' % (m.group(1), self.text[start + m.start(2):start + m.end(2)]),
                     shown)
        for m in re.finditer(r'__atomic_compare_exchange_n\((.*?), (true|false), '
                             r'__ATOMIC_\w+,\s*__ATOMIC_\w+\)', part, re.S):
            self.add(function, 'torn', start + m.start(), start + m.end(),
                     'torn_compare_exchange(%s)' % self.text[start + m.start(1):start + m.end(1)],
                     shown)
        self.clauses(function, start, end, shown)

    def clauses(self, function, start, end, shown):
        """Leave out each operand of && and ||, at each depth."""
        code = self.code
        groups = [(start, end)]
        for at in range(start, end):
            if code[at] == '(':
                groups.append((at + 1, Parser(code).close(at) - 1))
        for a, b in groups:
            at, first, operands, operators = a, a, [], []

            def finish(upto):
                operands.append((first, upto))
                for operator in ('||', '&&'):
                    if operator == '||':
                        runs, run = [], [operands[0]]
                        for o, operand in zip(operators, operands[1:]):
                            if o == '||':
                                runs.append(run)
                                run = []
                            run.append(operand)
                        runs.append(run)
                        spans = [(r[0][0], r[-1][1]) for r in runs]
                        self.leave_out(function, spans, shown)
                    else:
                        for r in runs:
                            self.leave_out(function, r, shown)
                operands.clear()
                operators.clear()
            while at < b:
                c = code[at]
                if c in '([{':
                    at = Parser(code).close(at)
                    continue
                if code.startswith(('&&', '||'), at):
                    operands.append((first, at))
                    operators.append(code[at:at + 2])
                    at += 2
                    first = at
                    continue
                if c in '?:,;' or (c == '=' and code[at - 1] not in '=!<>' and code[at + 1] != '='):
                    if operands:
                        finish(at)
                    first = at + 1
                if re.compile(r'\breturn\b').match(code, at):
                    at += 6
                    first = at
                    continue
                at += 1
            if operands:
                finish(b)

    def leave_out(self, function, operands, shown):
        if len(operands) < 2:
            return
        for i, (a, b) in enumerate(operands):
            if i == 0:
                a, b = a + len(self.code[a:b]) - len(self.code[a:b].lstrip()), operands[1][0]
            else:
                a, b = operands[i - 1][1], len(self.code[:b].rstrip()) if b < len(self.code) else b
            self.add(function, 'clause', a, b, '', shown)

    def walk(self, function, statements):
        for s, after in zip(statements, statements[1:] + [None]):
            text = self.code[s.start:s.end]
            if s.kind == 'expression' and not SILENT.match(text):
                self.add(function, 'removed', s.start, s.end, ';')
                self.operators(function, s.start, s.end, False)
                other = self.code[after.start:after.end] if after else ''
                # Behind a return it would just be left out, which is another mutant.
                if after and after.kind in ('expression', 'if', 'while', 'for') and \
                   not SILENT.match(other) and \
                   not re.search(r'\breturn\b', other) and (calls(text) or calls(other)):
                    between = self.text[s.end:after.start]
                    self.add(function, 'swap', s.start, after.end,
                             self.text[after.start:after.end] + between + self.text[s.start:s.end])
            elif s.kind in ('declaration', 'jump'):
                self.operators(function, s.start, s.end, False)
                if text.startswith(('break', 'continue')) or text.strip() == 'return;':
                    self.add(function, 'removed', s.start, s.end, ';', None)
            elif s.cond:
                if after and after.kind == 'expression' and s.kind in ('if', 'while', 'for') and \
                   not SILENT.match(self.code[after.start:after.end]) and \
                   not re.search(r'\b(return|break|continue)\b', text):
                    self.add(function, 'swap', s.start, after.end,
                             self.text[after.start:after.end] + self.text[s.end:after.start] +
                             self.text[s.start:s.end])
                a, b = s.cond
                cond = self.text[a:b]
                shown = (s.start, b + 1)
                if s.kind == 'if':
                    self.add(function, 'condition', a, b, 'true', shown)
                    self.add(function, 'condition', a, b, 'false', shown)
                elif s.kind == 'while':
                    self.add(function, 'loop', s.start, b + 1,
                             'for (int once_ = 0; !once_++ && (%s);)' % cond, shown)
                    self.add(function, 'condition', a, b, 'false', shown)
                elif s.kind == 'do':
                    self.add(function, 'loop', a, b, 'false', (a, s.end))
                self.operators(function, a, b, True)
            self.walk(function, s.inner)

    def sequence(self):
        """Each instruction of the restartable sequence left out."""
        for m in re.finditer(r'"([a-z]+ [^"\\]*)(\\n\\t|\\n)"', self.text):
            if not m.group(1).startswith(('j%l', '.')):
                self.add('sequence', 'instruction', m.start(1), m.end(1), 'nop')

    def all(self):
        for name, at in functions(self.text, self.code):
            statements, _ = Parser(self.code).block(at + 1)
            self.walk(name, statements)
        if self.file.endswith('x86_64/append.h'):
            self.sequence()
        return self.out


def load_named(root):
    scope = {}
    with open(root + '/tests/mutants/named.py') as f:
        exec(f.read(), scope)
    return scope


def mutants(root, file):
    """[(name, text of the mutated source)]"""
    with open(root + '/' + file) as f:
        text = f.read()
    out = Mutants(file, text).all()
    for title, where, old, new in load_named(root)['PATCHES']:
        if where == file:
            if text.count(old) != 1:
                sys.exit('tests/mutants/named.py, "%s": what it changes is in %s %d times' %
                         (title, file, text.count(old)))
            out.append(('%s named: %s' % (file, title), text.replace(old, new)))
    return out


if __name__ == '__main__':
    for source in sys.argv[1:]:
        for mutant, _ in mutants('.', source):
            print(mutant)
