#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# usage: example.sh PROGRAM
out=$("$1") && [ "$out" = "reads version 1" ]
