#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Under a filter that lets through the system calls that anyrcu(7) lists, and kills at any other,
# the library does all its duties. usage: listed-calls.sh SOURCE_ROOT LIBRARY_DIR COMPILER...
set -eu
root=$1
lib=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# From the paragraph's first call to its last; as libc makes them.
sed -n '/^Under a system call filter/,/^A filter that does not answer/p' "$root/docs/man/anyrcu.7" |
	sed -n 's/^\.BR \([a-z0-9_]*\) (2).*/\1/p' |
	sed 's/^sigaction$/rt_&/; s/^getrlimit$/prlimit64/; s/^f\{0,1\}stat$/newfstatat/' |
	sed 's/.*/SYS_&,/' >"$dir/listed.h"
"$@" -D_GNU_SOURCE -I"$dir" -I"$root/include" "$root/tests/listed_calls.c" -o "$dir/listed_calls" \
	-L"$lib" -lanyrcu -Wl,-rpath,"$lib" -pthread
for duty in $("$dir/listed_calls"); do
	code=0
	timeout -k 5 60 "$dir/listed_calls" "$duty" >"$dir/out" 2>&1 || code=$?
	[ $code = 0 ] || {
		echo "listed-calls: $duty: exit status $code"
		cat "$dir/out"
		failed=1
	}
done
# The filter works: a call that is not in the list ends the program.
sed -i '/SYS_futex,/d' "$dir/listed.h"
"$@" -D_GNU_SOURCE -I"$dir" -I"$root/include" "$root/tests/listed_calls.c" -o "$dir/listed_calls" \
	-L"$lib" -lanyrcu -Wl,-rpath,"$lib" -pthread
if "$dir/listed_calls" domain >"$dir/out" 2>&1; then
	echo "listed-calls: a filter without futex() changes nothing"
	failed=1
fi
exit $failed
