/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the fuzzers share. What one has found out it says in a line that begins with "fuzz: ", and
 * aborts.
 *
 * With FUZZ_BREAK in the environment, the harness breaks what that names, and the fuzzer must find
 * it out.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOUND(...) (fprintf(stderr, "fuzz: " __VA_ARGS__), fputc('\n', stderr), abort())
#define MUST(x) ((x) ? (void)0 : FOUND("line %d: not so: %s", __LINE__, #x))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline bool broken(const char *what)
{
	static const char *how;

	if (!how)
		how = getenv("FUZZ_BREAK") ?: "";
	return !strcmp(how, what);
}

/* The input, a number at a time; zeroes when there is no more. */
struct input {
	const uint8_t *at, *end;
};

static inline uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint64_t number(struct input *in, unsigned bytes)
{
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | byte(in);
	return n;
}

#endif
