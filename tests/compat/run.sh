#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Each program here, for each flavour, in C and C++, with _LGPL_SOURCE and without, compiled with
# anyrcu and with liburcu: the output is the same. And none of liburcu's headers is read on the way
# to anyrcu.
# usage: run.sh SOURCE_DIR BUILD_DIR PROGRAM
set -eu
src=$1
build=$2
program=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export LD_LIBRARY_PATH="$build/src:$build/src/urcu"
ours="-I$src/include/anyrcu/compat -I$src/include"
flags='-O1 -g -Wall -Wextra -Werror -pthread'
failed=
both=0

# Headers of liburcu's names that are not anyrcu's, of those that the compiler says it has read.
foreign()
{
	grep -E '^\.+ ' | grep -E '/urcu[^/]*\.h|/urcu/' | grep -v "$src/include/anyrcu/compat"
}

# try NAME LIBRARY COMPILE...: both ways, and compare.
try()
{
	name=$1
	lib=$2
	shift 2
	"$@" $ours -H -c "$src/tests/compat/$program.c" -o "$dir/o" 2>"$dir/headers" || {
		grep -E 'error|warning|note|In f' "$dir/headers"
		failed=1
		return
	}
	if foreign <"$dir/headers"; then
		echo "$name: a header that is not anyrcu's was read"
		failed=1
	fi
	cc=$1
	# The table of liburcu-cds alone comes from there.
	$cc -pthread "$dir/o" -o "$dir/ours" -L"$build/src/urcu" -L"$build/src" -lanyrcu-urcu \
		-lanyrcu $cds
	if ! timeout 600 "$dir/ours" >"$dir/ours.out" 2>"$dir/ours.err" ||
		[ -s "$dir/ours.err" ]; then
		echo "$name: failed"
		cat "$dir/ours.out" "$dir/ours.err"
		failed=1
		return
	fi
	if ! "$@" "$src/tests/compat/$program.c" -o "$dir/theirs" -lurcu-common $lib \
		-lurcu-cds 2>"$dir/said"; then
		[ "$1" = c++ ] || { cat "$dir/said"; failed=1; }
		return # some of liburcu's headers are for C alone
	fi
	timeout 600 "$dir/theirs" >"$dir/theirs.out" 2>"$dir/said" || { cat "$dir/said"; failed=1; }
	both=$((both + 1))
	cmp "$dir/ours.out" "$dir/theirs.out" || {
		diff "$dir/ours.out" "$dir/theirs.out" || :
		echo "$name: not as with liburcu"
		failed=1
	}
}

# The look at the headers must be able to see them.
cc -H -fsyntax-only "$src/tests/compat/$program.c" 2>&1 | foreign >"$dir/seen"

cds=
[ "$program" != hash ] || cds=-lurcu-cds
for flavor in memb mb qsbr bp; do
	define=-DFLAVOR_$(echo "$flavor" | tr a-z A-Z)
	lib=-lurcu-$flavor
	for lgpl in '' -D_LGPL_SOURCE; do
		try "$program, $flavor, C $lgpl" "$lib" cc -std=gnu11 $flags $define $lgpl
		try "$program, $flavor, C++ $lgpl" "$lib" c++ -x c++ -std=gnu++17 $flags \
			$define $lgpl
	done
done
[ -z "$failed" ] && [ "$both" -ge 8 ]
