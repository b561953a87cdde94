#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Build with gcc and clang, with the sanitizers, and for aarch64; run every test on the fast path
# and on the fallbacks, and the proof: torture, interruption, refusal, models, fuzzers. The last
# line says how many passed and failed; details of failures come before it.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh
scripts/deps.sh test
scripts/deps.sh urcu ||
	echo "programs that use liburcu cannot be installed here: their tests are skipped"
details=$(mktemp)
trap 'rm -f "$details"' EXIT
passed=0
failed=0
began=$(date +%s)

# part WHAT: what comes now, and how many seconds it has taken so far.
part()
{
	echo "== $1 ($(($(date +%s) - began)) s)"
}

# build DIR MESON_OPTIONS...
build()
{
	dir=$1
	shift
	if ! { [ -f "$dir/build.ninja" ] || meson setup "$dir" -Dwerror=true "$@"; } \
	     >"/tmp/anyrcu-build.$$" 2>&1 ||
	   ! ninja -C "$dir" >"/tmp/anyrcu-build.$$" 2>&1; then
		cat "/tmp/anyrcu-build.$$"
		echo "$dir does not build"
		failed=$((failed + 1))
		rm -f "/tmp/anyrcu-build.$$"
		return 1
	fi
	rm -f "/tmp/anyrcu-build.$$"
}

# run DIR SETUP [MESON_TEST_OPTIONS...]
run()
{
	dir=$1
	setup=$2
	shift 2
	part "$dir, $setup"
	log=$dir/meson-logs/testlog-$setup.json
	rm -f "$log"
	meson test -C "$dir" --no-rebuild --timeout-multiplier 3 --setup "$setup" \
		--num-processes $(($(nproc) + 1)) --print-errorlogs "$@" \
		>"$dir/test-output" 2>&1 || true
	grep -aE '^ *[0-9]+/[0-9]+ ' "$dir/test-output" | grep -avE ' (OK|EXPECTEDFAIL|SKIP) ' ||
		true
	ok=$(grep -oE '"result": "(OK|EXPECTEDFAIL)"' "$log" | wc -l)
	bad=$(grep -oE '"result": "(FAIL|TIMEOUT|ERROR|INTERRUPT|UNEXPECTEDPASS)"' "$log" | wc -l)
	if [ "$bad" != 0 ]; then
		sed -n '/^=*( *output\|^―/,$p' "$dir/test-output" |
			grep -avE '^ *[0-9]+/[0-9]+ .* (OK|EXPECTEDFAIL|SKIP) ' |
			sed '/^Summary of Failures/,$d' | head -200 | tee -a "$details"
	fi
	passed=$((passed + ok))
	failed=$((failed + bad))
}

build build-gcc && { run build-gcc default; run build-gcc fallback; run build-gcc fences; }
CC=clang CXX=clang++ build build-clang && run build-clang default --no-suite text
# Without this, what UndefinedBehaviorSanitizer reports is no failure of most programs.
UBSAN_OPTIONS="halt_on_error=1 print_stacktrace=1" export UBSAN_OPTIONS
build build-asan -Db_sanitize=address,undefined -Dbuildtype=debugoptimized &&
	run build-asan default --no-suite text
# What follows often waits, or uses one processor, so parts of it run beside each other.
scripts/deps.sh kernel || true
part "kernel, in the background"
(
	code=0
	scripts/kernel.sh short >build-gcc/kernel-output 2>&1 || code=$?
	echo "$code" >build-gcc/kernel-code
) &
kernel=$!

# A process that forks with threads is what we test; ThreadSanitizer would rather not.
TSAN_OPTIONS="die_after_fork=0 halt_on_error=1 second_deadlock_stack=1" export TSAN_OPTIONS
build build-tsan -Db_sanitize=thread -Dbuildtype=debugoptimized &&
	run build-tsan default --no-suite text --no-suite source --no-suite tool --no-suite static

part "build-aarch64; build-musl and build-riscv64, in the background"
(scripts/platforms.sh build-gcc >build-gcc/platforms-output 2>&1 ||
	cat build-gcc/platforms-output) &
platforms=$!
scripts/aarch64.sh build-gcc >build-gcc/aarch64-output 2>&1 || cat build-gcc/aarch64-output
wait "$platforms"
for name in aarch64 platforms; do
	set -- $(sed -n "s/^$name: \([0-9]*\) passed, \([0-9]*\) failed\$/\1 \2/p" \
		"build-gcc/$name-output") 0 1
	passed=$((passed + $1))
	failed=$((failed + $2))
done

wait "$kernel" || true
code=$(cat build-gcc/kernel-code)
[ "$code" = 0 ] || cat build-gcc/kernel-output
[ "$code" != 0 ] || grep '^kernel: left out' build-gcc/kernel-output || true
if [ "$code" != 77 ]; then
	set -- $(sed -n 's/^kernel: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' \
		build-gcc/kernel-output) 0 1
	passed=$((passed + $1))
	failed=$((failed + $2))
fi

# Once more, for those who see only the end.
if [ -s "$details" ]; then
	echo "== what the failures said"
	tail -n 60 "$details"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
