#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The library as its users find it: installed, through pkg-config, from C and C++,
# shared and static.
# usage: install.sh SOURCE_DIR BUILD_DIR
set -eu
src=$1
build=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

DESTDIR=$dir/root meson install -C "$build" --quiet --no-rebuild >"$dir/log" 2>&1 || {
	cat "$dir/log"
	exit 1
}
pc=$(dirname "$(find "$dir/root" -name anyrcu.pc)")
lib=$(dirname "$pc")
bin=$(dirname "$(find "$dir/root" -name anyrcu -path '*/bin/*')")
export PKG_CONFIG_PATH="$pc" PKG_CONFIG_SYSROOT_DIR="$dir/root"
cflags=$(pkg-config --cflags anyrcu)
libs=$(pkg-config --libs anyrcu)

[ "$(objdump -p "$lib/libanyrcu.so" | awk '/SONAME/ {print $2}')" = libanyrcu.so.0 ]
# What the library needs at run time is libc alone.
needed=$(objdump -p "$lib/libanyrcu.so" | awk '/NEEDED/ {print $2}' |
	grep -vE '^(libc\.so\.6|ld-linux.*)$' || true)
[ -z "$needed" ] || { echo "the library needs $needed"; exit 1; }
# No two libraries go by the same name; nothing that is called from a handler is bound there; the
# tool finds its library by itself.
[ -z "$(find "$dir/root" -name '*.so' -printf '%f\n' | sort | uniq -d)" ]
for so in $(find "$dir/root" -name '*.so.?' -o -name '*.so' -path '*/anyrcu/*'); do
	readelf -d "$so" | grep -q 'FLAGS_1.*NOW' || { echo "$so is bound lazily"; exit 1; }
done
for needs in "$bin/anyrcu" "$lib/libanyrcu-urcu.so"; do
	ldd "$needs" | grep -q "libanyrcu.so.0 => $dir/root" ||
		{ echo "$needs does not find its library"; exit 1; }
done
# All that it exports has its version, and is in the public headers.
exported=$(nm -D --defined-only "$lib/libanyrcu.so" | awk '$2 != "A" {print $3}')
for symbol in $exported; do
	name=${symbol%%@*}
	[ "$name" != "$symbol" ] || { echo "$symbol has no version"; exit 1; }
	grep -qrw "$name" "$src/include/anyrcu" || { echo "$name is in no public header"; exit 1; }
done
[ "$(echo "$exported" | wc -l)" -gt 20 ]

# The tool finds what it preloads, and the manual its pages.
"$bin/anyrcu" record -o "$dir/trace" -- true 2>"$dir/said" || { cat "$dir/said"; exit 1; }
[ -s "$dir/trace" ]
"$bin/anyrcu" urcu --report -- true 2>"$dir/said" || { cat "$dir/said"; exit 1; }
grep -q 'nothing was deferred' "$dir/said"
man=$(dirname "$(find "$dir/root" -name anyrcu.7)")/..
# all pages but that of the kernel module
[ "$(find "$man" -name '*.[1-9]' | wc -l)" = "$(find "$src/docs/man" -name '*.[1-8]' | wc -l)" ]
# Where there is systemtap's header there are probes.
if grep -q ANYRCU_USDT "$build/compile_commands.json"; then
	for probe in gp_start gp_end collect drain flood stall page_refused; do
		readelf -n "$lib/libanyrcu.so" | grep -q "Name: $probe\$" || {
			echo "no probe $probe"
			exit 1
		}
	done
fi

cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror $cflags "$src/examples/first.c" \
	-o "$dir/first" $libs
[ "$(LD_LIBRARY_PATH=$lib "$dir/first")" = "reads version 1" ]
cc -std=c11 -D_GNU_SOURCE $cflags "$src/examples/first.c" -o "$dir/first-static" "$lib/libanyrcu.a"
[ "$("$dir/first-static")" = "reads version 1" ]
cc -std=c11 -D_GNU_SOURCE -static $cflags "$src/examples/first.c" -o "$dir/first-all-static" \
	"$lib/libanyrcu.a"
[ "$("$dir/first-all-static")" = "reads version 1" ]

# A static library is one object, and exports what the shared one does.
for name in anyrcu anyrcu-urcu; do
	[ "$(ar t "$lib/lib$name.a" | wc -l)" = 1 ]
	nm -g --defined-only "$lib/lib$name.a" | awk 'NF == 3 {print $3}' | sort >"$dir/static"
	nm -D --defined-only "$lib/lib$name.so" | awk '$2 != "A" {sub("@.*", "", $3); print $3}' |
		sort >"$dir/shared"
	diff "$dir/static" "$dir/shared" || { echo "lib$name.a exports something else"; exit 1; }
	! grep -vxE 'anyrcu_.*|vfork' "$dir/static" || {
		echo "lib$name.a exports other names"
		exit 1
	}
done
# A program that only defers has its callback called, however it is linked; and its own names, which
# are those of functions in here, mean its own.
cat >"$dir/defers.c" <<'EOF'
#include <anyrcu/anyrcu.h>
#include <stdio.h>
#include <unistd.h>

