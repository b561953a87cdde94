/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What users write: numbers and lists in the tool's options, and the library's environment
 * variables. Each is read by the code under test and by a plain reader here, and both must come to
 * the same: accepted with that value, or refused with a message.
 */
#include <init/init.c>

#include "fuzz.h"
#include "options.h"
#include "bench/scheme.h"

#include <ctype.h>
#include <setjmp.h>

static const struct scheme a = { .name = "a" }, bc = { .name = "b-c" };
const struct known_scheme known_schemes[] = { { "a", NULL, &a },
					      { "b-c", NULL, &bc },
					      { "none", "nothing", NULL } };
const size_t nknown_schemes = ARRAY_SIZE(known_schemes);

static jmp_buf refused;
static unsigned reports;

void __wrap_argp_error(const struct argp_state *state, const char *format, ...)
{
	(void)state, (void)format;
	longjmp(refused, 1);
}

void __wrap_port_report(const char *format, ...)
{
	(void)format;
	reports++;
}

/* As decimal digits; more than 2^64 - 1 counts as that. */
static bool digits(const char **s, uint64_t *n)
{
	const char *begin = *s;

	for (*n = 0; isdigit((unsigned char)**s); (*s)++)
		if (__builtin_mul_overflow(*n, 10, n) || __builtin_add_overflow(*n, **s - '0', n)) {
			*n = UINT64_MAX;
			*s += strspn(*s, "0123456789");
			break;
		}
	return *s > begin;
}

static bool expect_number(const char *s, uint64_t min, uint64_t max, uint64_t *n)
{
	__uint128_t v;

	if (!digits(&s, n))
		return false;
	v = (__uint128_t)*n << (*s == 'K' ? 10 : *s == 'M' ? 20 : *s == 'G' ? 30 : 0);
	s += *s == 'K' || *s == 'M' || *s == 'G';
	*n = v;
	return !*s && v >= min && v <= max;
}

static void compare(const char *what, const char *s, bool accepted, bool expected)
{
	if (accepted != (expected != broken(what)))
		FOUND("%s: \"%s\" was %s", what, s, accepted ? "accepted" : "refused");
}

static void one_number(struct input *in, const char *s)
{
	uint64_t min = number(in, 8) >> byte(in) % 64, max = number(in, 8) >> (1 + byte(in) % 63),
		 expected;
	volatile uint64_t n = 0;
	volatile bool accepted = false;

	if (!setjmp(refused)) {
		n = option_number(NULL, "--option", s, min, max);
		accepted = true;
	}
	compare("number", s, accepted, expect_number(s, min, max, &expected));
	MUST(!accepted || n == expected);
}

/* All of them, each at most once. */
static bool expect_schemes(char *s, struct options *o)
{
	for (char *name, *rest = s; (name = strsep(&rest, ","));) {
		const struct scheme *scheme = !strcmp(name, "a")   ? &a :
					      !strcmp(name, "b-c") ? &bc :
								     NULL;

		if (!scheme || (o->nschemes && o->schemes[0] == scheme) || o->nschemes == 2)
			return false;
		o->schemes[o->nschemes++] = scheme;
	}
	return true;
}

static void command_line(const char *option, const char *s)
{
	struct options o, expected = { .nschemes = 0 };
	char arg[512], program[] = "program", *argv[] = { program, arg, NULL };
	volatile bool accepted = false;
	uint64_t n = 0;
	bool list = !strcmp(option, "schemes");

	snprintf(arg, sizeof(arg), "--%s=%s", option, s);
	if (!setjmp(refused))
		accepted = argp_parse(&common_argp, 2, argv, ARGP_NO_EXIT, NULL, &o) == 0;
	compare(option, s, accepted,
		list ? expect_schemes(strdupa(s), &expected) : expect_number(s, 1, 256, &n));
	MUST(!accepted ||
	     (list ? o.nschemes == expected.nschemes && o.schemes[0] == expected.schemes[0] :
		     o.threads == n));
}

static void environment_number(const char *s)
{
	const char *at = s + strspn(s, " \t\n\v\f\r");
	bool minus = *at == '-', expected;
	int64_t n = 0;
	int got;

	at += *at == '-' || *at == '+';
	expected = digits(&at, (uint64_t *)&n) && !*at &&
		   (minus ? (uint64_t)n <= 1 : (uint64_t)n <= ANYRCU_WORKERS_MAX);
	setenv("ANYRCU_WORKERS", s, 1);
	reports = 0;
	got = env_workers(7);
	compare("workers", s, reports == 0, expected || !*s);
	MUST(got == (!expected ? 7 : n == 0 || minus ? -1 : n));
}

static void environment_switch(const char *s)
{
	bool one = !strcmp(s, "1"), expected = one || !strcmp(s, "0");

	setenv("ANYRCU_FUZZ", s, 1);
	reports = 0;
	MUST(env_switch("ANYRCU_FUZZ", true) == (one || !expected));
	compare("switch", s, reports == 0, expected || !*s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t what = byte(&in);
	char s[256];
	size_t n;

	if (what % 5 == 0)
		in.at += in.end - in.at > 18 ? 18 : in.end - in.at;
	n = in.end - in.at < 255 ? in.end - in.at : 255;
	memcpy(s, in.at, n);
	s[n] = '\0';
	switch (what % 5) {
	case 0:
		one_number(&(struct input){ data + 1, data + size }, s);
		break;
	case 1:
		command_line("threads", s);
		break;
	case 2:
		command_line("schemes", s);
		break;
	case 3:
		environment_number(s);
		break;
	case 4:
		environment_switch(s);
		break;
	}
	return 0;
}
