#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Knot DNS from Debian's source package, compiled against anyrcu's headers and library in liburcu's
# place, and its own unit tests.
#
# usage: knot.sh PREFIX DIR		where anyrcu is installed; where to build
set -eu
here=$(realpath "$(dirname "$0")")
. "$here/source.sh"
prefix=$(realpath "$1")
dir=$(realpath "$2")
unset MAKEFLAGS MFLAGS MAKELEVEL

lib=$(libdir "$prefix")
fetch knot "$dir/knot"
cd "$dir/knot"
# What is compiled for liburcu includes <urcu.h>: that must be ours.
[ -f Makefile ] || say_why ./configure --disable-static --disable-documentation \
	--disable-utilities --enable-systemd=no --enable-xdp=no --enable-quic=no \
	--enable-maxminddb=no --enable-cap-ng=no --with-libnghttp2=no CFLAGS='-O1 -Wall' \
	liburcu_CFLAGS="-I$prefix/include/anyrcu/compat -I$prefix/include" \
	liburcu_LIBS="-L$lib -Wl,-rpath,$lib -lanyrcu-urcu -lanyrcu"
make -j2 AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=: >"$dir/log" 2>&1 ||
	{ tail -n 50 "$dir/log"; exit 1; }
if ! ldd src/.libs/knotd | grep -q "libanyrcu-urcu.*$prefix" ||
	ldd src/.libs/knotd | grep -q liburcu; then
	echo "foreign: knotd is not linked as it should be"
	exit 1
fi
# Prints a line for each program, and on the last line how many files and tests there were.
passed=0
timeout 1200 make check AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=: >"$dir/knot.log" 2>&1 ||
	passed=1
grep -E '\.\.+(MISSED|FAILED|ABORTED|dubious)' "$dir/knot.log" || true
result=$(grep -E '^(All|Failed) .* test' "$dir/knot.log") || true
files=$(grep '^Files=' "$dir/knot.log") || true
echo "knot's tests, recompiled: $result; $files"
exit $passed
