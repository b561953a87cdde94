/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Whatever counts like a semaphore; see preload_semaphores.c. For threads that are watched. */
#ifndef ANYRCU_PRELOAD_COUNTERS_H
#define ANYRCU_PRELOAD_COUNTERS_H

#include "lockdep/preload.h"

/* It has a value now; @shared: by processes. And: whatever it was, it is no longer. */
void counter_is(const void *c, unsigned value, bool shared, const void *ip);
void counter_forget(const void *c);
/*
 * Around a wait for it, in the function @what. What the first returns, the second is told; @had: it
 * came down.
 */
bool counter_wait(const void *c, const char *what, const void *ip);
void counter_waited(const void *c, bool lock, bool had, const void *ip);
/* It came down without a wait that could last for ever. */
void counter_had(const void *c, const void *ip);
/* It is about to go up, to @value, as far as is known; 0: that is not known. */
void counter_post(const void *c, unsigned value, const void *ip);

/*
 * What has no address has one here by its kind and two numbers. Another object takes its place when
 * there is no room, and what was known of it is forgotten. And: a hash of these; 0: it is no such
 * thing.
 */
enum object_kind { OBJECT_SYSTEM_V = 1, OBJECT_FILE };
const void *object_named(enum object_kind kind, uint64_t a, uint64_t b);
uint64_t object_name(const void *object);

#endif
