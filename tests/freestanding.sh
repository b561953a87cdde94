#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The core compiles freestanding and calls nothing but port_* and mem*.
# usage: freestanding.sh SOURCE_DIR COMPILER...
set -eu
src=$1
shift
cc=$*
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

undefined()
{
	$cc -std=gnu11 -O2 -ffreestanding -fno-builtin -fvisibility=hidden -Wall -Wextra -Werror \
		-Wno-unused-parameter -I"$src/include" -I"$src/src" -I"$src/src/port/posix" \
		-r -nostdlib -o "$dir/core.o" "$@"
	nm -u "$dir/core.o" | awk '{print $2}' |
		grep -vE '^(port_|mem(set|cpy|move|cmp)$|_GLOBAL_OFFSET_TABLE_$|__tls_get_addr$)' ||
		true
}

core=$(find "$src"/src/base "$src"/src/pages "$src"/src/gp "$src"/src/cache "$src"/src/lockdep \
	"$src"/src/context "$src"/src/store "$src"/src/defer \
	"$src"/src/domain "$src"/src/data -name '*.c')
found=$(undefined $core)
if [ -n "$found" ]; then
	echo "the core needs: $found"
	exit 1
fi

# The signature of an aborted sequence, ud1, is not where cold code is: a sequence that the compiler
# puts there would run into it.
if objdump -d -j .text.unlikely "$dir/core.o" 2>/dev/null | grep -q 'ud1'; then
	echo "abort labels of sequences are in .text.unlikely"
	exit 1
fi

# Negative control: a core that calls the C library must be found out.
printf 'int puts(const char *);\nint broken(void) { return puts("x"); }\n' >"$dir/broken.c"
if [ "$(undefined $core "$dir/broken.c")" != puts ]; then
	echo "a call of puts() was not found"
	exit 1
fi
