# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""gdb commands for a program that runs under "anyrcu lockdep".

(gdb) source /usr/share/gdb/anyrcu/anyrcu-gdb.py
(gdb) anyrcu locks

prints for each thread the locks that it holds, where it took them, and the one that it waits for.
It reads memory alone, so it works on core files too.
"""

import struct

import gdb

# The words of anyrcu_lockdep_layout; see preload_layout.c.
WORDS = (
    "version", "threads_high", "thread", "thread_size", "used", "tid", "depth", "blocks", "held",
    "held_size", "held_max", "lock", "ip", "class_", "how", "classes", "class_size", "class_key",
    "keys", "key_size", "key_type", "type_name",
)
VERSION = 1
READ, RECURSIVE_READ, TRY = 1, 2, 4


def address_of(symbol):
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&{symbol}"))
    except gdb.error:
        raise gdb.GdbError('this program does not run under "anyrcu lockdep"') from None


def read(address, form):
    size = struct.calcsize(form)
    data = gdb.selected_inferior().read_memory(address, size).tobytes()
    values = struct.unpack("=" + form, data)
    return values[0] if len(values) == 1 else values


def symbol(address):
    """The name of what lies at an address, or the address."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    return f"{address:#x}" if text.startswith("No symbol") else text.split(" in section")[0]


def place(address):
    """The function and line of the call that returns to an address."""
    sal = gdb.find_pc_line(address - 1)
    line = f" ({sal.symtab.filename}:{sal.line})" if sal.symtab else ""
    return symbol(address) + line


class Tables:
    def __init__(self):
        layout = address_of("anyrcu_lockdep_layout")
        self.at = dict(zip(WORDS, read(layout, f"{len(WORDS)}Q")))
        if self.at["version"] != VERSION:
            raise gdb.GdbError("this script is of another version of anyrcu")
        self.base = read(read(address_of("anyrcu_lockdep_tables"), "Q"), "Q")

    def threads(self):
        """Of each thread that is known its number, what it waits for, and the locks."""
        at = self.at
        for i in range(read(self.base + at["threads_high"], "Q") if self.base else 0):
            thread = self.base + at["thread"] + i * at["thread_size"]
            if not read(thread + at["used"], "I"):
                continue
            depth = min(read(thread + at["depth"], "I"), at["held_max"])
            held = [thread + at["held"] + k * at["held_size"] for k in range(depth)]
            yield read(thread + at["tid"], "I"), read(thread + at["blocks"], "Q"), held

    def describe(self, held):
        at = self.at
        lock, ip = read(held + at["lock"], "Q"), read(held + at["ip"], "Q")
        class_, how = read(held + at["class_"], "H"), read(held + at["how"], "B")
        key = read(self.base + at["classes"] + class_ * at["class_size"] + at["class_key"], "H")
        type_ = read(self.base + at["keys"] + key * at["key_size"] + at["key_type"], "Q")
        name = "lock"
        if type_:
            name = gdb.selected_inferior().read_memory(read(type_ + at["type_name"], "Q"), 32)
            name = name.tobytes().split(b"\0")[0].decode(errors="replace")
        hows = "".join(text for bit, text in ((READ, ", to read"), (RECURSIVE_READ, ", to read"),
                                              (TRY, ", by trying")) if how & bit)
        return lock, class_, f"{name} {symbol(lock)}{hows}, at {place(ip)}"


class Anyrcu(gdb.Command):
    """What the validator of locks knows of a program under "anyrcu lockdep"."""

    def __init__(self):
        super().__init__("anyrcu", gdb.COMMAND_DATA, prefix=True)


class Locks(gdb.Command):
    """Print the locks that each thread holds, and the one that it waits for.

Usage: anyrcu locks"""

    def __init__(self):
        super().__init__("anyrcu locks", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        tables = Tables()
        of_gdb = {t.ptid[1] or t.ptid[2]: t for t in gdb.selected_inferior().threads()}
        none = True
        for tid, blocks, held in tables.threads():
            locks = [entry for entry in map(tables.describe, held) if entry[1]]
            if not locks:
                continue
            none = False
            number = f", gdb's {of_gdb[tid].num}" if tid in of_gdb else ""
            print(f"thread {tid}{number}:")
            for i, (lock, _, text) in enumerate(locks):
                waits = blocks == lock and i == len(locks) - 1
                print(f"  {'waits for' if waits else 'holds'} {text}")
        if none:
            print("no thread holds a lock")


Anyrcu()
Locks()
