#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Check the models exhaustively: those that are right must have no error, and each broken one must
# have one. What is to be run stands at the head of each model, as "run MODE right|broken [-D...]":
#     safety   assertions, and no state in which a process is stuck
#     assert   assertions only, of which one looks at the states where nothing moves
#     live     the model's LTL formula, with weak fairness
#     cycles   no execution goes round for ever
# usage: models.sh DIR [MODEL...]
set -eu

# one FILE MODE VERDICT [-D...]: prints a line; fails if the verdict is not the expected one.
one()
{
	file=$1 mode=$2 expected=$3
	shift 3
	case $mode in
	safety) build='-DSAFETY -DNOCLAIM' options= ;;
	assert) build='-DSAFETY -DNOCLAIM' options=-E ;;
	live) build=-DNFAIR=3 options='-a -f' ;;
	cycles) build='-DNP -DNOCLAIM -DCOLLAPSE' options='-l -E' ;;
	*) build=none options= ;;
	esac
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	cd "$tmp"
	# No bit-state hashing: what is not exhaustive is no verdict.
	# Warnings are about generated code.
	if ! { spin -a "$@" "$file" &&
		gcc -O2 -w $build -DMEMLIM=1900 -o pan pan.c; } >log 2>&1; then
		cat log
		exit 1
	fi
	./pan -m1000000 $options >log 2>&1 || true
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' log)
	found=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' log)
	if grep -q 'Search not completed' log && [ -z "$found" ] || ! grep -q 'errors: ' log; then
		verdict=unfinished
	elif [ -n "$found" ] || ! grep -q 'errors: 0$' log; then
		verdict=broken
	else
		verdict=right
	fi
	result=ok
	[ "$verdict" = "$expected" ] || result="NOT OK, should be $expected"
	printf '%-8s %-6s %10s states  %-6s %-44s %s %s\n' "$(basename "$file" .pml)" "$mode" \
		"${states:-no}" "$verdict" \
		"$*" "$result" "${found:+($found)}"
	[ "$result" = ok ]
}

if [ "$1" = --one ]; then
	shift
	one "$@"
	exit
fi

dir=$(cd "$1" && pwd)
shift
[ $# != 0 ] || set -- $(cd "$dir" && ls *.pml)
for model; do
	sed -n "s|^ \* run |$dir/${model%.pml}.pml |p" "$dir/${model%.pml}.pml"
done >"${list=$(mktemp)}"
trap 'rm -f "$list"' EXIT
runs=$(wc -l <"$list")
[ "$runs" != 0 ]
if xargs -P 2 -L 1 "$0" --one <"$list"; then
	echo "$runs models, all as expected"
else
	echo "not all of $runs models are as expected"
	exit 1
fi
