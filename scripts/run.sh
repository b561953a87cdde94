#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Show what the library does for a real program: record what the C compiler allocates and frees while it compiles this
# project's largest source file, and replay that through every scheme side by side.
# usage: run.sh BUILD_DIR [OPTION_OF_REPLAY...]
set -eu
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

largest=$(find src -name '*.c' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
echo "The C compiler compiles $largest. What it allocates and frees is recorded, and done again with each free deferred."
"$build/tools/anyrcu/anyrcu" record -o "$dir/cc.trace" -- \
	"${CC:-cc}" -std=gnu11 -O2 -Iinclude -Isrc -c "$largest" -o "$dir/largest.o"
"$build/tools/anyrcu/anyrcu" replay "$@" "$dir/cc.trace"
