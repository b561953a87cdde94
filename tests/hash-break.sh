#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A copy of src/data/hash.c with a mistake in it, which the tests of the hash table must find.
# usage: hash-break.sh MISTAKE SOURCE COPY
# Fails where there is nothing to change.
set -eu

case $1 in
not-unlinked) # what is removed is still reached when it is freed
	mistake='/^static bool take_out(/,/^}/s/find(bucket, node->key, true);/(void)bucket;/' ;;
buckets-stay) # freed while they are in the list
	mistake='/^static void shrink_unlink(/,/^}/s/take_out(.*/(void)n;/' ;;
replaced-in-two) # removed, then added
	mistake='/^bool anyrcu_hash_replace(/,/^}/s/done = take_out(\(.*\), old, node);/'\
'done = take_out(\1, old, NULL);\n'\
'\tport_yield(0);\n\twhile (done \&\& !insert(find(\1, node->key, false), node))\n\t\t;/' ;;
esac
sed "$mistake" "$2" >"$3"
if cmp -s "$2" "$3"; then
	echo "$2: nothing to break for $1" >&2
	exit 1
fi
