#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The core compiles freestanding and calls nothing but port_* and mem*.
# usage: freestanding.sh SOURCE_DIR COMPILER
set -eu
src=$1
cc=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

undefined()
{
	$cc -std=gnu11 -O2 -ffreestanding -fno-builtin -fvisibility=hidden -Wall -Wextra -Werror -Wno-unused-parameter \
		-I"$src/include" -I"$src/src" -r -nostdlib -o "$dir/core.o" "$@"
	nm -u "$dir/core.o" | awk '{print $2}' |
		grep -vE '^(port_|mem(set|cpy|move|cmp)$|_GLOBAL_OFFSET_TABLE_$|__tls_get_addr$)' || true
}

core=$(find "$src"/src/base "$src"/src/pages "$src"/src/gp "$src"/src/lockdep "$src"/src/context "$src"/src/defer "$src"/src/domain -name '*.c')
found=$(undefined $core)
if [ -n "$found" ]; then
	echo "the core needs: $found"
	exit 1
fi

# Negative control: a core that calls the C library must be found out.
printf 'int puts(const char *);\nint broken(void) { return puts("x"); }\n' >"$dir/broken.c"
if [ "$(undefined $core "$dir/broken.c")" != puts ]; then
	echo "a call of puts() was not found"
	exit 1
fi
