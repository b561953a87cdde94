#!/bin/bash
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The tool as its users find it: help, mistakes, each bench as a table and as JSON, replay,
# a measurement that dies.
# usage: tool.sh ANYRCU ANYRCU_WITHOUT_PEERS
set -eu
tool=$1
alone=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail()
{
	echo "tool.sh: $*"
	failed=1
}

# run STATUS ARG...: what it prints is in $dir/out and $dir/err.
run()
{
	local want=$1 status=0
	shift
	"$tool" "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ $status = "$want" ] || fail "anyrcu $*: status $status, not $want: $(cat "$dir/err")"
}

# wrong PATTERN ARG...: a mistake in the call, which the message names.
wrong()
{
	local pattern=$1
	shift
	run 2 "$@"
	grep -q -- "$pattern" "$dir/err" ||
		fail "anyrcu $*: '$pattern' is not in: $(cat "$dir/err")"
	[ ! -s "$dir/out" ] || fail "anyrcu $*: prints $(cat "$dir/out")"
}

# says PATTERN: the last run printed it.
says()
{
	grep -qE -- "$1" "$dir/out" || fail "'$1' is not in: $(cat "$dir/out")"
}

# json FILE BENCH ROWS COLUMNS...: that bench has so many rows, and in each of them these columns
# are numbers, of which one is not 0.
json()
{
	python3 - "$@" <<'PYTHON' || fail "bench $2 in JSON"
import json, sys
report = json.load(open(sys.argv[1]))
bench, rows, columns = sys.argv[2], int(sys.argv[3]), sys.argv[4:]
found = [b for b in report["benches"] if b["name"] == bench]
assert len(found) == 1, "benches: %s" % [b["name"] for b in report["benches"]]
assert len(found[0]["rows"]) == rows, "%d rows" % len(found[0]["rows"])
assert report["machine"]["cpus"] > 0 and report["options"]["rounds"] > 0
for row in found[0]["rows"]:
    values = [row[c]["median"] for c in columns]
    right = all(isinstance(v, float) and 0 <= v < 1e15 for v in values)
    assert right and any(values), "%s: %s" % (row["name"], values)
    for c in columns:
        assert len(row[c]["rounds"]) == report["options"]["rounds"], row
        assert row[c]["min"] <= row[c]["median"] <= row[c]["max"], row
PYTHON
}

# ---- help and mistakes ----

run 0 --help && says 'Usage: anyrcu' && says ' scale '
run 0 --version && says '^anyrcu [0-9]+\.[0-9]+'
for help in help -h; do
	run 0 $help && says 'Usage: anyrcu ' && says ' scale '
done
run 0 help scale && says 'Usage: anyrcu scale'
run 0 scale -h && says 'Usage: anyrcu scale'
# What bash completes comes from there.
completed()
{
	PATH=$(dirname "$tool"):$PATH bash -c '. "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		compopt() { :; }; _anyrcu; echo " ${COMPREPLY[*]} "' \
		bash "$(dirname "$0")/../completions/anyrcu.bash" "$@"
}
[[ $(completed anyrcu '') == *' lockdep '*' urcu '* ]] ||
	fail "completes no commands: $(completed anyrcu '')"
[[ $(completed anyrcu re) == ' record replay ' ]] || fail "completes re by $(completed anyrcu re)"
[[ $(completed anyrcu scale --rea) == ' --reader-share= --readers= ' ]] ||
	fail "completes --rea by $(completed anyrcu scale --rea)"
[[ $(completed anyrcu lockstat --l) == ' --live ' ]] ||
	fail "completes --l by $(completed anyrcu lockstat --l)"
[[ $(completed anyrcu record -- l) == '  ' ]] || fail "completes what is run"
run 0 scale --help && says 'Usage: anyrcu scale' && says '--reader-share' &&
	says '  anyrcu-headless '
