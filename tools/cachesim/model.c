/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "model.h"

#include <stdlib.h>
#include <string.h>

static bool cache_make(struct cache *c, unsigned bytes)
{
	c->sets = bytes / (WAYS << LINE_SHIFT);
	c->line = calloc((size_t)c->sets * WAYS, sizeof(*c->line));
	return c->line;
}

bool caches_make(struct caches *c, unsigned l1_bytes, unsigned l2_bytes)
{
	*c = (struct caches){ 0 };
	if (cache_make(&c->l1, l1_bytes) && cache_make(&c->l2, l2_bytes))
		return true;
	caches_free(c);
	return false;
}

void caches_free(struct caches *c)
{
	free(c->l1.line);
	free(c->l2.line);
}

/* Is it there? It is afterwards, as the most recently used one of its set. */
static bool hit(struct cache *c, uint64_t line)
{
	uint64_t *way = c->line + (line & (c->sets - 1)) * WAYS;
	unsigned i = 0;

	while (i < WAYS - 1 && way[i] != line + 1)
		i++;
	bool found = way[i] == line + 1;

	memmove(way + 1, way, i * sizeof(*way));
	way[0] = line + 1;
	return found;
}

unsigned caches_access(struct caches *c, uint64_t address)
{
	uint64_t line = address >> LINE_SHIFT;

	if (hit(&c->l1, line))
		return 0;
	return hit(&c->l2, line) ? 1 : 2;
}
