#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Show what the library is for: a program done wrong and right, then what an object costs in three
# bars. With --all or --replay, what the C compiler allocates and frees while it compiles one
# of this project's source files is recorded, and replayed through every scheme side by side.
# usage: run.sh BUILD_DIR [--all | --replay [OPTION_OF_REPLAY...]]
set -eu
build=$(cd "$1" && pwd)
what=${2:-}
shift
[ $# = 0 ] || shift
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if [ "$what" != --replay ]; then
	urcu=
	! pkg-config --exists liburcu || urcu="-DWITH_URCU $(pkg-config --cflags --libs liburcu)"
	# shellcheck disable=SC2086 # words
	"${CC:-cc}" -O2 -Iinclude bench/story.c -o "$dir/story" \
		-L"$build/src" -lanyrcu -pthread $urcu
	LD_LIBRARY_PATH=$build/src "$dir/story"
	echo
	"$build/tools/anyrcu/anyrcu" scale --json="$dir/cost.json" --objects=1M --rounds=3 \
		--schemes=immediate,anyrcu-free,anyrcu-cache,urcu-call_rcu,urcu-defer_rcu,ck_epoch \
		defer >"$dir/cost.txt" 2>&1 || { cat "$dir/cost.txt"; exit 1; }
	scripts/bars.py "$dir/cost.json"
fi
case $what in
--all | --replay)
	[ "$what" = --replay ] || echo
	source=src/gp/gp.c
	echo "The C compiler compiles $source. What it allocates and frees is recorded, and done" \
		"again with each free deferred."
	"$build/tools/anyrcu/anyrcu" record -o "$dir/cc.trace" -- "${CC:-cc}" -std=gnu11 -O2 \
		-Iinclude -Isrc -Isrc/port/posix -c "$source" -o "$dir/source.o"
	"$build/tools/anyrcu/anyrcu" replay "$@" "$dir/cc.trace"
	;;
'') echo "More: make run-all, make bench." ;;
*) echo "run.sh: what is $what?" >&2; exit 2 ;;
esac
