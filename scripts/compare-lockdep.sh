#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The programs in pairs of tests/lockdep under anyrcu lockdep, helgrind, DRD and ThreadSanitizer as
# gcc and clang have it: how many right ones each reports, how many wrong ones it misses, and how
# many do not end in 30 s under it. Takes an hour.
# usage: [TOOLS="anyrcu helgrind ..."] [JOBS=N] compare-lockdep.sh ANYRCU [SOURCE...]
# A SOURCE is a file of tests/lockdep. All that was found is written to ./compare-lockdep.txt, a
# line for each run: tool, source, kind, right or wrong, and silent, reported, endless or crashed.
# "--table" reads such lines, of several runs, and prints the table alone.
set -u

# one ANYRCU TOOL SOURCE PROGRAM KIND VERDICT
if [ "${1-}" = --one ]; then
	anyrcu=$2 tool=$3 source=$4 program=$5 kind=$6 verdict=$7
	out=$(mktemp)
	case $tool in
	anyrcu) set -- "$anyrcu" lockdep --error-exitcode=77 -- ;;
	helgrind | drd) set -- valgrind --tool="$tool" --error-exitcode=77 --fair-sched=try -q ;;
	# setarch: gcc 12 and clang 14 do not know the addresses that newer kernels choose.
	*)
		export TSAN_OPTIONS="exitcode=77 detect_deadlocks=1 second_deadlock_stack=1"
		set -- setarch -R
		;;
	esac
	timeout -k 5 "${LIMIT:-30}" "$@" "$program" "$kind" "$verdict" </dev/null >"$out" 2>&1
	status=$?
	case $status in
	0) result=silent ;;
	124 | 137) result=endless ;;
	*) result=reported ;;
	esac
	# It may have said something before it was stopped.
	! grep -q '^==[0-9]*== \|^WARNING: ' "$out" || result=reported
	# It is the tool that ends so; the programs do not.
	! grep -q 'DEADLYSIGNAL\|CHECK failed\|terminating with default action' "$out" ||
		result=crashed
	case $status in
	132 | 134 | 135 | 136 | 139) result=crashed ;; # by SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV
	# it did not start at all
	66 | 12[567]) grep -q '^WARNING: \|CHECK failed\|DEADLY' "$out" || result=failed ;;
	esac
	rm -f "$out"
	echo "$tool $source $kind $verdict $result"
	exit 0
fi

# What was wrong, and a line for each tool and source, and for all.
table()
{
	sort | awk '
{
	for (of = 0; of < 2; of++) {
		key = (of ? "all" : $2) " " $1
		keys[key]
		pairs[key] += $4 == "right"
		count[key, $4, $5]++
		pair = key " " $2 " " $3
		if ($4 == "right")
			silent[pair] = $5 == "silent"
		else
			told[key] += silent[pair] && $5 == "reported"
	}
	if ($5 == "failed" || $5 == "endless" || $5 == "crashed" ||
	    ($4 == "right") == ($5 == "reported"))
		print $1 ": " $3 ", " $4 ": " $5
}
END {
	for (key in keys) {
		printf "%s: of %d pairs %d right reported, %d wrong missed, %d told apart; ",
			key, pairs[key], count[key, "right", "reported"],
			count[key, "wrong", "silent"], told[key] | "sort"
		printf "%d right, %d wrong did not end; %d right, %d wrong crashed\n",
			count[key, "right", "endless"], count[key, "wrong", "endless"],
			count[key, "right", "crashed"], count[key, "wrong", "crashed"] | "sort"
	}
}'
}

if [ "${1-}" = --table ]; then
	table
	exit
fi

root=$(cd "$(dirname "$0")/.." && pwd)
anyrcu=$1
shift
[ $# -gt 0 ] || set -- $(cd "$root/tests/lockdep" && ls kinds*.c kinds*.cpp)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# compile SOURCE PROGRAM COMPILER OPTION...
compile()
{
	file=$root/tests/lockdep/$1
	program=$2
	shift 2
	case $file in
	*cxx20*) set -- "$@" -std=c++20 "$file" ;;
	*.cpp) set -- "$@" -std=c++17 "$file" ;;
	*glib.c) set -- "$@" "$file" $(pkg-config --cflags --libs glib-2.0) ;;
	*omp.c) set -- "$@" -fopenmp "$file" ;;
	*) set -- "$@" "$file" ;;
	esac
	"$@" -g -O1 -w -pthread -I"$root/include" -o "$program" -ldl -lrt
}

compiler()
{
	case $1 in
	*.cpp) echo "$2" | sed 's/gcc/g++/; s/clang/clang++/' ;;
	*) echo "$2" ;;
	esac
}

for tool in ${TOOLS:-anyrcu helgrind drd tsan-gcc tsan-clang}; do
	for source; do
		program=$dir/$tool-${source%.*}
		case $tool in
		tsan-*)
			compile "$source" "$program" "$(compiler "$source" "${tool#tsan-}")" \
				-fsanitize=thread
			;;
		*) compile "$source" "$program" "$(compiler "$source" gcc)" ;;
		esac || { echo "$tool: $source cannot be built for it" >&2; continue; }
		# By the program for anyrcu, as some of the others' may print more.
		for kind in $("$program" 2>/dev/null || setarch -R "$program"); do
			for verdict in right wrong; do
				echo --one "$anyrcu" "$tool" "$source" "$program" "$kind" "$verdict"
			done
		done
	done
done >"$dir/runs"
xargs -P "${JOBS:-1}" -L 1 "$0" <"$dir/runs" >compare-lockdep.txt

table <compare-lockdep.txt
