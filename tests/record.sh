#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu record, as its users run it, on programs whose allocations are known.
# usage: record.sh ANYRCU PRINT PROGRAM PROGRAM_WITH_ITS_OWN_MALLOC
set -eu
anyrcu=$1
print=$2
program=$3
own_malloc=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trace=$dir/trace
failed=$dir/failed

fail() {
	echo "record.sh: $*"
	cat "$dir/err" 2>/dev/null || :
	: >"$failed"
}

# record STATUS ARG...: record, and look at the exit status and that the trace is one.
record() {
	status=$1
	shift
	rm -f "$trace"
	got=0
	"$anyrcu" record -o "$trace" --json -- "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$status" ] || fail "$*: exit status $got, not $status"
	"$print" "$trace" >"$dir/events" 2>>"$dir/err" || fail "$*: no trace"
}

# count SIZE ALLOCATIONS FREES: so many objects of this size.
count() {
	awk -v size="$1" '
		$1 == "alloc" && $4 == size { mine[$3] = 1; allocs++ }
		$1 == "free" && mine[$3] { frees++ }
		END { print allocs + 0, frees + 0 }' "$dir/events" >"$dir/count"
	[ "$(cat "$dir/count")" = "$2 $3" ] ||
		fail "$(cat "$dir/count") allocations and frees of $1 bytes, not $2 $3"
}

# says KEY VALUE: the summary, which is the last line on standard error.
says() {
	tail -n 1 "$dir/err" | grep -q "\"$1\": $2[,}]" || fail "the summary has not $1 $2"
}

# whole THREADS PROCESSES
whole() {
	set -- "$1" "$2" "$(sed -n '1s/.*threads //p' "$dir/events")"
	[ "$3" = "$1 processes $2" ] || fail "threads $3, not $1 processes $2"
	says complete true
	says missed_frees 0
}

record 0 "$program" plain 1000
count 100003 1000 1000
whole 1 1
says unknown_frees 0

# Far more events than there is room for at a time.
record 0 "$program" threads 150000
count 100003 600000 600000
whole 5 1
# They wait for the recorder when it does not run, and lose nothing.
# Who lets it go on must not be recorded itself.
(
	while [ ! -s "$dir/stopped" ]; do
		sleep 0.01
	done
	sleep 1
	kill -CONT "$(cat "$dir/stopped")"
) &
record 0 sh -c "kill -STOP \$PPID; echo \$PPID >'$dir/stopped'; exec '$program' threads 150000"
wait
count 100003 600000 600000
says complete true
record 0 "$program" hand-over 50000
count 100003 200000 200000
whole 5 1
record 0 "$program" short-threads 300
count 100003 300 300
whole 301 1

record 0 "$program" kinds
for size in 100003 100004 100005 100006 100007 100008 100009 100010 100011 100012; do
	count $size 1 1
done
whole 1 1

record 0 "$program" fork 100
count 100003 300 300
count 100019 1 1
whole 3 3
says unknown_frees 1
record 0 "$program" exec 100
count 100003 200 200
count 100019 1 0
whole 2 2
record 0 "$program" spawn 100
count 100003 400 400
whole 3 3
record 0 "$program" shut-in 100
count 100003 200 200
whole 1 1

# Another allocator, one that signal handlers may use.
record 0 "$own_malloc" signals 1000
handled=$(cat "$dir/out")
[ "$handled" -ge 1000 ] || fail "$handled signals handled"
count 100019 $((handled * 3)) $((handled * 3))
whole 1 1

# However it ends, what it did until then is there.
for way in _exit:0 abort:134 kill:137; do
	record ${way#*:} "$program" ${way%:*} 10000
	count 100003 10000 10000
	says complete true
done
record 0 "$program" daemon 100
count 100003 100 100

# Real programs.
record 7 sh -c 'cat; echo out; echo err >&2; exit 7' </dev/null
[ "$(cat "$dir/out")" = out ] || fail "the output is changed"
grep -qx err "$dir/err" || fail "standard error is changed"
echo in | "$anyrcu" record -o "$trace" cat >"$dir/out" 2>"$dir/err" || fail "cat"
[ "$(cat "$dir/out")" = in ] || fail "the input is changed"
grep -q '^anyrcu: .* allocations, .* processes$' "$dir/err" || fail "there is no summary"
printf 'int answer(void) { return 42; }\n' >"$dir/one.c"
record 0 gcc -O2 -c "$dir/one.c" -o "$dir/one.o"
[ -s "$dir/one.o" ] || fail "gcc compiled nothing"
# The driver, cc1 and as.
whole 3 3
record 143 sh -c 'kill -TERM $$'

# A signal for the program may be sent to who started it.
rm -f "$trace"
"$anyrcu" record -o "$trace" sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.01; done' \
	>"$dir/out" 2>"$dir/err" &
pid=$!
while [ ! -s "$dir/out" ]; do
	sleep 0.01
done
kill "$pid"
got=0
wait "$pid" || got=$?
[ "$got" = 5 ] || fail "exit status $got after SIGTERM, not 5"
"$print" "$trace" >"$dir/events" || fail "no trace after SIGTERM"

# Neither more files nor other signals than it has without.
cat >"$dir/state" <<'EOF'
ls -l /proc/self/fd | sed -n 's/.* \([03-9] -> .*\)/\1/p' | grep -v '/proc/'
grep ^Sig /proc/self/status | grep -v SigQ
EOF
sh "$dir/state" >"$dir/without" </dev/null
[ "$(wc -l <"$dir/without")" -ge 5 ] || fail "the state has $(cat "$dir/without")"
record 0 sh "$dir/state" </dev/null
cmp -s "$dir/without" "$dir/out" || fail "the program sees: $(diff "$dir/without" "$dir/out")"

# What is not to be recorded, and says so.
cc -static "$dir/one.c" -x c - -o "$dir/static" <<'EOF'
int main(void) { return 3; }
EOF
record 3 "$dir/static"
grep -q 'was not recorded' "$dir/err" || fail "a static program is not told of"

# refuse STATUS PATTERN ARG...: one line on standard error, and no crash.
refuse() {
	status=$1
	pattern=$2
	shift 2
	got=0
	"$anyrcu" record "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$status" ] || fail "record $*: exit status $got, not $status"
	grep -q "$pattern" "$dir/err" || fail "record $*: it does not say $pattern"
	[ ! -s "$dir/out" ] || fail "record $*: prints on standard output"
}

refuse 127 'no-such-program: No such file' -o "$trace" -- no-such-program
refuse 126 'one.c: Permission denied' -o "$trace" -- "$dir/one.c"
refuse 125 'none/trace: No such file' -o "$dir/none/trace" -- true
refuse 125 "$dir: Is a directory" -o "$dir" -- true
refuse 125 'full: No space left' -o /dev/full -- true
refuse 125 'no program' -o "$trace"
refuse 125 'no file' -- true
refuse 125 'unrecognized option' --no-such-option
TMPDIR=$dir/none refuse 125 'none/.*: No such file' -o "$trace" -- true

(ulimit -f 2048 && refuse 125 'memory to share.*File too large' -o "$trace" -- true)
# No room for more: what there was room for is a trace.
got=0
(ulimit -f 70000 && exec "$anyrcu" record -o "$trace" --json -- "$program" threads 200000) \
	>"$dir/out" 2>"$dir/err" || got=$?
[ "$got" = 0 ] || fail "exit status $got when there is no room"
grep -q 'ends early.*File too large' "$dir/err" || fail "it does not say that there was no room"
says complete false
"$print" "$trace" >"$dir/events" || fail "no trace when there is no room"

[ ! -e "$failed" ]
