#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The long proof: the models, torture whole and broken, interruption at every instruction, refusal at every allocation; with clang,
# the fuzzers.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh proof
[ -f build-proof/build.ninja ] || meson setup build-proof -Dproof=true >/dev/null
[ -f build-proof-clang/build.ninja ] || CC=clang CXX=clang++ meson setup build-proof-clang -Dproof=true >/dev/null
meson test -C build-proof --suite proof "$@"
meson test -C build-proof-clang --suite proof-clang "$@"
