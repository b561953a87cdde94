#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""anyrcu lockstat --live on a terminal, of which this file plays the screen.

usage: lockstat-live.py ANYRCU CONTENDED
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

anyrcu, contended = sys.argv[1:3]
LIMIT = 120 # seconds, in which something that does not come is given up


class Screen:
    """As much of a terminal as is used here."""

    def __init__(self, rows, columns):
        self.lines = [[" "] * columns for _ in range(rows)]
        self.resize(rows, columns)
        self.row = self.column = 0
        self.saved = (0, 0)
        self.scrolled = []
        self.pending = ""

    def resize(self, rows, columns):
        old = ["".join(line) for line in self.lines]
        self.rows, self.columns = rows, columns
        self.lines = [list((old[i] if i < len(old) else "").ljust(columns)[:columns])
                      for i in range(rows)]
        self.region = (0, rows - 1)

    def down(self):
        if self.row == self.region[1]:
            self.scrolled.append("".join(self.lines.pop(self.region[0])).rstrip())
            self.lines.insert(self.region[1], [" "] * self.columns)
        elif self.row < self.rows - 1:
            self.row += 1

    def put(self, text):
        text = self.pending + text
        self.pending = ""
        at = 0
        while at < len(text):
            c = text[at]
            if c != "\033":
                at += 1
                if c == "\r":
                    self.column = 0
                elif c == "\n":
                    self.down()
                elif self.column < self.columns:
                    self.lines[self.row][self.column] = c
                    self.column += 1
                continue
            found = re.compile(r"\033(?:([78D])|\[([0-9;]*)([A-Za-z]))").match(text, at)
            if not found:
                assert len(text) - at < 20, "not known here: %r" % text[at:at + 20]
                self.pending = text[at:]
                return
            at = found.end()
            self.escape(found[1] or found[3], [int(n or 0) for n in (found[2] or "").split(";")])

    def escape(self, what, numbers):
        if what == "7":
            self.saved = self.row, self.column
        elif what == "8":
            self.row, self.column = self.saved
        elif what == "D":
            self.down()
        elif what == "A":
            self.row = max(0, self.row - numbers[0])
        elif what == "H":
            self.row, self.column = max(numbers[0], 1) - 1, max(numbers[1], 1) - 1
            assert self.row < self.rows, "below the screen"
        elif what == "K":
            self.lines[self.row][self.column:] = [" "] * (self.columns - self.column)
        elif what == "J":
            self.escape("K", [])
            for row in range(self.row + 1, self.rows):
                self.lines[row] = [" "] * self.columns
        elif what == "r":
            self.region = (numbers[0] or 1) - 1, (numbers[1] if len(numbers) > 1 else self.rows) - 1
            self.row = self.column = 0
        else:
            assert what == "m", "not known here: %s %s" % (what, numbers)

    def text(self):
        return ["".join(line).rstrip() for line in self.lines]


class Session:
    """The tool on such a terminal."""

    def __init__(self, rows, columns, arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(anyrcu, [anyrcu, "lockstat"] + arguments)
        self.screen = Screen(rows, columns)
        self.written = ""

    def read(self):
        """False: nobody has the terminal any more."""
        if not select.select([self.fd], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.fd, 65536).decode()
        except OSError:
            return False
        self.written += data
        self.screen.put(data)
        return data != ""

    def wait_for(self, what, condition):
        end = time.monotonic() + LIMIT
        while not condition(self.screen.text()):
            assert self.read() and time.monotonic() < end, "%s does not come:\n%s" % (
                what, "\n".join(self.screen.text()))

    def ends(self):
        while self.read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)


def figures(lines, lock):
    """The numbers in the line of a lock, which is there once."""
    found = [line for line in lines if line.startswith(lock + " {")]
    assert len(found) <= 1, lines
    return re.split(r" +", found[0].split("}")[1].strip()) if found else None


def is_title(line):
    return line.startswith("anyrcu lockstat, ")


def counted(rounds):
    return lambda lines: (figures(lines, "wanted") or [])[:2] == [str(5 * rounds), str(4 * rounds)]


def in_place(lines, height):
    """The table is the last lines; returns those above."""
    titles = [i for i, line in enumerate(lines) if is_title(line)]
    assert titles == [len(lines) - height], lines
    return lines[:titles[0]]


def main():
    s = Session(24, 80, ["--live", "--", contended, "rounds"])
    s.wait_for("the first round", counted(1))
    above = in_place(s.screen.text(), 11)
    assert "round 1 is over" in above, above
    wait = figures(s.screen.text(), "wanted")[2]
    assert re.fullmatch(r"[0-9.]+(ns|us|ms|s)", wait) and not wait.startswith("0"), wait

    # Every second anew, and what the program prints goes on above it.
    for i in range(2, 21):
        os.write(s.fd, b"again\n")
        s.wait_for("round %d" % i, lambda lines: "round %d is over" % i in lines)
        if i < 5:
            s.wait_for("the counts of round %d" % i, counted(i))
    s.wait_for("twenty rounds", counted(20))
    above = in_place(s.screen.text(), 11)
    everything = s.screen.scrolled + above
    for i in range(1, 21):
        assert everything.count("round %d is over" % i) == 1, everything
    assert not any("lockstat" in line or "{" in line for line in everything), everything

    # In a terminal of another size it is at the bottom again.
    s.resize(30, 100)
    s.wait_for("the new size", lambda lines: is_title(lines[30 - 11]))
    assert len(s.screen.text()[30 - 11]) == 99, s.screen.text()

    # At the end it is gone, all scrolls, and the usual table is there.
    os.write(s.fd, b"\x04")
    status = s.ends()
    assert status == 3, status
    assert s.screen.region == (0, 29), s.screen.region
    lines = s.screen.scrolled + s.screen.text()
    assert not any(is_title(line) for line in lines), lines
    assert s.written.rindex("\033[r") < s.written.rindex("wanted {mutex}"), s.written[-3000:]
    assert any("acquired" in line and "p99" in line for line in s.written.split("\r\n"))
    found = [line for line in lines if re.match(r"wanted \{mutex\} +100 +80 ", line)]
    assert len(found) == 1, lines

    # A signal from the terminal ends the program, and the terminal is in order.
    s = Session(24, 80, ["--live", "--", contended, "rounds"])
    s.wait_for("the first round", counted(1))
    os.write(s.fd, b"\x03")
    status = s.ends()
    assert status == 128 + signal.SIGINT, status
    assert s.screen.region == (0, 23), s.screen.region
    assert not any(is_title(line) for line in s.screen.text()), s.screen.text()

    # Too small a terminal is left alone.
    s = Session(3, 80, ["--live", "-o", "/dev/null", "--", contended])
    assert s.ends() == 3 and s.written == "done\r\n", s.written

    # Without a terminal it is refused, and the program not run.
    p = subprocess.run([anyrcu, "lockstat", "--live", "--", contended], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    assert p.returncode == 125 and p.stdout == "", p
    assert "--live: standard error is no terminal" in p.stderr, p.stderr


main()
