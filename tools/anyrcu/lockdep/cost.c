/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "lockdep/cost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lockdep/place.h"
#include "program.h"

static void *grow(void *array, size_t n, size_t size)
{
	array = reallocarray(array, n + 1, size);
	if (!array)
		program_die("what was counted", strerror(ENOMEM));
	memset((char *)array + n * size, 0, size);
	return array;
}

static char *name_of(const struct notices *notices, const struct notice_place *written,
		     const char *type)
{
	struct place p = place_of(notices, written);
	char *name = NULL;
	size_t size;
	FILE *f = open_memstream(&name, &size);

	if (!f)
		program_die("what was counted", strerror(ENOMEM));
	/* a variable is a lock itself, anything else is where locks come from */
	if (type && !p.symbol.data)
		fprintf(f, "%s of ", type);
	place_put_name(f, &p);
	if (fclose(f) != 0)
		program_die("what was counted", strerror(ENOMEM));
	return name;
}

/* A site is never taken back: its class is named once. */
static const char *class_name(const struct notices *notices, const struct counts *counts,
			      uint32_t site, const char *type)
{
	static char *names[COUNT_SITES];

	if (!names[site])
		names[site] = name_of(notices, &counts->site[site].class, type);
	return names[site];
}

static void copy_string(char *to, const char *from)
{
	memcpy(to, from, 15);
	to[15] = '\0';
}

static void add_times(struct times *to, const struct count_times *from)
{
	uint64_t max = atomic_load(&from->max);

	to->total += atomic_load(&from->total);
	to->max = max > to->max ? max : to->max;
	for (unsigned i = 0; i < COUNT_BUCKETS; i++) {
		to->bucket[i] += atomic_load(&from->bucket[i]);
		to->n += atomic_load(&from->bucket[i]);
	}
}

static void add_cost(struct cost *to, const struct count_site *from)
{
	for (unsigned i = 0; i < COUNT_SHARDS; i++) {
		const struct count_shard *s = &from->shard[i];

		to->acquired += atomic_load(&s->acquired);
		to->contended += atomic_load(&s->contended);
		to->moved += atomic_load(&s->moved);
		add_times(&to->wait, &s->wait);
		add_times(&to->hold, &s->hold);
	}
}

uint64_t times_below(const struct times *t, double part)
{
	uint64_t n = 0, bound;

	for (unsigned i = 0; i < COUNT_BUCKETS; i++) {
		n += t->bucket[i];
		bound = UINT64_C(1) << i;
		if (n && (double)n >= part * (double)t->n)
			return bound < t->max ? bound : t->max;
	}
	return 0;
}

static int by_size(uint64_t a, uint64_t b, uint64_t a2, uint64_t b2)
{
	return a != b ? (a < b) - (a > b) : (a2 < b2) - (a2 > b2);
}

static int compare_locks(const void *a, const void *b)
{
	const struct lock_cost *l = a, *k = b;
	int order = strcmp(l->program, k->program);

	return order ? order :
		       by_size(l->cost.wait.total, k->cost.wait.total, l->cost.acquired,
			       k->cost.acquired);
}

static int compare_sites(const void *a, const void *b)
{
	const struct cost *c = &((const struct site_cost *)a)->cost,
			  *d = &((const struct site_cost *)b)->cost;

	return by_size(c->wait.total, d->wait.total, c->acquired, d->acquired);
}

static int compare_blames(const void *a, const void *b)
{
	const struct blame_cost *l = a, *k = b;

	return by_size(l->total, k->total, l->times, k->times);
}

static bool same_place(const struct notice_place *a, const struct notice_place *b)
{
	return a->module == b->module &&
	       (a->module ? a->offset == b->offset : a->address == b->address);
}

static bool same_class(const struct count_site *a, const struct count_site *b)
{
	return same_place(&a->class, &b->class) && !strncmp(a->type, b->type, sizeof(a->type)) &&
	       !strncmp(a->program, b->program, sizeof(a->program));
}

