#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Build the library for musl and for riscv64, shared and static, and run the basic tests: on musl as
# they are, on riscv64 in qemu's user emulation. aarch64 has more: see aarch64.sh.
#
# Prints what failed, and on the last line how many programs passed and failed.
# usage: platforms.sh NATIVE_BUILD_DIR
set -eu
cd "$(dirname "$0")/.."
native=$1
scripts/deps.sh test

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0

# count NAME COMMAND...
count()
{
	name=$1
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
	else
		echo "platforms: $name failed"
		grep -vE '^\[ *(RUN|OK|SKIPPED) |: passed$' "$log" | head -100
		failed=$((failed + 1))
	fi
}

# build PLATFORM
build()
{
	dir=build-$1
	{ [ -f "$dir/build.ninja" ] ||
		meson setup "$dir" --cross-file "tests/$1/cross.txt" -Dtool=false -Dwerror=true; } \
		>"$log" 2>&1 && ninja -C "$dir" >"$log" 2>&1 && return
	cat "$log"
	echo "platforms: $dir does not build"
	failed=$((failed + 1))
	return 1
}

# A program that uses nothing but the static library: says SAYS in EMULATOR, if any.
# static COMPILER DIR SAYS [EMULATOR]
static()
{
	"$1" -D_GNU_SOURCE -static -Iinclude examples/first.c -o "$2/first-static" \
		"$2/src/libanyrcu.a" && tests/example.sh "$3" ${4:-} "$2/first-static"
}

if build musl; then
	# There is no stack of a thread without backtrace(), musl has no sched_getparam(), and what
	# becomes of freed memory is malloc's. pthread_join() of musl waits for ever for a thread
	# that has ended by a raw system call.
	TEST_EXCEPT=' stall_is_reported_to_hook realtime freed_too_early'
	TEST_EXCEPT="$TEST_EXCEPT thread_ends_by_system_call forked_in_handler "
	export TEST_EXCEPT
	for program in rcu page defer exchange context lock model config debug life \
		system domain; do
		count "musl, test_$program" timeout 900 "build-musl/tests/test_$program"
	done
	# No forks in handlers: musl's fork() takes libc's locks, which the interrupted code may
	# hold. And in 1.2.3 a child of fork() hangs if its main thread ends by pthread_exit().
	for case in exit_in_callback_with_barrier no_thread_for_child callback_ends_thread \
		workers_are_ordinary none_left_for_unshare fork_waits_once; do
		count "musl, $case" timeout 300 build-musl/tests/test_fork $case
	done
	count "musl, static" static musl-gcc build-musl "reads version 1"
	# musl loads no library with thread-local variables of this model later, so not test_dlopen.
	count "musl, one of stress, unit, examples" meson test -C build-musl --no-rebuild \
		--timeout-multiplier 10 stress stress-finds-early unit example example-epoch
	unset TEST_EXCEPT
fi

if build riscv64; then
	export QEMU_LD_PREFIX=/usr/riscv64-linux-gnu
	for program in rcu page defer config; do
		# As on aarch64: the emulator does not filter system calls, and has threads of its
		# own. And its frame of a signal is one that the unwinder does not get over, so a
		# stall has no stack.
		count "riscv64, test_$program" env TEST_EMULATOR=qemu-riscv64 \
			TEST_EMULATED="build-riscv64/tests/test_$program" \
			TEST_EXCEPT="$(scripts/aarch64.sh --except) stall_is_reported_to_hook " \
			"$native/tests/test_$program"
	done
	count "riscv64, static" static riscv64-linux-gnu-gcc build-riscv64 "reads version 1" \
		qemu-riscv64
	count "riscv64, one of stress, unit, dlopen, examples" \
		meson test -C build-riscv64 --no-rebuild --timeout-multiplier 10 --suite run
fi

echo "platforms: $passed passed, $failed failed"
[ "$failed" = 0 ]
