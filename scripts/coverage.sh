#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Line and branch coverage of src/ by the test suite, on the fast path and the fallbacks: a table,
# and the lines that nothing has reached. Takes some minutes.
set -eu
cd "$(dirname "$0")/.."
umask 0 # some cases give up their privileges, and write their counts nevertheless
export TEST_EXCEPT=' no_files ' # which cannot
dir=build-coverage
scripts/deps.sh coverage
[ -f $dir/build.ninja ] ||
	meson setup $dir -Db_coverage=true -Dbuildtype=debugoptimized \
		-Dc_args=-fprofile-update=atomic >/dev/null
ninja -C $dir --quiet
find $dir -name '*.gcda' -delete
for setup in default fallback fences; do
	meson test -C $dir --no-rebuild --suite run --setup $setup >$dir/test-output 2>&1 || {
		grep -E '^ *[0-9]+/[0-9]+ .* (FAIL|TIMEOUT) ' $dir/test-output
		echo "what failed has counted too"
	}
done

# A count that two processes have written at once may have become negative,
# which is no reason to have none.
report()
{
	gcovr --gcov-ignore-parse-errors --root . --filter 'src/' --exclude 'src/port/mock/' \
		--object-directory $dir $dir "$1"
}
report --csv | awk -F, '
	function row(name, lt, lc, bt, bc) {
		printf "%-28s %6d %7.1f%% %9d %7.1f%%\n", name,
			lt, lt ? 100 * lc / lt : 100, bt, bt ? 100 * bc / bt : 100
	}
	NR == 1 {
		printf "%-28s %6s %8s %9s %8s\n", "", "lines", "reached", "branches", "taken"
		next
	}
	{ row($1, $2, $3, $5, $6); lt += $2; lc += $3; bt += $5; bc += $6 }
	END { row("all", lt, lc, bt, bc) }'
echo
echo "Lines not reached:"
report --txt | awk '$1 ~ /^src\// && NF > 4 { $2 = $3 = $4 = ""; print }'
