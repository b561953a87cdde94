#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu urcu: a program that relies on liburcu's semantics, on liburcu alone and on anyrcu, which
# says what it did; what only anyrcu allows; and mistakes, of the program and of the grace period,
# which have to be found.
# usage: urcu.sh ANYRCU SEMANTICS FLAVOUR BROKEN LOOP SLOW
set -eu
anyrcu=$1
semantics=$2
flavour=$3
broken=$4
loop=$5
slow=$6
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail()
{
	echo "urcu.sh: $flavour: $*: $(tail -n 20 "$dir/err")"
	failed=1
}

"$semantics" all >"$dir/out" 2>"$dir/err" || fail "on liburcu alone"

"$anyrcu" urcu --report --json="$dir/json" -- "$semantics" all signals strangers \
	>"$dir/out" 2>"$dir/err" || fail "on anyrcu"
python3 - "$dir/json" "$flavour" <<'PYTHON' || fail "the statistics: $(cat "$dir/json")"
import json, sys
rows = {r["way"]: r for r in json.load(open(sys.argv[1])) if r["flavour"] == sys.argv[2]}
call, defer = rows["call_rcu"], rows["defer_rcu"]
# The first number is what the cases defer, not counting what depends on how fast they are.
assert call["callbacks"] >= 1000 + 200000 + 11 + 10000 + 60000 * 2 + 20000 + 40000, call
# While a case holds a reader, what is deferred beyond the reserve of pages goes into the chain, up
# to the bound: the same number however slow the machine is, where the number in pages depends on
# its speed.
assert call["page"] + call["chain"] == call["callbacks"] and call["page"] > call["chain"], call
# The children of forks invoke what their parents had deferred, too.
assert call["invoked"] + call["left"] >= call["callbacks"] and call["left"] < 1000, call
assert call["gp_done"] > 0 and call["gp_ns_max"] <= call["gp_ns_total"], call
assert call["pending_high"] > 1000, call
assert call["wait_ns_max"] <= call["wait_ns_total"], call
assert defer["callbacks"] == defer["invoked"] == 20020 + 10 and defer["gp_done"] > 0, defer
PYTHON
for line in "call_rcu, flavour $flavour: [0-9]* callbacks" \
	"defer_rcu, flavour $flavour: 20030 callbacks" 'in pages, ' 'grace periods [0-9]' \
	'waited  *[0-9.]* us' 'most pending [0-9]' 'liburcu alone about'; do
	grep -q "$line" "$dir/err" || fail "the report does not say '$line'"
done

"$anyrcu" urcu -- "$semantics" defer_online >"$dir/out" 2>"$dir/err" || fail "defer_online"

# What the report compares with must not hang in liburcu: with qsbr,
# when the thread that empties the queues holds their lock.
LD_PRELOAD="$slow" timeout 600 "$loop" "$flavour" defer 1 10000000 >"$dir/out" 2>"$dir/err" ||
	fail "the loop on liburcu alone"

# Without a report it is the same program, with its exit status and its output, and nothing beside.
got=0
"$anyrcu" urcu -- sh -c 'echo out; exit 7' >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 7 ] && [ "$(cat "$dir/out")" = out ] && [ ! -s "$dir/err" ] ||
	fail "sh: exit status $got"
got=0
"$anyrcu" urcu --report -- sh -c 'kill -TERM $$' >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 143 ] || fail "killed: exit status $got"
grep -q 'nothing was deferred' "$dir/err" || fail "it does not say that nothing was deferred"
got=0
"$anyrcu" urcu --report -- "$dir/none" >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 127 ] || fail "no program: exit status $got"
got=0
"$anyrcu" urcu >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 125 ] || fail "no argument: exit status $got"

# A program's own mistakes: where the debug mode is on, who deferred the object is told,
# and nothing hangs.
mistake()
{
	got=0
	ANYRCU_DEBUG=1 timeout 600 "$anyrcu" urcu -- "$semantics" "$1" >"$dir/out" 2>"$dir/err" ||
		got=$?
	[ "$got" = 134 ] || fail "$1: exit status $got"
	grep -q "anyrcu: .*$2" "$dir/err" || fail "$1: it does not say '$2'"
	grep -q "deferred at .*semantics" "$dir/err" || fail "$1: it does not say where"
}
ulimit -c 0
mistake twice 'double deferral of head'
mistake overwritten 'was overwritten while it was pending'
ANYRCU_DEBUG=1 "$anyrcu" urcu -- "$semantics" order callbacks handled_fork table \
	>"$dir/out" 2>"$dir/err" || fail "in debug mode"

# A grace period that waits for nobody has to be seen.
got=0
LD_PRELOAD="$broken" "$anyrcu" urcu -- "$semantics" readers >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 1 ] && grep -q 'readers: not atomic_load(&invoked) == 0' "$dir/err" ||
	fail "a broken grace period is not found: $got"

exit $failed
