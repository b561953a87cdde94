#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Run all benches. Their raw results go to bench/results as JSON, the tables to summary.txt there. Takes some minutes.
# usage: bench.sh BUILD_DIR
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
results=$(pwd)/bench/results
mkdir -p "$results"

{
	"$build/tools/anyrcu/anyrcu" scale --json="$results/scale.json" all
	echo
	echo "As many threads that defer as CPUs:"
	"$build/tools/anyrcu/anyrcu" scale --threads="$(nproc)" --json="$results/scale-threads.json" defer
	echo
	scripts/run.sh "$build" --json="$results/replay.json"
} | tee "$results/summary.txt"
