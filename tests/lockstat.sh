#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu lockstat on a program that acquires locks so often and waits so often as is known here.
# usage: lockstat.sh ANYRCU CONTENDED
set -eu
anyrcu=$1
program=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "lockstat.sh: $*"
	cat "$dir/out" "$dir/err" 2>/dev/null || :
	exit 1
}

run() {
	got=0
	"$anyrcu" lockstat "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = 3 ] || fail "$*: exit status $got, not the program's"
	[ "$(cat "$dir/out")" = done ] || fail "$*: the program does something else"
}

ln -s "$(realpath "$program")" "$dir/<&>"
run --json --folded="$dir/folded" --svg="$dir/svg" -- "$dir/<&>"
cat >"$dir/check.py" <<'END'
import json, sys, xml.etree.ElementTree
lines = [json.loads(line) for line in open(sys.argv[1])]
summary = lines.pop()
assert summary["event"] == "summary" and summary["complete"] and summary["lost"] == 0, summary
assert summary["processes"] == 2, summary
locks = {l["lock"]: l for l in lines}

def sites(lock):
    return {(s["site"].split(":")[0], s["reads"]): s for s in locks[lock]["sites"]}

def counts(lock):
    return locks[lock]["acquired"], locks[lock]["contended"]

assert counts("wanted") == (5, 4), counts("wanted")
waiter = sites("wanted")["waiter", False]
assert (waiter["acquired"], waiter["contended"]) == (4, 4)
(blame,) = waiter["waited_for"]
assert blame["site"].startswith("contend:")
assert blame["times"] == 4 and blame["total"] == waiter["wait_ns"]["total"]
assert counts("table") == (5, 4), counts("table")
table = sites("table")
assert table["reader", True]["contended"] == 4
assert not any(reads and name != "reader" for name, reads in table)
assert counts("in_handler") == (51, 0), counts("in_handler")
# 1000 and one that is tried, one before the wait for the condition, one after, one of who wakes
assert locks["quiet"]["acquired"] == 1004, counts("quiet")
assert locks["quiet"]["contended"] in (1, 2), counts("quiet") # the wait in vain; who wakes may wait
by_type = {}
for l in lines:
    by_type.setdefault(l["type"], []).append(l["acquired"])
assert by_type["spinlock"] == [1000], by_type
mutexes = sorted(l["acquired"] for l in lines if l["lock"].startswith("mutex of "))
assert mutexes == [1, 1, 1, 1000], by_type
# not of the first's class
assert any(l.startswith("mutex of second_place") for l in locks), locks.keys()
for l in lines:
    for where in [l] + l["sites"]:
        for times in where["wait_ns"], where["hold_ns"]:
            ordered = times["p50"] <= times["p99"] <= times["max"] <= times["total"]
            assert ordered or not times["total"], l
    for key in "acquired", "contended", "moved":
        assert l[key] == sum(s[key] for s in l["sites"]), l
    assert sum(l["wait_ns"]["buckets"]) == l["contended"], l
stacks = {}
all_names, all_stacks = [], []
for line in open(sys.argv[2]):
    stack, ns = line.rsplit(" ", 1)
    stacks[stack.split(";")[-1]] = int(ns)
    all_names.append(stack.split(";"))
    all_stacks.append(int(ns))
assert stacks["waiter"] == waiter["wait_ns"]["total"] and "reader" in stacks, stacks

# The picture is of the same stacks: a box lies on the box of who called it, as wide as its share.
svg = "{http://www.w3.org/2000/svg}"
boxes = []
for box in xml.etree.ElementTree.parse(sys.argv[3]).getroot().iter(svg + "g"):
    rect = {key: float(box.find(svg + "rect").get(key)) for key in ("x", "y", "width")}
    boxes.append((box.find(svg + "title").text.rsplit(", ", 1)[0], rect))
width = boxes[0][1]["width"] / sum(all_stacks)
for stack, ns in zip(all_names, all_stacks):
    below = boxes[0][1]
    for name in stack:
        if ns * width < 1:
            break
        end = below["x"] + below["width"] + 0.2
        found = [r for n, r in boxes if n == name and r["y"] == below["y"] - 18 and
                 below["x"] - 0.2 <= r["x"] and r["x"] + r["width"] <= end]
        assert len(found) == 1, (stack, name, found)
        below = found[0]
    else:
        same = sum(n for s, n in zip(all_names, all_stacks) if s[:len(stack)] == stack)
        assert abs(below["width"] - same * width) < 0.2, (stack, below, same * width)
assert any(name == "waiter" for name, _ in boxes)
for n, (name, r) in enumerate(boxes): # boxes lie beside each other
    for other, r2 in boxes[:n]:
        left, right = sorted((r, r2), key=lambda rect: rect["x"])
        beside = left["x"] + left["width"] <= right["x"] + 0.2
        assert r["y"] != r2["y"] or beside, (name, other)
assert boxes[1][0] == "<&>", boxes # the program
END
python3 "$dir/check.py" "$dir/err" "$dir/folded" "$dir/svg" || fail "JSON, stacks or the picture"

# As a table; also what a killed child has counted is there.
run --output="$dir/table" -- "$program" killed
grep -q '^wanted {mutex}  *5  *4 ' "$dir/table" || { cat "$dir/table"; fail "the table"; }
grep -q '^    waited 4 times for contend:[0-9]*,' "$dir/table" || fail "whom was waited for"
grep -q '^in_handler {mutex}  *51 ' "$dir/table" || fail "the killed child"
[ ! -s "$dir/err" ] || fail "there is something on standard error beside --output"

# What cannot be counted is said.
got=0
"$anyrcu" lockstat -- "$dir/none" 2>"$dir/err" || got=$?
[ "$got" = 127 ] || fail "exit status $got of what is not there"
