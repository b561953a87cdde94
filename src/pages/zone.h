/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The zone: the source of pages. In a process, zone.c: it maps memory in chunks, of 1 MiB and then
 * of 2 MiB, and splits them. Unless stated otherwise, functions are called by tasks that hold the
 * zone's lock (pages_lock).
 */
#ifndef ANYRCU_PAGES_ZONE_H
#define ANYRCU_PAGES_ZONE_H

#include <base/compiler.h>

/* 4096 << order bytes, or NULL; takes the lock itself, and may wait for it. Otherwise as below. */
void *zone_alloc(unsigned order, bool may_map);
/*
 * zone_return(): keep a page that found no free slot. zone_has_returned(): are there any such
 * pages? Any context. zone_bring_home(): return them to their chunks.
 */
void zone_return(void *page, unsigned order);
bool zone_has_returned(void);
void zone_bring_home(void);

/* 4096 << order bytes, or NULL. @may_map: may ask the system for more. */
void *zone_take(unsigned order, bool may_map);
void zone_put(void *page, unsigned order);
/* Remove the chunks without a page in use; then unmap them, which takes long. */
struct chunk *zone_trim(void);
void zone_unmap(struct chunk *c);

#endif
