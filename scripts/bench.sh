#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Run benches, all by default. What one measures goes to bench/results, the table as NAME.txt and
# the raw results as NAME.json. All of them take about fifteen minutes.
# usage: bench.sh BUILD_DIR [NAME...]; the names are those of "anyrcu scale", "threads", "replay",
#	"urcu" and, only when asked for, "lockdep", which needs what "deps.sh bench-lockdep"
#	installs, and compares with a redis-server built with ThreadSanitizer if REDIS_TSAN
#	names one
set -eu
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
results=$(pwd)/bench/results
mkdir -p "$results"

all='defer alone threads invoke depth read synchronize flood handover hash rcu_hpp replay urcu'
for name in ${*:-$all}; do
	json=--json=$results/$name.json
	if [ "$name" = urcu ]; then
		scripts/bench-urcu.py "$build" "$results"
		continue
	fi
	if [ "$name" = depth ]; then
		for depth in 1000 10000 100000 1000000 4000000; do
			"$build/tools/anyrcu/anyrcu" scale --order=random --depth=$depth \
				--json="$results/depth-$depth.json" invoke
		done >"$results/depth.txt"
		cat "$results/depth.txt"
		continue
	fi
	if [ "$name" = hash ]; then
		"${CC:-cc}" -O2 -Iinclude bench/hash.c -o "$build/bench_hash" \
			-L"$build/src" -lanyrcu -lurcu-cds -lurcu
		LD_LIBRARY_PATH=$build/src "$build/bench_hash" >"$results/hash.txt" \
			3>"$results/hash.json"
		cat "$results/hash.txt"
		continue
	fi
	if [ "$name" = handover ]; then
		"${CC:-cc}" -O2 -Iinclude bench/handover.c -o "$build/bench_handover" \
			-L"$build/src" -lanyrcu
		LD_LIBRARY_PATH=$build/src "$build/bench_handover" | tee "$results/handover.txt"
		continue
	fi
	if [ "$name" = rcu_hpp ]; then
		"${CXX:-c++}" -O2 -std=c++17 -Iinclude bench/rcu_hpp.cpp -o "$build/bench_rcu_hpp" \
			-L"$build/src" -lanyrcu
		LD_LIBRARY_PATH=$build/src "$build/bench_rcu_hpp" | tee "$results/rcu_hpp.txt"
		continue
	fi
	case $name in
	alone) "$build/tools/anyrcu/anyrcu" scale --readers=0 "$json" defer ;;
	threads) "$build/tools/anyrcu/anyrcu" scale --threads="$(nproc)" "$json" defer ;;
	lockdep)
		scripts/bench_lockdep.py "$build/tools/anyrcu/anyrcu" "$results/lockdep.json" \
			${REDIS_TSAN:-}
		;;
	replay) scripts/run.sh "$build" --replay "$json" ;;
	*) "$build/tools/anyrcu/anyrcu" scale "$json" "$name" ;;
	esac >"$results/$name.txt"
	cat "$results/$name.txt"
done
scripts/plots.py "$results"
