#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Correct programs under other people's checkers, which report nothing, though the library is built
# without any; and programs with a mistake, which they still find.
# usage: checkers.sh SOURCE_ROOT LIBRARY_DIR ANYRCU
set -eu
root=$1
lib=$2
anyrcu=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# build OUT CC FLAGS... SOURCE
build()
{
	out=$1
	shift
	"$@" -g -O1 -I"$root/include" -o "$dir/$out" -L"$lib" -lanyrcu -Wl,-rpath,"$lib" -lpthread
}

# says WANTED COMMAND...: it ends as is wanted, "silent" or "found"
says()
{
	wanted=$1
	shift
	ok=true
	"$@" >"$dir/out" 2>&1 || ok=false
	if [ "$wanted" = silent ] && { ! $ok || grep -qE '^==|WARNING|ERROR' "$dir/out"; }; then
		echo "$*: reports something:"
		head -60 "$dir/out"
		failed=1
	elif [ "$wanted" = found ] && { $ok || ! grep -qE '^==|WARNING|ERROR' "$dir/out"; }; then
		echo "$*: reports nothing:"
		head -60 "$dir/out"
		failed=1
	fi
}

cache_mistakes='matured given-back freed beyond before beyond-any'
export TSAN_OPTIONS=exitcode=66 ASAN_OPTIONS=detect_leaks=1
compat="-I$root/include/anyrcu/compat -L$lib/urcu -lanyrcu-urcu -Wl,-rpath,$lib/urcu"
for cc in gcc clang; do
	command -v $cc >/dev/null || continue
	build tsan-$cc $cc -fsanitize=thread "$root/tests/checkers/correct.c"
	build asan-$cc $cc -fsanitize=address "$root/tests/checkers/correct.c"
	build cache-tsan-$cc $cc -fsanitize=thread "$root/tests/checkers/cache.c"
	build cache-asan-$cc $cc -fsanitize=address "$root/tests/checkers/cache.c"
	build urcu-tsan-$cc $cc -fsanitize=thread "$root/tests/checkers/urcu.c" $compat
	build urcu-asan-$cc $cc -fsanitize=address "$root/tests/checkers/urcu.c" $compat
	build first-tsan-$cc $cc -fsanitize=thread "$root/examples/first.c"
	build first-asan-$cc $cc -fsanitize=address "$root/examples/first.c"
	for i in 1 2 3; do
		says silent "$dir/tsan-$cc"
		says silent "$dir/urcu-tsan-$cc"
	done
	says silent "$dir/urcu-asan-$cc"
	says silent "$dir/asan-$cc"
	says silent "$dir/first-tsan-$cc"
	says silent "$dir/first-asan-$cc"
	says silent "$dir/cache-tsan-$cc"
	says silent "$dir/cache-asan-$cc"
	for mistake in $cache_mistakes; do
		says found "$dir/cache-asan-$cc" $mistake
	done
	says found "$dir/tsan-$cc" race
	says found "$dir/urcu-tsan-$cc" race
	says found "$dir/asan-$cc" leak

	# The tool runs what is built with AddressSanitizer, and sees its locks.
	$cc -g -O1 -fsanitize=address "$root/tests/lockdep/program.c" -o "$dir/abba" -lpthread
	"$anyrcu" lockdep -- "$dir/abba" abba >"$dir/out" 2>&1 || { cat "$dir/out"; failed=1; }
	grep -q 'possible circular locking dependency' "$dir/out" && grep -q '^done' "$dir/out" || {
		cat "$dir/out"
		failed=1
	}
	"$anyrcu" record -o "$dir/trace" -- "$dir/abba" abba >"$dir/out" 2>&1 || {
		cat "$dir/out"
		failed=1
	}
	grep -qE '[1-9][0-9]* allocations|an allocator of its own' "$dir/out" &&
		grep -q '^done' "$dir/out" || {
		cat "$dir/out"
		failed=1
	}
done

if ! command -v valgrind >/dev/null || [ ! -e /usr/include/valgrind/helgrind.h ]; then
	echo "valgrind is not installed: not tried"
	exit $failed
fi
# valgrind knows DWARF 4.
build plain "${CC:-cc}" -gdwarf-4 "$root/tests/checkers/correct.c"
build helgrind "${CC:-cc}" -gdwarf-4 -DANYRCU_VALGRIND "$root/tests/checkers/correct.c"
build first "${CC:-cc}" -gdwarf-4 "$root/examples/first.c"
build urcu "${CC:-cc}" -gdwarf-4 "$root/tests/checkers/urcu.c" $compat
build cache "${CC:-cc}" -gdwarf-4 "$root/tests/checkers/cache.c"
build cache-helgrind "${CC:-cc}" -gdwarf-4 -DANYRCU_VALGRIND "$root/tests/checkers/cache.c"
for program in correct cache; do
	"${CC:-cc}" -gdwarf-4 -DANYRCU_VALGRIND -g -O1 -I"$root/include" -o "$dir/static-$program" \
		"$root/tests/checkers/$program.c" "$lib/libanyrcu.a" -lpthread
	says silent valgrind -q --leak-check=full --error-exitcode=9 "$dir/static-$program"
	says silent valgrind -q --tool=helgrind --error-exitcode=9 "$dir/static-$program"
done
says found valgrind -q --tool=helgrind --error-exitcode=9 "$dir/static-correct" race
for program in plain first cache urcu; do
	says silent valgrind -q --leak-check=full --error-exitcode=9 "$dir/$program"
	says silent valgrind -q --leak-check=full --error-exitcode=9 \
		--suppressions="$root/src/valgrind.supp" "$dir/$program"
done
says found valgrind -q --leak-check=full --error-exitcode=9 "$dir/plain" leak
for mistake in $cache_mistakes; do
	says found valgrind -q --leak-check=full --error-exitcode=9 "$dir/cache" $mistake
done
says silent valgrind -q --tool=helgrind --error-exitcode=9 "$dir/cache-helgrind"
for i in 1 2 3; do
	says silent valgrind -q --tool=helgrind --error-exitcode=9 "$dir/helgrind"
done
says silent valgrind -q --tool=helgrind --error-exitcode=9 "$dir/first"
says silent valgrind -q --tool=helgrind --error-exitcode=9 \
	--suppressions="$root/src/valgrind.supp" "$dir/first"
says found valgrind -q --tool=helgrind --error-exitcode=9 "$dir/helgrind" race
exit $failed
