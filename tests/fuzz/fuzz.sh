#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Fuzz for so many seconds. With what is to be broken, it must be found in that time,
# and be what is said to have been found.
# usage: fuzz.sh PROGRAM SECONDS [BROKEN]
program=$1
seconds=$2
broken=${3:-}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# One sequence of cache.c to begin with, which chance seldom makes: a thread reads; another one
# allocates and frees 240 objects of one kind, has grace periods go on, and does so again.
mkdir "$dir/corpus"
case $program in *cache) printf '\000\006\001\035\170\021\035\170' >"$dir/corpus/reuse" ;; esac

status=0
FUZZ_BREAK=$broken "$program" -max_total_time="$seconds" -max_len=400 -len_control=0 -timeout=60 \
	-artifact_prefix="$dir/" "$dir/corpus" >"$dir/log" 2>&1 || status=$?
if [ -n "$broken" ] && [ $status != 0 ] && grep -aq "^fuzz: $broken: " "$dir/log"; then
	exit 0
elif [ -z "$broken" ] && [ $status = 0 ] && grep -aE '^Done [1-9][0-9]* runs' "$dir/log"; then
	exit 0
fi
tail -n 60 "$dir/log"
exit 1
