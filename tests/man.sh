#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The manual: each page renders without a warning, each public function and macro has one,
# and no link leads nowhere.
# usage: man.sh SOURCE_DIR
set -eu

source=${1:?usage: man.sh SOURCE_DIR}
pages=$source/docs/man
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=$tree/failed

fail() {
	echo "man.sh: $*" >&2
	: >"$failed"
}

# Link pages name their target by its place in an installed tree, so render them in one.
for page in "$pages"/*.[1-9]; do
	[ -f "$page" ] || { fail "no pages in $pages"; exit 1; }
	section=man${page##*.}
	mkdir -p "$tree/$section"
	cp "$page" "$tree/$section"
done

# man drops what the formatter says on stderr unless told to keep it.
for page in "$pages"/*.[1-9]; do
	name=${page##*/}
	(cd "$tree" &&
		env -u MANOPT -u MANROFFOPT -u MANROFFSEQ LC_ALL=C MANWIDTH=80 MAN_KEEP_STDERR=1 \
			man -l --warnings -E UTF-8 -Tutf8 "man${name##*.}/$name") \
		>"$tree/out" 2>"$tree/err" ||
		fail "$name does not render"
	[ ! -s "$tree/err" ] || fail "$name renders with warnings: $(cat "$tree/err")"
	[ -s "$tree/out" ] || fail "$name renders empty"
	target=$(sed -n 's/^\.so //p' "$page")
	[ -f "$tree/${target:-man${name##*.}/$name}" ] ||
		fail "$name links to $target, which does not exist"
done

# What there is, the manual names: each public header, each command of the tool,
# and each of its options, by both names.
for header in "$source"/include/anyrcu/*.h "$source"/include/anyrcu/*.hpp; do
	name=${header##*/}
	case $name in linux*.h) continue ;; esac # for the kernel: anyrcu.9
	[ "$name" = anyrcu.h ] || grep -q "^\.I <anyrcu/$name>" "$pages/anyrcu.7" ||
		fail "anyrcu.7 does not name <anyrcu/$name>"
done
names=$(cat "$source"/include/anyrcu/linux*.h | sed -nE \
	-e 's/^[a-z].*[ *](anyrcu_[a-z_]*)\(.*/\1/p' \
	-e 's/^#define (anyrcu_[a-z_]*)\(.*/\1/p' | grep -v '_free_head$')
[ "$(echo "$names" | wc -l)" -ge 12 ] || fail "found no functions for the kernel"
for name in $names; do
	grep -q "^\.BI* \"[^\"]*[ *]$name(" "$pages/anyrcu.9" ||
		fail "anyrcu.9 does not name $name"
done
for name in $(sed -n 's/^\t{ "\([a-z]*\)", cmd_.*/\1/p' "$source/tools/anyrcu/main.c"); do
	grep -q "^\.SS $name\$" "$pages/anyrcu.1" &&
		grep -q "^.fBanyrcu $name.fP\|^.fBanyrcu $name " "$pages/anyrcu.1" ||
		fail "anyrcu.1 does not describe anyrcu $name"
done
# The options of a command are those of the table in its source.
grep -rhoE '\{ "[a-z-]+", [A-Z'"'"'].*' "$source"/tools/anyrcu/ --include='*.c' |
	grep -E ', (0|OPTION_[A-Z_]*),' |
	sed -nE "s/^\{ \"([a-z-]+)\", ('(.)')?.*/\1 \3/p" >"$tree/options"
[ "$(wc -l <"$tree/options")" -gt 20 ] || fail "found no options in $source/tools/anyrcu"
while read -r name letter; do
	name=$(echo "$name" | sed 's/-/\\\\-/g')
	grep -q -- "\\\\-\\\\-$name" "$pages/anyrcu.1" || fail "anyrcu.1 does not name --$name"
	[ -z "$letter" ] || grep -qE -- "^\\.(BR|BI) \\\\-$letter.*$name" "$pages/anyrcu.1" ||
		fail "anyrcu.1 does not name -$letter of --$name"
done <"$tree/options"

headers=$(ls "$source"/include/anyrcu/*.h | grep -v "/linux[^/]*\.h$")
# The name is looked for on the line that the declaration begins on.
declared=$(cat $headers | sed -n \
	-e 's/^ANYRCU_API [^(]*[ *]\([a-z0-9_]*\)(.*/\1/p' \
	-e 's/^static inline [^(]*[ *]\([a-z0-9_]*\)(.*/\1/p' \
	-e 's/^#define \([a-z0-9_]*\)(.*/\1/p')
expected=$(cat $headers | grep -cE '^(ANYRCU_API|static inline|#define [a-z0-9_]+\()' || :)
# shellcheck disable=SC2086 # a list of words
set -- $declared
[ "$expected" -gt 0 ] || fail "no declarations in $source/include/anyrcu"
[ $# -eq "$expected" ] || fail "found $# names in $expected declarations of $source/include/anyrcu"

for name; do
	case $name in
	# Out-of-line parts of macros, not interfaces;
	anyrcu_free_head | anyrcu_free_task_head | anyrcu_raw_free_head | anyrcu_free_head_sized | \
	*_init_class) continue ;;
	# the same, and for what the tool preloads;
	anyrcu_lockdep_suspicious | anyrcu_lockdep_attach) continue ;;
	# the same.
	anyrcu_*list_link | anyrcu_*list_unlink | anyrcu_list_splice_between | \
	anyrcu_list_corrupt | anyrcu_hash_key | anyrcu_hash_bucket | anyrcu_hash_behind | \
	anyrcu_hash_walk | anyrcu_hash_any) continue ;;
	esac
	page=$tree/man3/$name.3
	[ -f "$page" ] || { fail "$name has no page"; continue; }
	target=$(sed -n 's/^\.so //p' "$page")
	page=$tree/${target:-man3/$name.3}
	[ -f "$page" ] || continue # said above
	sed -n '/^\.SH NAME/,/^\.SH SYNOPSIS/p' "$page" | grep -qw "$name" ||
		fail "$name leads to ${page##*/}, which does not name it"
done

[ ! -e "$failed" ]
