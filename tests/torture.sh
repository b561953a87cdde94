#!/bin/bash
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The library, as it should be, under torture; and every way to break it until that is found.
# usage: torture.sh ANYRCU [SECONDS]
set -eu
tool=$1
seconds=${2:-60}
# Some mistakes need two CPUs at the same place at once, which a busy machine seldom has.
tries=30
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0

fail()
{
	echo "torture.sh: $*"
	failed=1
}

# holds SECONDS [NAME=VALUE]: as it is, on the path that the environment chooses.
holds()
{
	if ! env ${2:+"$2"} "$tool" torture --seconds="$1" >"$out" 2>&1; then
		fail "${2:-as it is}: $(cat "$out")"
	elif ! grep -qE '^seed [0-9]+: [1-9][0-9]* deferred, .* 0 lost, 0 twice, 0 early' \
		"$out"; then
		fail "says $(cat "$out")"
	fi
	cat "$out"
}

# found NAME: before its tries are over; each has another seed, which it prints.
found()
{
	local status
	for ((i = 1; i <= tries; i++)); do
		status=0
		"$tool" torture --break="$1" --seconds=5 --seed="$i" >"$out" 2>&1 || status=$?
		[ $status != 0 ] && break
	done
	[ $status = 1 ] || { fail "$1 is not found: status $status, $(cat "$out")"; return; }
	printf '%-24s seed %d: %s\n' "$1" "$i" "$(head -n 1 "$out")"
}

for bad in --seconds=0 --threads=1 --threads=65 --faults=what --break=what --seed=x what; do
	status=0
	"$tool" torture "$bad" >"$out" 2>&1 || status=$?
	[ $status = 2 ] && grep -q "${bad#*=}" "$out" ||
		fail "torture $bad: status $status, $(cat "$out")"
done
"$tool" torture --seconds=1 --seed=7 --json >"$out" || fail "--json: status $?"
python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
assert r["seed"] == 7 and r["deferred"] == r["invoked"] > 0, r
assert 0 == r["lost"] == r["twice"] == r["early"], r
assert r["faults"].keys() == {"refuse", "stall", "stop", "exit", "fork", "restart"}, r' "$out" ||
	fail "--json: $(cat "$out")"

holds "$seconds"
holds $((seconds / 5 + 1)) ANYRCU_RSEQ=0
holds $((seconds / 5 + 1)) ANYRCU_MEMBARRIER=0

names=$("$tool" torture --list-breaks | cut -d ' ' -f 1)
[ "$(echo "$names" | wc -l)" -ge 14 ] || fail "too few ways to break it: $names"
for name in $names; do
	found "$name"
done
exit $failed
