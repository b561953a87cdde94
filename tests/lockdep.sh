#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu lockdep, as its users run it, on programs whose mistakes are known.
# usage: lockdep.sh ANYRCU PROGRAM PROGRAM_WITH_THE_LIBRARY PROGRAM_WITH_UNWINDER DEEP_PROGRAM
#	 [C++_PROGRAM]
set -eu
anyrcu=$1
program=$2
with_library=$3
unwinder=$4
deep=$5
cxx=${6:-}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=$dir/failed
options=

fail() {
	echo "lockdep.sh: $*"
	cat "$dir/out" "$dir/err" 2>/dev/null || :
	: >"$failed"
}

# run STATUS OPTION... -- PROGRAM...: with reports in $dir/err, and look at the exit status.
run() {
	status=$1
	shift
	got=0
	"$anyrcu" lockdep "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$status" ] || fail "$*: exit status $got, not $status"
}

rules() {
	sed -n 's/^WARNING: .* \[\([a-z-]*\)]$/\1/p' "$dir/err" | sort -u | tr '\n' ' ' |
		sed 's/ $//'
}

# wrong NAME RULE: it is reported once, by this rule, and goes on.
wrong() {
	run "${3:-0}" $options -- "$program" "$1"
	[ "$(rules)" = "$2" ] || fail "$1: rules '$(rules)', not '$2'"
	[ "$(grep -c '^WARNING: ' "$dir/err")" = 1 ] || fail "$1: not one report"
	[ "${3:-0}" != 0 ] || grep -qx done "$dir/out" || fail "$1: it does not go on"
}

# right NAME: nothing is said, and all is as without.
right() {
	for model in none full rt; do
		run 0 --model=$model -- "$program" "$1"
		[ ! -s "$dir/err" ] || fail "$1: it is right, but"
		[ "$(cat "$dir/out")" = done ] || fail "$1: it behaves otherwise"
	done
}

# says PATTERN: a line of the reports.
says() {
	grep -q -- "$1" "$dir/err" || fail "there is no '$1'"
}

wrong abba circular-dependency
says '^-> b \[<0x[0-9a-f]*>\], taken while this was held: a \[<0x'
says '^  lock(b);$'
says "^       b_then_a ([^ ]*program.c:[0-9]*)$"
says "^anyrcu: 1 reports, 0 suppressed, in 1 processes$"
wrong abc circular-dependency
says '^-> c \[<0x[0-9a-f]*>\], taken while this was held: b \[<0x'
says '^-> b \[<0x[0-9a-f]*>\], taken while this was held: a \[<0x'
wrong abba_heap circular-dependency
says '(mutex of abba_heap:[0-9]*){mutex}'
wrong abba_c11 circular-dependency
wrong cond_order circular-dependency
wrong rwlock_order circular-dependency
says "(rw){rwlock}"
wrong signal_open inconsistent-signal-use
wrong signal_chain signal-safe-unsafe-order
wrong held_at_exit held-at-thread-exit
wrong held_at_cancel held-at-thread-exit
wrong freed held-lock-freed
wrong unmapped held-lock-freed
wrong destroyed held-lock-freed
wrong reinitialised held-lock-reinitialised
wrong unlock_unlocked bad-unlock-balance
wrong sleep_in_spin sleep-in-atomic
says '^sem_wait may sleep'
wrong known_false sleep-in-atomic
options=--strict
wrong mutex_in_spin invalid-wait-context
options=
run 0 --strict -- "$program" known_false
[ "$(rules)" = "inconsistent-signal-use sleep-in-atomic" ] || fail "known_false: $(rules)"

for name in mutex_kinds robust rwlock_recursion try_order ordered_instances reused_memory \
	signal_blocked signal_jump signal_state waits fork_handlers keeps_errno wrong_addresses \
	own_robust_list; do
	right $name
done

# What the loader called before main() is over, however deep in the stack main() is.
run 0 -- "$deep"
[ -z "$(rules)" ] || fail "deep in main(): $(rules)"

# A program that uses the library: one validator sees all its locks.
run 0 -- "$with_library"
[ "$(rules)" = "circular-dependency held-at-thread-exit" ] || fail "with the library: $(rules)"
says '^-> theirs \[<0x[0-9a-f]*>\], taken while this was held: ours \[<0x'

# Wherever it happens, and whatever the process has done to itself.
wrong in_child circular-dependency
wrong in_children circular-dependency
wrong in_daemon circular-dependency
wrong killed circular-dependency 137
if [ "$(id -u)" = 0 ]; then
	wrong other_user circular-dependency
fi

