/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The zone: maps memory in chunks of 2 MiB and splits them. All functions: task, with the zone's lock held. */
#ifndef ANYRCU_PAGES_ZONE_H
#define ANYRCU_PAGES_ZONE_H

#include <base/compiler.h>

/* 4096 << order bytes, or NULL. @may_map: may ask the system for more. */
void *zone_take(unsigned order, bool may_map);
void zone_put(void *page, unsigned order);
/* Take away the chunks of which nothing is in use; then unmap them, which takes long. */
struct chunk *zone_trim(void);
void zone_unmap(struct chunk *c);

#endif
