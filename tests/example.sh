#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# usage: example.sh [EMULATOR...] PROGRAM
out=$("$@") && [ "$out" = "reads version 1" ]
