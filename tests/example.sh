#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# usage: example.sh WHAT_IT_SAYS [EMULATOR...] PROGRAM
says=$1
shift
out=$("$@") && [ "$out" = "$says" ]
