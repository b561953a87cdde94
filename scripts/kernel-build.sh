#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Build a kernel of our own from Debian's source of 6.12, tinyconfig and fragments of
# kernel/configs, into the cache, in the layout that scripts/kernel.sh fetches kernels in: version,
# boot/vmlinuz-VERSION, usr/src/linux-headers-VERSION. A build that was interrupted goes on where it
# was. A kernel is built anew if source, fragments or compiler have changed.
# usage: kernel-build.sh CACHE NAME FRAGMENT...
#	 kernel-build.sh CACHE --cached NAME FRAGMENT...	is it there? Builds nothing.
set -eu
cd "$(dirname "$0")/.."
cache=$1
shift
cached=
[ "$1" != --cached ] || { cached=1; shift; }
name=$1
shift
source=$cache/source-6.12
fragments=$(for f; do echo "kernel/configs/$f.config"; done)

# What the kernel is made from.
key()
{
	cat "$source/version"
	${CC:-gcc} --version | head -n 1
	# shellcheck disable=SC2086 # a list of files
	cat $fragments
}

if [ -f "$source/version" ] && [ -f "$cache/$name/key" ]; then
	! key | cmp -s - "$cache/$name/key" || exit 0
fi
[ -z "$cached" ] || exit 1

if [ ! -f "$source/version" ]; then
	rm -rf "$source.new"
	mkdir -p "$source.new"
	(
		cd "$source.new"
		apt-get -q download linux-source-6.12
		dpkg-deb -f linux-source-6.12*.deb Version >version
		dpkg --fsys-tarfile linux-source-6.12*.deb |
			tar -x -O ./usr/src/linux-source-6.12.tar.xz |
			tar -x -J --strip-components=1 --one-top-level=tree
		rm linux-source-6.12*.deb
	) >&2
	rm -rf "$source"
	mv "$source.new" "$source"
fi

new=$cache/$name.new
key >"$cache/$name.key"
cmp -s "$cache/$name.key" "$new/key" || rm -rf "$new"
mkdir -p "$new/boot" "$new/usr/src"
mv "$cache/$name.key" "$new/key"
kbuild()
{
	make -s -C "$source/tree" O="$new/build" ${CC:+CC="$CC"} "$@"
}
if [ ! -f "$new/build/.config" ]; then
	kbuild tinyconfig
	# shellcheck disable=SC2086 # a list of files
	cat $fragments >>"$new/build/.config"
	kbuild olddefconfig 2>/dev/null
fi
# An option that another one excludes is left out in silence.
# shellcheck disable=SC2086 # a list of files
if cat $fragments | grep '^CONFIG_' | grep -vxF -f "$new/build/.config" ||
   sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set$/^\1=/p' $fragments |
	grep -f - "$new/build/.config"; then
	echo "kernel-build: $name: the configuration differs from its fragments"
	exit 1
fi
kbuild -j"$(nproc)" bzImage modules
version=$(kbuild kernelrelease)
cp "$new/build/arch/x86/boot/bzImage" "$new/boot/vmlinuz-$version"
ln -sfn ../../build "$new/usr/src/linux-headers-$version"
[ -f "$new/build/Module.symvers" ] || cp "$new/build/vmlinux.symvers" "$new/build/Module.symvers"
echo "$version" >"$new/version"
# Modules are built without the kernel's own objects.
find "$new/build" \( -path "$new/build/scripts" -o -path "$new/build/tools" \) -prune -o \
	\( -name '*.o' -o -name '*.a' -o -name vmlinux -o -name 'vmlinux.unstripped' \) -type f \
	-exec rm {} +
rm -rf "${cache:?}/$name"
mv "$new" "$cache/$name"
# The build tree was configured by its name.
sed -i "s,$new,$cache/$name,g" "$cache/$name/build/Makefile"
