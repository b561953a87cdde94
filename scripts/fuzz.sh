#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Run each fuzzer for so many seconds, from where it has come to before.
# What it finds stays in build-clang/fuzz/NAME.
# usage: fuzz.sh SECONDS
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh test
[ -f build-clang/build.ninja ] || CC=clang meson setup build-clang >/dev/null
ninja -C build-clang --quiet
for name in api atomics cache trace options; do
	dir=build-clang/fuzz/$name
	mkdir -p $dir/corpus
	echo "== $name"
	build-clang/tests/fuzz/fuzz_$name -max_total_time="$1" -max_len=400 -len_control=0 \
		-timeout=60 -print_final_stats=1 -artifact_prefix=$dir/ \
		$dir/corpus >$dir/log 2>&1 || {
		tail -n 60 $dir/log
		exit 1
	}
	grep -aE 'DONE|executed_units|exec_per_sec' $dir/log
done
