#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# liburcu's own tests, from Debian's source package, three times: on liburcu, compiled against
# anyrcu's headers and library, and as they were compiled for liburcu under "anyrcu urcu". What
# passes on liburcu has to pass on the other two.
#
# usage: liburcu.sh PREFIX DIR		where anyrcu is installed; where to build
set -eu
here=$(realpath "$(dirname "$0")")
. "$here/source.sh"
prefix=$(realpath "$1")
dir=$(realpath "$2")
unset MAKEFLAGS MFLAGS MAKELEVEL
# The generated files are newer than their sources, but not when the unpacked patches touch those.
generated='AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=:'

fetch liburcu "$dir/liburcu"
if [ ! -f "$dir/liburcu/built" ]; then
	cd "$dir/liburcu"
	say_why ./configure --disable-static
	say_why make $generated -C include
	say_why make $generated -C src
	touch built
fi
own=$dir/liburcu

# None of liburcu's headers is in reach of what is recompiled, but for what configure found out and
# for what the tests draw random numbers by.
rm -rf "$dir/liburcu-recompiled"
cp -a "$own" "$dir/liburcu-recompiled"
recompiled=$dir/liburcu-recompiled
mkdir "$recompiled/config-alone"
mv "$recompiled/include/config.h" "$recompiled/src/compat-rand.h" "$recompiled/config-alone"
rm -r "$recompiled/include/urcu" "$recompiled"/include/*.h "$recompiled"/src/*.h
say_why make -C "$recompiled/tests" clean $generated
lib=$(libdir "$prefix")
library="$lib/libanyrcu-urcu.so $lib/libanyrcu.so"
top=$recompiled/tests

# suite WAY TREE COMPILER_OF_LOGS [MAKE_ARGUMENT...]: the results, a line each, are in DIR/WAY.
suite()
{
	way=$1
	tree=$2
	runs=$3
	shift 3
	for part in utils common unit regression; do
		say_why make -C "$tree/tests/$part" $generated "$@"
	done
	{
		make -k -C "$tree/tests/unit" check $generated LOG_COMPILER="$runs" "$@"
		make -k -C "$tree/tests/regression" regtest $generated TAP_LOG_COMPILER="$runs" "$@"
	} >"$dir/$way.log" 2>&1 || true
	grep -E '^(PASS|FAIL|ERROR|SKIP|XFAIL|XPASS): ' "$dir/$way.log" | sort -u >"$dir/$way"
	grep -E '^PASS: ' "$dir/$way" | sed 's/^PASS: //' | sort >"$dir/$way.passed"
	echo "liburcu's tests, $way: $(wc -l <"$dir/$way.passed") of $(wc -l <"$dir/$way") pass"
}

suite own "$own" 'timeout 600'
flags="-I$prefix/include/anyrcu/compat -I$prefix/include -I$recompiled/config-alone"
suite recompiled "$recompiled" 'timeout 600' \
	AM_CPPFLAGS="$flags -include config.h -I$top/utils -I$top/common" \
	URCU_COMMON_LIB="$library" URCU_LIB="$library" URCU_QSBR_LIB="$library" \
	URCU_MB_LIB="$library" URCU_SIGNAL_LIB="$library" URCU_BP_LIB="$library" \
	URCU_CDS_LIB="$own/src/liburcu-cds.la" AM_LDFLAGS="-Wl,-rpath,$lib" AM_CFLAGS=-pthread
suite preloaded "$own" "timeout 600 $prefix/bin/anyrcu urcu --"

failed=0
for way in recompiled preloaded; do
	comm -23 "$dir/own.passed" "$dir/$way.passed" >"$dir/lost"
	[ ! -s "$dir/lost" ] || {
		echo "foreign: $way, these do not pass, and pass on liburcu:"
		cat "$dir/lost"
		failed=1
	}
done
exit $failed
