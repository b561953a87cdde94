#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A program that was written for liburcu before the constructors, after main(), without threads;
# which threads it sees, and what joins them.
# usage: urcu-outside.sh OUTSIDE OUTSIDE_0_14 EARLY		compiled with anyrcu's headers
#        urcu-outside.sh OUTSIDE SINCE_0_14 EARLY ANYRCU	compiled with liburcu's,
#								and run by "anyrcu urcu"
set -eu
outside=$1
since=$2
early=$3
anyrcu=${4-}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# try NAME COMMAND...
try()
{
	name=$1
	shift
	got=0
	timeout 600 ${anyrcu:+"$anyrcu" urcu --} "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = 0 ] && return
	echo "urcu-outside.sh: $(basename "$outside") $name: exit status $got: $(cat "$dir/err")"
	failed=1
}

for case in no_thread no_thread_unregistered no_thread_many_wait no_thread_at_all nobody \
	joined_by_program not_asked_for thread_comes_late; do
	try $case "$outside" $case
	# What is said is that no thread can be had, once in each process, and nothing else.
	case $case in
	no*_thread* | nobody)
		grep -q '^anyrcu: no ' "$dir/err" || {
			echo "$case: nothing is said"
			failed=1
		}
		;;
	esac
	if grep -v '^anyrcu: no ' "$dir/err"; then
		failed=1
	fi
done
if [ -n "$anyrcu" ]; then
	try threads_start "$outside" threads_start
	LD_PRELOAD=$since
	export LD_PRELOAD
	try joined_by_library "$outside" joined_by_library
	unset LD_PRELOAD
else
	try joined_by_library "$since" joined_by_library
fi
try early "$early"
exit $failed
