#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Make a static library of one relocatable object, in which only what the version map exports is
# global. So whatever a program uses of it, it gets the constructors as well; and no other name of
# the library can clash with one of the program. Its variables have sections of their own, so that
# it can tell helgrind which they are: see src/port/posix/checker.c.
# usage: archive.sh VERSION_MAP OUTPUT OBJECT... -- COMPILER...
set -eu
map=$1
out=$2
shift 2
objects=
while [ "$1" != -- ]; do
	objects="$objects $1"
	shift
done
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# tool NAME COMPILER...: the target's own, as the compiler knows it; or LLVM's, which is for all
# targets.
tool()
{
	name=$1
	shift
	command -v "$("$@" -print-prog-name="$name")" || command -v "llvm-$name" ||
		{ echo "$name is missing" >&2; return 1; }
}
objcopy=$(tool objcopy "$@")
ar=$(tool ar "$@")

sed -n '/^global:/,/^local:/s/^[[:space:]]*\([a-z_*]*\);$/\1/p' "$map" >"$dir/exported"
object=$dir/$(basename "$out" .a).o
"$@" -r -nostdlib -o "$object" $objects
"$objcopy" --wildcard --keep-global-symbols="$dir/exported" \
	--rename-section .data=anyrcu_data --rename-section .data.rel=anyrcu_data \
	--rename-section .data.rel.local=anyrcu_data --rename-section .bss=anyrcu_bss "$object"
rm -f "$out"
"$ar" rcs "$out" "$object"
