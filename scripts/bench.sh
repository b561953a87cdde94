#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Run all benches, and keep their raw results in bench/results as JSON, with the tables in summary.txt.
# usage: bench.sh BUILD_DIR
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
results=bench/results
mkdir -p "$results"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for bench in defer invoke read synchronize flood; do
	"$build/tools/anyrcu/anyrcu" scale --json="$results/$bench.json" "$bench"
	echo
done >"$dir/summary.txt"
scripts/run.sh "$build" >>"$dir/summary.txt"
"$build/tools/anyrcu/anyrcu" scale --threads="$(nproc)" --json="$results/defer-threads.json" defer
mv "$dir/summary.txt" "$results/summary.txt"
cat "$results/summary.txt"