# Names are those of the source.
names() {
	run 0 --gen-suppressions -- "$cxx"
	[ "$(rules)" = circular-dependency ] || fail "C++: $(rules)"
	says '^ (bank::second){mutex}, '
	says '^       void bank::transfer<bank::account>(bank::account&, bank::account&) ('
	sed -n '/^circular-dependency program=/p' "$dir/err" >"$dir/suppressions"
	run 0 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$cxx"
	echo 'circular-dependency function=_ZN4bank8transfer*' >"$dir/suppressions"
	run 0 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$cxx"
	echo 'circular-dependency function=_ZN4bank7deposit*' >"$dir/suppressions"
	run 7 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$cxx"
}
[ -z "$cxx" ] || names

# What is asked for.
run 7 --error-exitcode=7 -- "$program" abba
run 0 --error-exitcode=7 -- "$program" waits
run 3 -- sh -c 'exit 3'
run 7 --error-exitcode=7 -- sh -c "'$program' abba; exit 3"
run 137 -- "$program" killed
run 127 -- "$dir/none"
run 125 --model=other -- "$program" abba
run 125 --error-exitcode=0 -- "$program" abba
run 0 --suppressions="$(dirname "$0")/../examples/lockdep.suppressions" -- "$program" waits
run 125 --suppressions="$dir/none" -- "$program" abba
run 0 --output="$dir/file" -- "$program" abba
[ ! -s "$dir/err" ] || fail "there is something on standard error beside --output"
grep -q circular-dependency "$dir/file" || fail "there is no report in the file"
run 0 --stats -- "$program" abba
says '^program .* pid .* classes '
says '^lockdep_program *[0-9]* *3 *2 *[0-9]* *3 *2 *1$'

cat >"$dir/suppressions" <<'END'
# what is known
held-at-thread-exit
circular-dependency lock=a function=lock_in_* module=*program   # all of these
*	lock=nothing
END
run 0 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$program" abba
says '^anyrcu: 0 reports, 1 suppressed, in 1 processes$'
[ -z "$(rules)" ] || fail "it is suppressed, but printed"
run 0 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$program" held_at_exit
run 7 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$program" abba_heap
run 7 --error-exitcode=7 --suppressions="$dir/suppressions" -- "$program" freed
echo 'circular-dependency lok=a' >"$dir/suppressions"
run 125 --suppressions="$dir/suppressions" -- "$program" abba
says 'suppressions:1: '

run 0 --json -- "$program" abba
python3 - "$dir/err" <<'END' || fail "JSON"
import json, sys
report, summary = [json.loads(line) for line in open(sys.argv[1])]
assert report["event"] == "report" and report["rule"] == "circular-dependency"
assert set(report["locks"]) == {"a", "b"}
assert [f["function"] for f in report["stack"]][:2] == ["lock_in_order", "b_then_a"]
assert report["stack"][0]["file"].endswith("program.c") and report["stack"][0]["line"] > 0
assert "DEADLOCK" in report["text"]
assert summary["event"] == "summary" and summary["reports"] == 1 and summary["processes"] == 1
END

# Without a tool, or with one that is gone, the program is as it is.
lib=$(dirname "$anyrcu")/libanyrcu-lockdep.so
if [ -e "$lib" ]; then
	LD_PRELOAD=$lib "$program" abba >"$dir/out" || fail "it needs the tool"
	ANYRCU_LOCKDEP_NOTICES=$dir/none LD_PRELOAD=$lib "$program" waits >"$dir/out" ||
		fail "it needs the tool"
fi

# A program's own unwinder is left alone: stacks are GCC's.
run 0 -- "$unwinder"
[ "$(rules)" = circular-dependency ] || fail "own unwinder: $(rules)"
says "^       in_order ([^ ]*unwinder.c:[0-9]*)$"
says "^       main ([^ ]*unwinder.c:[0-9]*)$"

# It does not wait for what was killed and whose parent does not ask,
# as process 1 of a container may not.
timeout 60 python3 - "$anyrcu" <<'END' || fail "it waits for a zombie"
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1) # orphans become children of this process, PR_SET_CHILD_SUBREAPER
tool = subprocess.Popen([sys.argv[1], "lockdep", "--",
                         "sh", "-c", "(sleep 600 >/dev/null & echo $!)"],
                        stdout=subprocess.PIPE, text=True)
os.kill(int(tool.stdout.readline()), signal.SIGKILL)
sys.exit(tool.wait())
END

# It waits for what is left running, until it is told not to.
"$anyrcu" lockdep -- sh -c 'sleep 600 >/dev/null 2>&1 & echo $!; echo started' \
	>"$dir/out" 2>"$dir/err" &
pid=$!
while ! grep -q started "$dir/out"; do
	sleep 0.05
done
sleep 0.3
kill "$pid" || fail "it does not wait for what is left running"
wait "$pid" || fail "exit status after SIGTERM"
kill "$(head -n 1 "$dir/out")"

[ ! -e "$failed" ]
