#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# What programs are compiled against, the types of all exported functions and all public structs and
# constants, is what it was at the last release (tests/abi/anyrcu.abi) but for what was added: new
# functions, and new fields at the end of the structs that say their size. The library exports just
# what src/libanyrcu.map lists. Then with each breakage, which must be found.
# usage: abi.sh SOURCE_DIR LIBRARY | --update SOURCE_DIR
#	--update: after a release, writes the baseline anew.
set -eu
update=
if [ "$1" = --update ]; then
	update=1
	shift
fi
src=$1
if ! command -v abidiff >/dev/null; then
	echo "abidiff, of abigail-tools, is not here"
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

headers=$(cd "$src/include" && ls anyrcu/*.h anyrcu/inline/reader.h | grep -v '^anyrcu/linux')
# The names that match a pattern with a star are those of the headers.
declared=$(cd "$src/include" &&
	cat $headers | sed -n -e 's/^ANYRCU_API [^(]*[ *]\([a-z0-9_]*\)(.*/\1/p' \
	-e 's/^extern ANYRCU_DATA .*[ *]\([a-z0-9_]*\);/\1/p')
exported()
{
	for name in $(sed -n '/^global:/,/^local:/s/^	\(.*\);/\1/p' "$src/src/libanyrcu.map" |
		grep -vx vfork); do
		case $name in
		*\*) echo "$declared" | grep -x "${name%\*}.*" ;;
		*) echo "$name" ;;
		esac
	done | sort -u
}
exported >"$dir/exported"

# An object with a variable for each exported function, whose type is that of a pointer to it; for
# each struct and type; and for each constant, whose type is an array of that many and one. Its
# arguments are added to the compiler's.
interface()
{
	include=$1
	{
		echo '#define _GNU_SOURCE'
		for header in $headers; do
			echo "#include <$header>"
		done
		while read -r name; do
			echo "__typeof__(&$name) exported_$name;"
		done <"$dir/exported"
		for header in $headers; do
			cat "$include/$header"
		done | sed -n \
			-e 's/^struct \(anyrcu_[a-z0-9_]*\) {.*/struct \1 *struct_\1;/p' \
			-e 's/^enum \(anyrcu_[a-z0-9_]*\) {.*/enum \1 enum_\1;/p' \
			-e 's/^} \(anyrcu_[a-z0-9_]*\);.*/\1 type_\1;/p' \
			-e 's/^typedef .* \(anyrcu_[a-z0-9_]*\);.*/\1 type_\1;/p' \
			-e 's/^#define \(ANYRCU_[A-Z_]*\) [0-9][0-9a-fx]*\( .*\)\{0,1\}$/'\
'char constant_\1[\1 + 1];/p'
		sed -n '/^enum {/,/}/p' "$include"/anyrcu/page.h "$include"/anyrcu/cache.h |
			grep -o 'ANYRCU_[A-Z_]* =' | sed 's/\(.*\) =/char constant_\1[\1 + 1];/'
	} >"$dir/interface.c"
	cc -std=gnu11 -g -gdwarf-4 -fPIC -shared -w -I"$include" "$dir/interface.c" \
		-o "$dir/interface.so" -nostdlib -Wl,--unresolved-symbols=ignore-all
	abidw --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed \
		--no-parameter-names --out-file "$dir/interface.abi" "$dir/interface.so"
}

interface "$src/include"
if [ -n "$update" ]; then
	cp "$dir/interface.abi" "$src/tests/abi/anyrcu.abi"
	exit
fi

# compare BASELINE: what is here with it.
compare()
{
	abidiff --no-added-syms --suppressions "$src/tests/abi/added.suppr" "$1" \
		"$dir/interface.abi" >"$dir/said"
}
compare "$src/tests/abi/anyrcu.abi" || { cat "$dir/said"; exit 1; }

nm -D --defined-only "$2" | awk '$2 != "A" {sub("@.*", "", $3); print $3}' | grep -vx vfork |
	sort >"$dir/has"
if ! diff "$dir/exported" "$dir/has" >"$dir/said"; then
	echo "src/libanyrcu.map (<) and what the library exports (>):"
	cat "$dir/said"
	exit 1
fi

# broken WHAT FILE EXPRESSION RESULT: with a header edited, or the list of symbols, the result is
# that one.
broken()
{
	rm -rf "$dir/broken"
	cp -r "$src/include" "$dir/broken"
	cp "$dir/exported" "$dir/sound"
	cp "$dir/exported" "$dir/broken/exported"
	sed -i "$3" "$dir/broken/$2"
	! cmp -s "$dir/broken/$2" "$src/include/$2" || { echo "not edited: $1"; exit 1; }
	cp "$dir/broken/exported" "$dir/exported"
	interface "$dir/broken"
	cp "$dir/sound" "$dir/exported"
	found=0
	compare "$src/tests/abi/anyrcu.abi" || found=1
	[ "$found" = "$4" ] || { echo "$1: found $found, should be $4"; cat "$dir/said"; exit 1; }
}
broken 'another argument' anyrcu/page.h \
	's/^\(ANYRCU_API .*anyrcu_page_alloc(\)unsigned/\1unsigned long/' 1
broken 'a wider field' anyrcu/config.h 's/^	uint32_t nframes;/	uint64_t nframes;/' 1
broken 'fields the other way round' anyrcu/defer.h \
	'/^	struct anyrcu_head \*next;/{N;s/\(.*\)\n\(.*\)/\2\n\1/}' 1
broken 'a larger struct without a size' anyrcu/hash.h \
	's/^struct anyrcu_hash_node {/&\n	long added;/' 1
broken 'a field gone from a struct with a size' anyrcu/config.h '/^	uint64_t delay_us;/d' 1
broken 'a field in the middle of a struct with a size' anyrcu/stats.h \
	's/^	uint64_t invoked;/	uint64_t added;\n&/' 1
broken 'a constant changed' anyrcu/page.h \
	's/^#define ANYRCU_PAGE_ORDER_MAX 9/#define ANYRCU_PAGE_ORDER_MAX 8/' 1
broken 'an enumerator changed' anyrcu/page.h 's/ANYRCU_GFP_NO_LOCKS = 2/ANYRCU_GFP_NO_LOCKS = 3/' 1
broken 'an enumerator before others' anyrcu/config.h \
	's/^	ANYRCU_POLICY_RT_OFF,/	ANYRCU_POLICY_ADDED,\n&/' 1
broken 'a lock that is larger' anyrcu/lock.h 's/^} anyrcu_mutex_t;/	long added;\n&/' 1
broken 'a reader record otherwise' anyrcu/inline/reader.h \
	's/^struct anyrcu_reader {/&\n	long added;/' 1
broken 'a symbol gone' exported /anyrcu_barrier/d 1
broken 'a field at the end of a struct with a size' anyrcu/config.h \
	's/^	uint64_t pending_bytes_max;/&\n	uint64_t added;/' 0
