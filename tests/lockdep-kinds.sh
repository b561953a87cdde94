#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu lockdep on programs in pairs: the right one is silent, the wrong one is reported.
# Both do what they do without it. Of those that are called "unseen" it is known that the validator
# is wrong; one that it has learnt belongs to the others.
# usage: lockdep-kinds.sh ANYRCU KINDS...
set -eu
anyrcu=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# check PROGRAM KIND right|wrong STATUS
check()
{
	got=0
	timeout -k 5 120 "$anyrcu" lockdep --error-exitcode=77 -- "$1" "$2" "$3" \
		>"$dir/out" 2>"$dir/err" || got=$?
	if [ "$got" != "$4" ] || [ "$(cat "$dir/out")" != done ]; then
		echo "lockdep-kinds.sh: $2 $3: exit status $got, not $4"
	elif [ "$(grep -c '^WARNING' "$dir/err")" -gt 1 ]; then
		echo "lockdep-kinds.sh: $2 $3: it is said more than once"
	else
		return 0
	fi
	cat "$dir/out" "$dir/err"
	failed=1
}

for kinds; do
	for kind in $("$kinds"); do
		case $kinds:$kind in
		*unseen*) right=0 wrong=0 ;;
		*) right=0 wrong=77 ;;
		esac
		check "$kinds" "$kind" right $right
		check "$kinds" "$kind" wrong $wrong
	done
done
exit $failed