static void read_blames(struct site_cost *to, uint32_t site, const struct notices *notices,
			const struct counts *counts)
{
	for (size_t i = 0; i < COUNT_BLAMES; i++) {
		const struct count_blame *b = &counts->blame[i];
		uint64_t sites = atomic_load(&b->sites);
		uint32_t holder = (uint32_t)sites;

		if (sites >> 32 != site + 1 || !holder || holder > COUNT_SITES)
			continue;
		to->blames = grow(to->blames, to->nblames, sizeof(*to->blames));
		to->blames[to->nblames++] =
			(struct blame_cost){ name_of(notices, &counts->site[holder - 1].call, NULL),
					     atomic_load(&b->times), atomic_load(&b->total) };
	}
	if (to->nblames)
		qsort(to->blames, to->nblames, sizeof(*to->blames), compare_blames);
}

static void read_site(struct lock_cost *l, uint32_t site, const struct notices *notices,
		      const struct counts *counts)
{
	const struct count_site *s = &counts->site[site];
	struct site_cost *to;

	l->sites = grow(l->sites, l->nsites, sizeof(*l->sites));
	to = &l->sites[l->nsites++];
	to->name = name_of(notices, &s->call, NULL);
	to->reads = s->reads;
	add_cost(&to->cost, s);
	read_blames(to, site, notices, counts);
}

struct costs costs_read(const struct notices *notices, const struct counts *counts, bool sites)
{
	struct costs c = { 0 };
	uint32_t *first = NULL; /* a site of each lock */

	for (uint32_t i = 0; i < COUNT_SITES; i++) {
		const struct count_site *s = &counts->site[i];
		size_t k = 0;

		if (!atomic_load(&s->ready))
			continue;
		while (k < c.n && !same_class(s, &counts->site[first[k]]))
			k++;
		if (k == c.n) {
			first = grow(first, c.n, sizeof(*first));
			c.locks = grow(c.locks, c.n, sizeof(*c.locks));
			first[c.n++] = i;
			copy_string(c.locks[k].type, s->type);
			copy_string(c.locks[k].program, s->program);
			c.locks[k].name = class_name(notices, counts, i, c.locks[k].type);
		}
		add_cost(&c.locks[k].cost, s);
		if (sites)
			read_site(&c.locks[k], i, notices, counts);
	}
	free(first);
	for (size_t k = 0; sites && k < c.n; k++)
		qsort(c.locks[k].sites, c.locks[k].nsites, sizeof(struct site_cost), compare_sites);
	if (c.n)
		qsort(c.locks, c.n, sizeof(*c.locks), compare_locks);
	return c;
}

void costs_free(struct costs *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct lock_cost *l = &c->locks[i];

		for (size_t k = 0; k < l->nsites; k++) {
			for (size_t j = 0; j < l->sites[k].nblames; j++)
				free(l->sites[k].blames[j].name);
			free(l->sites[k].blames);
			free(l->sites[k].name);
		}
		free(l->sites);
	}
	free(c->locks);
}

void put_time(FILE *f, double ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s " }; /* numbers align */
	unsigned unit = 0;

	for (; ns >= 1000 && unit < 3; unit++)
		ns /= 1000;
	fprintf(f, "%*.*f%s", 6, unit && ns < 100 ? 1 : 0, ns, units[unit]);
}

static void put_frame(FILE *f, const struct notices *notices, const struct notice_place *written)
{
	struct place p = place_of(notices, written);
	char *name;

	if (p.symbol.function) {
		for (const char *c = p.symbol.function; *c; c++)
			fputc(*c == ';' ? ',' : *c, f);
		return;
	}
	name = name_of(notices, written, NULL);
	fputs(name, f);
	free(name);
}

void costs_fold(FILE *f, const struct notices *notices, const struct counts *counts)
{
	for (size_t i = 0; i < COUNT_STACKS; i++) {
		const struct count_stack *s = &counts->stack[i];
		uint32_t n = s->nframes;
		char program[16];

		if (!atomic_load(&s->ready) || !atomic_load(&s->total))
			continue;
		copy_string(program, s->program);
		fputs(program, f);
		for (n = n < COUNT_FRAMES ? n : COUNT_FRAMES; n; n--) {
			fputc(';', f);
			put_frame(f, notices, &s->frame[n - 1]);
		}
		fprintf(f, " %llu\n", (unsigned long long)atomic_load(&s->total));
	}
}
