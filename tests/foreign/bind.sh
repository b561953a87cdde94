#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# BIND, compiled against anyrcu's headers and library in liburcu's place, and its own unit tests.
# It has used liburcu since 9.20, which Debian 12 has as a backport.
#
# usage: bind.sh PREFIX DIR		where anyrcu is installed; where to build
set -eu
here=$(realpath "$(dirname "$0")")
. "$here/source.sh"
prefix=$(realpath "$1")
dir=$(realpath "$2")
unset MAKEFLAGS MFLAGS MAKELEVEL

lib=$(libdir "$prefix")
fetch bind9 "$dir/bind" backport
cd "$dir/bind"
# The hash table is liburcu-cds's own.
[ -f Makefile ] || say_why ./configure --with-cmocka --disable-geoip --disable-dnstap \
	--without-maxminddb --without-gssapi --without-lmdb --without-libxml2 --without-json-c \
	--without-zlib --without-readline --without-libidn2 --without-jemalloc CFLAGS='-O1 -Wall' \
	LIBURCU_CFLAGS="-I$prefix/include/anyrcu/compat -I$prefix/include" \
	LIBURCU_LIBS="-L$lib -Wl,-rpath,$lib -lanyrcu-urcu -lanyrcu -lurcu-cds"
say_why make bind.keys.h
say_why make -j2 -C lib
say_why make -j2 -C tests check TESTS=
# What the compiler has read, and what the libraries want: only the hash table is liburcu's.
if grep -rlE --include='*.P*o' '[ :]/usr/(local/)?include/([^ ]*/)?urcu' lib tests; then
	echo "foreign: these were compiled against liburcu's headers"
	exit 1
fi
for part in isc dns ns; do
	wanted=$(readelf -d "lib/$part/.libs/lib$part.so" | grep NEEDED | grep -v 'liburcu-cds\.so')
	case $wanted in
	*liburcu*) ;;
	*libanyrcu.so*) continue ;;
	esac
	echo "foreign: lib$part is not linked as it should be"
	exit 1
done
# The tests listen on fixed ports: two runs at a time disturb each other.
passed=0
timeout 2400 make -k -C tests check >"$dir/bind.log" 2>&1 || passed=1
grep -E '^(FAIL|ERROR|SKIP|XPASS): ' "$dir/bind.log" | sort -u || true
cat tests/*/*_test.log >"$dir/bind.cases"
echo "bind's tests, recompiled: $(grep -c '^PASS: ' "$dir/bind.log") of" \
	"$(grep -cE '^[A-Z]+: [a-z0-9_]+_test$' "$dir/bind.log") programs pass, with" \
	"$(grep -c '^\[       OK \]' "$dir/bind.cases") tests"
exit $passed
