#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Build Debian packages of what is committed, have lintian check them, and use them as they are
# unpacked: the first program, shared, static and in C++. Some minutes.
# usage: deb.sh OUTPUT_DIR
set -eu
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

scripts/deps.sh deb
mkdir "$dir/anyrcu"
git archive HEAD | tar -x -C "$dir/anyrcu"
(cd "$dir/anyrcu" && dpkg-buildpackage -us -uc -b) >"$dir/log" 2>&1 || {
	tail -n 50 "$dir/log"
	exit 1
}
# A symbol that went away is an error of the build; one that came is to be added with its version.
if grep -A 50 'dpkg-gensymbols: warning' "$dir/log" | grep '^+ '; then
	echo "these symbols are not in debian/*.symbols"
	exit 1
fi
lintian --allow-root --fail-on error,warning "$dir"/*.changes
mkdir "$dir/root"
for deb in "$dir"/lib*.deb "$dir"/anyrcu_*.deb; do
	dpkg-deb -x "$deb" "$dir/root"
done
lib=$(dirname "$(find "$dir/root" -name libanyrcu.a)")
PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root LD_LIBRARY_PATH=$lib \
	debian/tests/build
LD_LIBRARY_PATH=$lib "$dir/root/usr/bin/anyrcu" --version
mv "$dir"/*.deb "$dir"/*.changes "$dir"/*.buildinfo "$out"
ls "$out"/*.deb