run 0 scale --usage && says 'Usage: anyrcu scale'
run 0 scale --version && says '^anyrcu [0-9]'
wrong 'which command' && wrong "no command 'scales'" scales && wrong '--what' --what
wrong 'which bench' scale && wrong "no bench 'what'" scale what &&
	wrong 'one bench' scale read defer
wrong '--what' scale --what read
wrong "'what'" scale --schemes=anyrcu-free,what defer
wrong 'twice' scale --schemes=anyrcu-free,anyrcu-free defer
wrong "''" scale --schemes= defer
wrong "'up'" scale --order=up invoke
for bad in readers=257 readers=-1 threads=0 threads=257 reader-share=0 reader-share=101 rounds=0 \
	rounds=102 size=0 size=1025K size=1x size=1KK size= objects=0 objects=1025G \
	objects=99999999999999999999999 depth=0 depth=2G seconds=0 seconds=3601 \
	limit=1 limit=1025G limit=18446744073709551615G; do
	wrong "--${bad%%=*}: '${bad#*=}'" scale --quick --schemes=immediate "--$bad" defer
done

# ---- benches ----

run 0 scale --help
ours='anyrcu-(free|headless|task|call|cache|alloc)'
theirs='urcu-(call_rcu|call_rcu-percpu|defer_rcu)|ck_epoch'
schemes=$(grep -cE "^  ((cache-)?immediate|in-bulk|$ours|$theirs) " "$dir/out")
[ "$schemes" = 13 ] || fail "--help names $schemes schemes"
schemes=$((schemes - $(grep -c 'not in this build' "$dir/out" || true)))
readers=3
grep -q '^  urcu-call_rcu  *not in' "$dir/out" || readers=$((readers + 2))
grep -q '^  ck_epoch  *not in' "$dir/out" || readers=$((readers + 1))
load='caller_ns cpu_ns p50_ns p99_ns p999_ns p9999_ns longest_ns waiting memory_bytes'

run 0 scale --quick all
for bench in defer invoke read synchronize flood; do
	says "^$bench: "
done
says '^anyrcu-free .* 1\.00x'
run 0 scale --quick --rounds=2 --json="$dir/all.json" all
says '^defer: '
run 0 scale --quick --json --order=random --size=1 --readers=0 --schemes=anyrcu-free,immediate defer
json "$dir/out" defer 2 $load
json "$dir/all.json" defer $schemes $load
json "$dir/all.json" flood $schemes caller_ns waiting waiting_bytes seconds drain_ns rss_50 rss_100
python3 - "$dir/all.json" <<'PYTHON' || fail "what is freed at once does not wait"
import json, sys
flood, = [b for b in json.load(open(sys.argv[1]))["benches"] if b["name"] == "flood"]
waiting = {row["name"]: row["waiting"]["max"] for row in flood["rows"]}
assert waiting["immediate"] <= 4 and waiting["cache-immediate"] <= 4, waiting
PYTHON
json "$dir/all.json" read $readers pair_ns
run 0 scale --quick --order=random --json invoke
python3 - "$dir/out" <<'PYTHON' || fail "--order=random measures both"
import json, sys
for row in json.load(open(sys.argv[1]))["benches"][0]["rows"]:
    assert row["random_touch_ns"]["median"] > 0, row
    assert row["sequential_touch_ns"]["median"] is None, row
PYTHON

# An object that waits reaches the limit, which ends the run.
run 0 scale --seconds=60 --size=1M --limit=1M --rounds=1 --schemes=anyrcu-free --json flood
python3 - "$dir/out" <<'PYTHON' || fail "a flood that reaches its limit"
import json, sys
row, = json.load(open(sys.argv[1]))["benches"][0]["rows"]
assert row["waiting_bytes"]["median"] >= 1 << 20 and row["seconds"]["median"] < 60, row
PYTHON

# ---- replay ----

wrong 'which trace' replay && wrong 'one trace' replay a b &&
	wrong "--repeat: '0'" replay --repeat=0 a
