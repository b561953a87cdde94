/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "bench/scheme.h"

#ifdef URCU_VERSION
#define URCU(scheme) &scheme
#else
#define URCU(scheme) NULL
#endif
#ifdef CK_VERSION
#define CK(scheme) &scheme
#else
#define CK(scheme) NULL
#endif

const struct known_scheme known_schemes[] = {
	{ "immediate", NULL, &scheme_immediate },
	{ "in-bulk", NULL, &scheme_in_bulk },
	{ "anyrcu-free", NULL, &scheme_anyrcu_free },
	{ "anyrcu-headless", NULL, &scheme_anyrcu_headless },
	{ "anyrcu-task", NULL, &scheme_anyrcu_task },
	{ "anyrcu-call", NULL, &scheme_anyrcu_call },
	{ "anyrcu-cache", NULL, &scheme_cache },
	{ "anyrcu-alloc", NULL, &scheme_alloc },
	{ "cache-immediate", NULL, &scheme_cache_immediate },
	{ "urcu-call_rcu", "liburcu", URCU(scheme_urcu_call) },
	{ "urcu-call_rcu-percpu", "liburcu", URCU(scheme_urcu_call_percpu) },
	{ "urcu-defer_rcu", "liburcu", URCU(scheme_urcu_defer) },
	{ "ck_epoch", "Concurrency Kit", CK(scheme_ck) },
};
const size_t nknown_schemes = sizeof(known_schemes) / sizeof(*known_schemes);
