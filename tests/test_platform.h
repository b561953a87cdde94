/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TESTS_TEST_PLATFORM_H
#define TESTS_TEST_PLATFORM_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <port/port.h>
#include <port/posix/init.h>
#include <port/posix/process.h>
#include <port/process.h>

/* The tests of test_platform_tasks.c; returns how many failed. */
int platform_tasks(void);

#endif