wrong "--repeat: '1000001'" replay --repeat=1000001 a
run 1 replay "$dir/absent"
grep -q "$dir/absent" "$dir/err" || fail "a trace that is not there: $(cat "$dir/err")"
run 0 record -o "$dir/trace" -- sort "$0"
size=$(wc -c <"$dir/trace")
head -c $((size / 2)) "$dir/trace" >"$dir/half"
run 1 replay "$dir/half"
grep -q "$dir/half" "$dir/err" || fail "half a trace: $(cat "$dir/err")"
run 0 replay --rounds=2 --repeat=3 --json "$dir/trace"
json "$dir/out" replay $schemes $load
run 0 replay --rounds=1 --repeat=2 --threads=3 --readers=2 --schemes=anyrcu-headless,immediate \
	"$dir/trace"
says '^replay: [0-9]+ allocations, .* 2 times' && says '^anyrcu-headless '

# ---- contexts and policies ----

wrong "what is 'x'" contexts x && wrong "what is 'x'" policies x &&
	wrong "--rounds: '0'" policies --rounds=0
run 0 contexts && says '^model rt$' && says '^call +page/chain +page/chain' &&
	says '^free_headless .*page/refused' &&
	says '^synchronize +waited +waited !'
run 0 contexts --json
python3 - "$dir/out" <<'PYTHON' || fail "contexts in JSON"
import json, sys
models = json.load(open(sys.argv[1]))["models"]
assert sorted(models) == ["full", "none", "rt"]
for name, rows in models.items():
    assert len(rows) == 18 and all(len(row) == 7 for row in rows.values())
    assert all(cell["right"] for row in rows.values() for cell in row.values())
    assert (rows["barrier"]["spinlock"]["reports"] == 0) == (name == "rt")
PYTHON
run 0 policies --quick --json="$dir/policies" && says '^nolocks, none, task '
json "$dir/policies" policies 54 page_percent defer_ns invoke_ns longest_ns reports
python3 - "$dir/policies" <<'PYTHON' || fail "what the policies do"
import json, sys
rows = {r["name"]: r for r in json.load(open(sys.argv[1]))["benches"][0]["rows"]}
for name, row in rows.items():
    policy, model, where = name.split(", ")[:3]
    raw = where in ("raw spinlock", "hard handler")
    free = not raw and not (where == "spinlock" and model == "full")
    share = {"nolocks": 100,
             "preemptible": 100 if model != "none" and free else 0,
             "rt-off": 0 if model == "rt" else 100,
             "raw-variants": 0 if "anyrcu_raw_call" in name else 100}[policy]
    assert row["page_percent"]["median"] == share, (name, row["page_percent"])
    mistaken = policy == "raw-variants" and raw and share == 100
    assert (row["reports"]["median"] > 0) == mistaken, name
PYTHON

# ---- a build without what it is compared with ----

tool=$alone
wrong "'ck_epoch' is not in this build" scale --schemes=anyrcu-free,ck_epoch defer
run 0 scale --help && says 'ck_epoch +not in this build'
run 0 scale --quick --json all
json "$dir/out" defer 9 $load
tool=$1

# ---- failures ----

run 1 scale --quick --json=/nonexistent/x read
grep -q '/nonexistent/x' "$dir/err" || fail "a file that cannot be written: $(cat "$dir/err")"

"$tool" scale --seconds=60 --rounds=1 --schemes=immediate flood >"$dir/out" 2>"$dir/err" &
pid=$!
child=
while [ -z "$child" ]; do
	read -r child <"/proc/$pid/task/$pid/children" || true
	sleep 0.1
done
kill -KILL "${child%% *}"
status=0
wait $pid || status=$?
[ $status = 1 ] && grep -q 'immediate: died of signal 9' "$dir/err" ||
	fail "a measurement that dies: $status, $(cat "$dir/err")"

exit $failed
