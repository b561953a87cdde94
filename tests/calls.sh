#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# No circle of files that use each other's functions or variables, in each part of the tree. Calls
# through pointers (hooks) are how a lower file reaches a higher one.
# usage: calls.sh SOURCE_DIR COMPILER...; with TOOL=1 in the environment the tool's files, too
#
# Left out is src/lockdep, where the engine asks the graph, which names locks as the engine does.
set -eu
src=$1
shift
cc=$*
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# circles FILE...: lines of tsort that name files in a circle
circles()
{
	rm -f "$dir"/*.o "$dir/defined" "$dir/used"
	for file; do
		object=$dir/$(printf '%s' "${file#"$src"/}" | tr / @).o
		$cc -std=gnu11 -O1 -w -D_GNU_SOURCE -DTOOL_VERSION='""' -I"$src/include" \
			-I"$src/src" -I"$src/src/port/posix" -I"$src/tools/anyrcu" \
			-DPRELOAD_FROM_BINDIR='""' -DURCU_LOOP_FROM_BINDIR='""' \
			-DTORTURE_FROM_BINDIR='""' -c -o "$object" "$file"
	done
	nm -g --defined-only -A "$dir"/*.o | sed "s,^$dir/,," |
		awk '{ sub(/:.*/, "", $1); print $NF, $1 }' | sort >"$dir/defined"
	nm -u -A "$dir"/*.o | sed "s,^$dir/,," | awk '{ sub(/:.*/, "", $1); print $NF, $1 }' |
		sort >"$dir/used"
	join "$dir/used" "$dir/defined" | awk '$2 != $3 { print $2, $3 }' | sort -u >"$dir/edges"
	tsort <"$dir/edges" 2>&1 >/dev/null | sed 's/^tsort: //; s/\.o$//; s,@,/,g' || true
}

bad=0
report()
{
	what=$1
	shift
	found=$(circles "$@" | grep -vE '^-$|input contains a loop' || true)
	if [ -n "$found" ]; then
		echo "$what: files that use each other:"
		echo "$found"
		bad=1
	fi
}

core=$(find "$src"/src/pages "$src"/src/gp "$src"/src/store "$src"/src/context "$src"/src/defer \
	"$src"/src/domain "$src"/src/cache "$src"/src/data -name '*.c')
report 'the core' $core
tool=$(find "$src"/tools/anyrcu -name '*.c' |
	grep -vE '/(preload|torture/(main|object|fault|role)|urcu/loop)[a-z_]*\.c$')
[ -z "${TOOL:-}" ] || report 'the tool' $tool

# Negative control.
printf 'void b(void);\nvoid a(void) { b(); }\n' >"$dir/a.c"
printf 'void a(void);\nvoid b(void) { a(); }\n' >"$dir/b.c"
if [ -z "$(circles "$dir/a.c" "$dir/b.c")" ]; then
	echo "two files that call each other were not found"
	bad=1
fi
exit $bad
