#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The library as its users find it: installed, through pkg-config, from C and C++, shared and static.
# usage: install.sh SOURCE_DIR BUILD_DIR
set -eu
src=$1
build=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

DESTDIR=$dir/root meson install -C "$build" --quiet --no-rebuild >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
pc=$(dirname "$(find "$dir/root" -name anyrcu.pc)")
lib=$(dirname "$pc")
export PKG_CONFIG_PATH="$pc" PKG_CONFIG_SYSROOT_DIR="$dir/root"
cflags=$(pkg-config --cflags anyrcu)
libs=$(pkg-config --libs anyrcu)

[ "$(objdump -p "$lib/libanyrcu.so" | awk '/SONAME/ {print $2}')" = libanyrcu.so.0 ]
# What the library needs at run time is libc alone.
needed=$(objdump -p "$lib/libanyrcu.so" | awk '/NEEDED/ {print $2}' | grep -vE '^(libc\.so\.6|ld-linux.*)$' || true)
[ -z "$needed" ] || { echo "the library needs $needed"; exit 1; }
# All that it exports has its version, and is in the public headers.
exported=$(nm -D --defined-only "$lib/libanyrcu.so" | awk '$2 != "A" {print $3}')
for symbol in $exported; do
	name=${symbol%%@*}
	[ "$name" != "$symbol" ] || { echo "$symbol has no version"; exit 1; }
	grep -qrw "$name" "$src/include/anyrcu" || { echo "$name is in no public header"; exit 1; }
done
[ "$(echo "$exported" | wc -l)" -gt 20 ]

# The tool finds what it preloads, and the manual its pages.
LD_LIBRARY_PATH=$lib "$(find "$dir/root" -name anyrcu -path '*/bin/*')" record -o "$dir/trace" -- true 2>"$dir/said" || { cat "$dir/said"; exit 1; }
[ -s "$dir/trace" ]
LD_LIBRARY_PATH=$lib "$(find "$dir/root" -name anyrcu -path '*/bin/*')" urcu --report -- true 2>"$dir/said" || { cat "$dir/said"; exit 1; }
grep -q 'nothing was deferred' "$dir/said"
man=$(dirname "$(find "$dir/root" -name anyrcu.7)")/..
[ "$(find "$man" -name '*.[1-9]' | wc -l)" = "$(find "$src/docs/man" -name '*.[1-9]' | wc -l)" ]
# Where there is systemtap's header there are probes.
if grep -q ANYRCU_USDT "$build/compile_commands.json"; then
	for probe in gp_start gp_end collect drain flood stall page_refused; do
		readelf -n "$lib/libanyrcu.so" | grep -q "Name: $probe\$" || { echo "no probe $probe"; exit 1; }
	done
fi

cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror $cflags "$src/examples/first.c" -o "$dir/first" $libs
[ "$(LD_LIBRARY_PATH=$lib "$dir/first")" = "reads version 1" ]
cc -std=c11 -D_GNU_SOURCE $cflags "$src/examples/first.c" -o "$dir/first-static" "$lib/libanyrcu.a"
[ "$("$dir/first-static")" = "reads version 1" ]
cc -std=c11 -D_GNU_SOURCE -static $cflags "$src/examples/first.c" -o "$dir/first-all-static" "$lib/libanyrcu.a"
[ "$("$dir/first-all-static")" = "reads version 1" ]
for header in $(cd "$dir/root" && find . -path '*include/anyrcu/*.h' ! -path '*/compat/*' | sed 's|.*include/||'); do
	printf "#include <%s>\nextern int something;\n" "$header" >"$dir/one.c"
	cc -std=c11 -pedantic -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
	c++ -x c++ -std=c++17 -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
done

# The interface of liburcu: a program that knows nothing else, and each header alone but those that are parts of others.
cflags=$(pkg-config --cflags anyrcu-urcu)
libs=$(pkg-config --libs anyrcu-urcu)
for symbol in $(nm -D --defined-only "$lib/libanyrcu-urcu.so" | awk '$2 != "A" {print $3}'); do
	name=${symbol%%@*}
	[ "$name" != "$symbol" ] || { echo "$symbol has no version"; exit 1; }
	grep -qw "$name" "$src/include/anyrcu/compat/urcu/anyrcu/urcu.h" || { echo "$name is not in the header"; exit 1; }
done
cat >"$dir/urcu.c" <<'EOF'
#include <stdio.h>
#include <urcu.h>

static void called(struct rcu_head *head)
{
	free(head);
	puts("called");
}

int main(void)
{
	struct rcu_head *head = (struct rcu_head *)malloc(sizeof(*head));

	rcu_register_thread();
	rcu_read_lock();
	rcu_read_unlock();
	synchronize_rcu();
	call_rcu(head, called);
	rcu_barrier();
	rcu_unregister_thread();
	return 0;
}
EOF
cc -Wall -Wextra -Werror $cflags "$dir/urcu.c" -o "$dir/urcu" $libs
[ "$(LD_LIBRARY_PATH=$lib "$dir/urcu")" = called ]
c++ -x c++ -Wall -Wextra -Werror $cflags "$dir/urcu.c" -o "$dir/urcu" $libs
[ "$(LD_LIBRARY_PATH=$lib "$dir/urcu")" = called ]
cc -pthread $cflags "$dir/urcu.c" -o "$dir/urcu-static" "$lib/libanyrcu-urcu.a" "$lib/libanyrcu.a"
[ "$("$dir/urcu-static")" = called ]
for header in $(cd "$dir/root" && find . -path '*include/anyrcu/compat/*.h' | sed 's|.*compat/||' | grep -v '^urcu/anyrcu/[fm]'); do
	printf "#define RCU_MEMBARRIER\n#include <%s>\nextern int something;\n" "$header" >"$dir/one.c"
	cc -std=gnu11 -pedantic -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
	c++ -x c++ -std=gnu++17 -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
done
