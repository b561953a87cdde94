#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu lockdep on programs that really deadlock: all threads of the circle are named, and the
# program ends if that is asked for. And gdb shows what each holds.
# usage: lockdep-deadlock.sh ANYRCU DEADLOCKED GDB_SCRIPT
set -eu
anyrcu=$1
program=$2
script=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "lockdep-deadlock.sh: $*"
	cat "$dir/out" "$dir/err"
	exit 1
}

# deadlock NAME THREADS FUNCTION...: so many wait, and these are on their stacks.
deadlock() {
	name=$1
	threads=$2
	shift 2
	got=0
	"$anyrcu" lockdep --kill -- "$program" "$name" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = 123 ] || fail "$name: exit status $got, not 123"
	[ "$(grep -c '\[deadlock\]$' "$dir/err")" = 1 ] ||
		fail "$name: not one report of a deadlock"
	sed -n '/\[deadlock\]$/,/DEADLOCK/p' "$dir/err" >"$dir/report"
	[ "$(grep -c '^thread [0-9]* waits for:$' "$dir/report")" = "$threads" ] ||
		fail "$name: not $threads threads"
	for function; do
		grep -q "^ *$function (" "$dir/report" || fail "$name: $function is on no stack"
	done
}

deadlock self 1 self
grep -q '^which it holds itself' "$dir/report" || fail "who holds it"
deadlock abba 2 a_then_b b_then_a
deadlock ring 3 a_b_3 b_c_3 c_a_3
deadlock rwlock 2 reads writes
deadlock upgrade 1 upgrade
deadlock c11 2 one_then_two two_then_one

for name in chain timed readers; do
	got=0
	"$anyrcu" lockdep --kill -- "$program" "$name" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = 0 ] || fail "$name: exit status $got"
	[ "$(cat "$dir/out")" = done ] || fail "$name: it does not end"
	if grep -q '\[deadlock\]' "$dir/err"; then
		fail "$name: it does not deadlock"
	fi
done

# Without --kill it goes on, or would: it is reported at once, and the program is ended here.
"$anyrcu" lockdep -- "$program" abba >"$dir/out" 2>"$dir/err" &
pid=$!
until grep -q '\[deadlock\]$' "$dir/err"; do
	sleep 0.1
done
if command -v gdb >/dev/null; then
	child=$(cat "/proc/$pid/task/$pid/children")
	gdb -batch -nx -iex 'set debuginfod enabled off' -p "${child% }" -ex "source $script" \
		-ex 'anyrcu locks' >"$dir/gdb" 2>"$dir/gdb-err" ||
		cat "$dir/gdb-err"
	# where only parents may trace
	grep -q 'Operation not permitted' "$dir/gdb-err" ||
		for line in 'holds mutex a, at a_then_b' 'waits for mutex b, at a_then_b' \
			'holds mutex b, at b_then_a' 'waits for mutex a, at b_then_a'; do
			grep -q "^  $line" "$dir/gdb" || {
				cat "$dir/gdb"
				fail "gdb does not say: $line"
			}
		done
fi
kill "$pid"
got=0
wait "$pid" || got=$?
[ "$got" = 143 ] || fail "exit status $got after SIGTERM"

got=0
"$anyrcu" lockdep --kill --error-exitcode=9 -- "$program" abba >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 9 ] || fail "exit status $got, not that of --error-exitcode"

# A process that runs cannot be attached to, and that is said.
got=0
"$anyrcu" lockdep --pid=$$ >"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 125 ] || fail "--pid: exit status $got"
grep -q "cannot be attached to" "$dir/err" || fail "--pid does not say why"