#ifdef OWN_NAMES
int gp_init = 1, page_alloc = 2, broken = 3, wake = 4, append = 5, reserve = 6, futex_wake = 7,
	domain_call = 8, port_lock = 9, start = 10;
#endif
static volatile int called;

static void func(struct anyrcu_head *head)
{
	called = 1;
}

int main(void)
{
	static struct anyrcu_head head;

	anyrcu_call(&head, func);
	for (int ms = 0; !called && ms < 60000; ms++)
		usleep(1000);
	puts(called ? "called" : "not called");
	return 0;
}
EOF
defers()
{
	echo "defers: $*"
	cc -O2 -D_GNU_SOURCE $cflags "$dir/defers.c" -o "$dir/defers" "$@"
	[ "$(LD_LIBRARY_PATH=$lib "$dir/defers")" = called ] ||
		{ echo "its callback is not called"; exit 1; }
}
defers $libs
for how in "" -DOWN_NAMES -static -static-pie -Wl,--gc-sections "-flto -ffat-lto-objects"; do
	defers $how "$lib/libanyrcu.a"
	defers $how "$lib/libanyrcu-urcu.a" "$lib/libanyrcu.a"
	defers $how -Wl,--whole-archive "$lib/libanyrcu-urcu.a" "$lib/libanyrcu.a" \
		-Wl,--no-whole-archive
done

for header in $(cd "$dir/root" && find . -path '*include/anyrcu/*.h' ! -path '*/compat/*' |
	sed 's|.*include/||'); do
	printf "#include <%s>\nextern int something;\n" "$header" >"$dir/one.c"
	cc -std=c11 -pedantic -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
	c++ -x c++ -std=c++17 -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
done
# C++26's interface, by what is installed.
cat >"$dir/retire.cpp" <<'EOF'
#include <anyrcu/rcu.hpp>

static bool deleted;

struct object : anyrcu::rcu_obj_base<object> {
	~object() { deleted = true; }
};

int main()
{
	(new object)->retire();
	anyrcu::rcu_barrier();
	return deleted ? 0 : 1;
}
EOF
c++ -std=c++17 -Wall -Wextra -Werror $cflags "$dir/retire.cpp" -o "$dir/retire" $libs
LD_LIBRARY_PATH=$lib "$dir/retire"
# What find_package() of CMake is given is there.
cmake=$lib/cmake/anyrcu
grep -q "set(PACKAGE_VERSION $(pkg-config --modversion anyrcu))" \
	"$cmake/anyrcu-config-version.cmake"
include=$(sed -n 's|^set(_anyrcu_include "${_anyrcu_lib}/\(.*\)")|\1|p' \
	"$cmake/anyrcu-config.cmake")
[ -f "$cmake/../../libanyrcu.so" ] && [ -f "$cmake/../../libanyrcu.a" ]
[ -f "$cmake/../../$include/anyrcu/anyrcu.h" ]
if command -v cmake >/dev/null; then
	mkdir "$dir/cmake"
	cat >"$dir/cmake/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.13)
project(first C)
find_package(anyrcu REQUIRED)
add_executable(first $src/examples/first.c)
target_link_libraries(first anyrcu::anyrcu)
add_executable(first-static $src/examples/first.c)
target_link_libraries(first-static anyrcu::static)
EOF
	cmake -S "$dir/cmake" -B "$dir/cmake/build" -Danyrcu_DIR="$cmake" >"$dir/log" &&
		cmake --build "$dir/cmake/build" >>"$dir/log" || { cat "$dir/log"; exit 1; }
	[ "$("$dir/cmake/build/first")" = "reads version 1" ]
	[ "$("$dir/cmake/build/first-static")" = "reads version 1" ]
fi
# A platform that is not of 64 bits is told so.
if [ "$(uname -m)" = x86_64 ]; then
	echo '#include <anyrcu/inline/api.h>' >"$dir/one.c"
	! cc -m32 $cflags -fsyntax-only "$dir/one.c" 2>"$dir/said"
	grep -q 'error.*64-bit platform' "$dir/said"
fi

# The interface of liburcu: a program that knows nothing else,
# and each header alone but those that are parts of others.
cflags=$(pkg-config --cflags anyrcu-urcu)
libs=$(pkg-config --libs anyrcu-urcu)
for symbol in $(nm -D --defined-only "$lib/libanyrcu-urcu.so" | awk '$2 != "A" {print $3}'); do
	name=${symbol%%@*}
	[ "$name" != "$symbol" ] || { echo "$symbol has no version"; exit 1; }
	grep -qw "$name" "$src/include/anyrcu/compat/urcu/anyrcu/urcu.h" || {
		echo "$name is not in the header"
		exit 1
	}
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
for header in $(cd "$dir/root" && find . -path '*include/anyrcu/compat/*.h' | sed 's|.*compat/||' |
	grep -v '^urcu/anyrcu/[fm]'); do
	printf "#define RCU_MEMBARRIER\n#include <%s>\nextern int something;\n" "$header" \
		>"$dir/one.c"
	cc -std=gnu11 -pedantic -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
	c++ -x c++ -std=gnu++17 -Wall -Wextra -Werror $cflags -fsyntax-only "$dir/one.c"
done
