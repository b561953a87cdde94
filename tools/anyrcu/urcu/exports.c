/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The functions that programs call in liburcu's place: exports.h, for each flavour. */
#include "urcu/flavour.h"

#define EXPORT __attribute__((visibility("default")))
#define CALLER ((uintptr_t)__builtin_return_address(0))

/* The constructors of the program's libraries, which run before ours, may call these functions. */
static inline struct flavour *flavour(int n)
{
	if (unlikely(!load_acquire(&flavours[n].loaded)))
		process_begin();
	return &flavours[n];
}

#define FLAVOUR MEMB
#define NAME(what) urcu_memb_##what
#include "urcu/exports.h"
#undef NAME
#undef FLAVOUR

#define FLAVOUR MB
#define NAME(what) urcu_mb_##what
#include "urcu/exports.h"
#undef NAME
#undef FLAVOUR

#define FLAVOUR QSBR
#define NAME(what) urcu_qsbr_##what
#include "urcu/exports.h"
#undef NAME
#undef FLAVOUR

#define FLAVOUR BP
#define NAME(what) urcu_bp_##what
#include "urcu/exports.h"
#undef NAME
#undef FLAVOUR
