#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Cross-build the library for aarch64 and run its tests in qemu's user emulation, which needs no
# system for it. It has no restartable sequences: aarch64-system.sh tests these. membarrier is the
# host's, so the tests run with it and without. The emulator runs on a machine that orders more than
# aarch64 promises: it shows that what is there works, and docs/design/ordering.md argues that it is
# ordered.
#
# Prints which paths were in use, what failed,
# and on the last line how many programs passed and failed.
# usage: aarch64.sh NATIVE_BUILD_DIR
#	 aarch64.sh --except	prints the names of the cases that the emulator cannot run
set -eu
cd "$(dirname "$0")/.."
native=$1
dir=build-aarch64
scripts/deps.sh test
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu

# What the emulator cannot do: start threads in the child of a process that had some,
except=' stopped_is_no_stall fork_with_work_pending fork_in_section fork_when_online fork_storm'
except="$except fork_from_handler exit_while_all_defer right_use_across_fork "
except="$except fork_child forks works_in_child works_in_child_full works_in_child_rt"
except="$except forked_none forked_full forked_rt "
# be stopped while it starts threads, step through itself,
# tell a waiter that the holder of its lock has ended,
except="$except stopped_and_continued interrupted_everywhere interrupted_everywhere_by_instance"
except="$except interrupted_from_the_first holder_has_ended "
# filter system calls,
except="$except no_system_call membarrier_refused_later membarrier_refused_meanwhile"
except="$except membarrier_and_affinity_refused_later child_without_threads "
# have as little memory, and as few threads, as what it emulates.
except="$except headless_and_locked no_memory no_memory_for_readers no_memory_at_start"
except="$except three_by_environment none_by_environment none_by_negative_environment "

# For the other emulated platforms.
if [ "$1" = --except ]; then
	echo "$except"
	exit
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { [ -f $dir/build.ninja ] ||
	meson setup $dir --cross-file tests/aarch64/cross.txt -Dtool=false; } >"$log" 2>&1 ||
	! ninja -C $dir >"$log" 2>&1; then
	cat "$log"
	echo "aarch64: 0 passed, 1 failed"
	exit 1
fi

passed=0
failed=0
count()
{
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
	else
		echo "aarch64: $2 failed"
		grep -vE '^\[ *(RUN|OK|SKIPPED) ' "$log" | head -100
		failed=$((failed + 1))
	fi
}

all()
{
	how=$1
	shift
	echo "aarch64, $how: $(env "$@" qemu-aarch64 $dir/tests/paths); deferral by atomics"
	for program in rcu page defer domain context lock model lockdep config debug life system; do
		status=0
		env "$@" TEST_EXCEPT="$except" TEST_EMULATOR=qemu-aarch64 \
			TEST_EMULATED="$dir/tests/test_$program" \
			"$native/tests/test_$program" >"$log" 2>&1 || status=$?
		count $status "$how, test_$program"
	done
	status=0
	env "$@" meson test -C $dir --no-rebuild --timeout-multiplier 3 --suite run \
		--print-errorlogs >"$log" 2>&1 || status=$?
	count $status "$how, one of stress, unit, dlopen, examples"
}
all membarrier ANYRCU_MEMBARRIER=1
all "no membarrier" ANYRCU_MEMBARRIER=0

echo "aarch64, not run, as the emulator cannot:$except" | fold -s -w 120
echo "aarch64: $passed passed, $failed failed"
[ "$failed" = 0 ]
