#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Boot Debian's kernel for aarch64 in an emulated machine, and run there what needs restartable
# sequences, which the user emulation of aarch64.sh does not have. Some minutes.
# The kernel is fetched once, 21 MB, into $ANYRCU_CACHE (~/.cache/anyrcu), by an index of packages
# that apt keeps there too: nothing of the system's is changed but qemu-system-arm installed.
#
# Prints what failed, and on the last line how many programs passed and failed. Where nothing can be
# fetched: one line, and 77.
# usage: aarch64-system.sh
set -eu
cd "$(dirname "$0")/.."
cache=${ANYRCU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/anyrcu}/aarch64
dir=build-aarch64
libc=/usr/aarch64-linux-gnu
limit=3600

skip()
{
	echo "aarch64-system: $1: sequences of aarch64 are not tested"
	exit 77
}

scripts/deps.sh
scripts/deps.sh test
scripts/deps.sh aarch64-system || skip "QEMU cannot be installed"

fetch()
{
	[ -f "$cache/Image" ] && return
	rm -rf "$cache"
	mkdir -p "$cache/lists/partial" "$cache/archives/partial"
	: >"$cache/status"
	cat >"$cache/apt.conf" <<-END
		APT::Architecture "arm64";
		APT::Architectures { "arm64"; };
		APT::Sandbox::User "root";
		Dir::State "$cache";
		Dir::State::lists "$cache/lists";
		Dir::State::status "$cache/status";
		Dir::Cache "$cache";
	END
	export APT_CONFIG="$cache/apt.conf"
	apt-get -q update || return 1
	package=$(apt-cache search --names-only '^linux-image-[0-9.]*-[0-9]*-cloud-arm64$' |
		sed 's/ .*//' | sort -V | tail -1)
	[ -n "$package" ] || return 1
	(cd "$cache" && apt-get -q download "$package" && dpkg -x linux-image*.deb root) || return 1
	mv "$cache"/root/boot/vmlinuz-* "$cache/Image"
	rm -rf "$cache"/root "$cache"/linux-image*.deb
}
log=$dir/system-log
mkdir -p $dir
(fetch) >"$log" 2>&1 || skip "no kernel can be fetched"

[ -f $dir/build.ninja ] ||
	meson setup $dir --cross-file tests/aarch64/cross.txt -Dtool=false >"$log" 2>&1
if ! ninja -C $dir >"$log" 2>&1; then
	cat "$log"
	echo "aarch64-system: 0 passed, 1 failed"
	exit 1
fi

root=$dir/root
rm -rf $root
mkdir -p $root/proc $root/sys $root/dev $root/tmp $root/lib $root/tests
aarch64-linux-gnu-gcc -static -O1 -o $root/init tests/aarch64/init.c
for lib in ld-linux-aarch64.so.1 libc.so.6 libm.so.6; do
	cp -L $libc/lib/$lib $root/lib
done
cp -L $dir/src/libanyrcu.so.0 $root/lib
cat >$root/list <<END
/tests/sequences
/tests/test_exchange
/tests/test_cache
/tests/test_defer
/tests/stress 20 3
END
while read -r program _; do
	cp "$dir$program" $root/tests
done <$root/list
(cd $root && find . | cpio -o -H newc --quiet | gzip -1) >$dir/initrd
timeout $limit qemu-system-aarch64 -M virt -cpu max -accel tcg,thread=multi -smp 2 -m 1024 \
	-nographic -nodefaults -no-reboot -serial stdio -kernel "$cache/Image" \
	-initrd $dir/initrd -append "console=ttyAMA0 panic=-1 quiet" \
	</dev/null 2>"$log.err" | tr -d '\r' >"$log" || true

passed=$(grep -c '^status: 0,' "$log") || true
failed=$(($(wc -l <$root/list) - passed))
grep '^[0-9]* sequences, ' "$log" || true
[ "$failed" = 0 ] || cat "$log"
echo "aarch64-system: $passed passed, $failed failed"
[ "$failed" = 0 ]
