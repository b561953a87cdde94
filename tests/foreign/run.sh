#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Tests that others wrote, for programs and libraries on liburcu's interface, on anyrcu: builds and
# installs anyrcu into a directory of its own as a user would, then runs the scripts beside this
# one. Takes some 25 minutes and needs Debian's archive of sources.
# usage: run.sh [liburcu | knot | bind]...
set -eu
cd "$(dirname "$0")/../.."
[ $# != 0 ] || set -- liburcu knot bind
dir=build-foreign
log=$(mktemp)
trap 'rm -f "$log"' EXIT
make --no-print-directory install BUILD=$dir PREFIX="$PWD/$dir/prefix" >"$log" 2>&1 ||
	{ cat "$log"; exit 1; }
mkdir -p $dir/foreign
failed=0
for suite; do
	"tests/foreign/$suite.sh" $dir/prefix $dir/foreign || failed=1
done
exit $failed
