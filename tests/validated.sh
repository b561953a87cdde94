#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The library's own tests and torture under its own validator, in each preemption model:
# it finds nothing in them.
# usage: validated.sh DIR_OF_THE_TEST_PROGRAMS ANYRCU
set -eu
dir=$1
tool=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# Cases that make a mistake on purpose, which the validator does find;
except=' synchronize_in_section synchronize_in_nested_section gp_wait_in_section'
except="$except online_in_section thread_ends_inside barrier_in_section reclaim_in_section"
except="$except call_mightsleep_in_section free_mightsleep_in_section"
except="$except free_mightsleep_of_cache_in_section"
except="$except taken_twice mutex_taken_twice released_by_another holder_has_ended"
# and one that has no memory for it.
except="$except no_memory_at_start "
export TEST_EXCEPT="$except"

export ANYRCU_LOCKDEP=1 ANYRCU_LOCKDEP_LOG="$tmp/found"
for ANYRCU_PREEMPT in none full rt; do
	export ANYRCU_PREEMPT
	for program in rcu page defer reclaim context config debug life system lock model; do
		"$dir/test_$program" >"$tmp/out" 2>&1 || { cat "$tmp/out"; failed=1; }
		if [ -s "$tmp/found" ]; then
			echo "test_$program, model $ANYRCU_PREEMPT:"
			cat "$tmp/found"
			failed=1
		fi
		rm -f "$tmp/found"
	done
	# Threads that end inside a section are one of torture's faults, and found.
	"$tool" torture --seconds=5 --faults=refuse,stall,stop,fork,restart >"$tmp/out" 2>&1 || {
		cat "$tmp/out"
		failed=1
	}
	if [ -s "$tmp/found" ]; then
		echo "torture, model $ANYRCU_PREEMPT:"
		cat "$tmp/found"
		failed=1
	fi
	rm -f "$tmp/found"
done

# It is really on: what is excepted is found.
TEST_EXCEPT='' "$dir/test_rcu" synchronize_in_section >/dev/null 2>&1 || true
grep -q '^WARNING: suspicious RCU usage' "$tmp/found" || {
	echo "the validator was not on"
	failed=1
}
exit $failed
