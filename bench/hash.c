/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu/hash.h beside cds_lfht of liburcu-cds (memb flavour): the same elements, hash values and
 * loops. Each measurement is a process of its own, and the two take turns.
 *
 * usage: bench_hash [ROUNDS [ELEMENTS...]]	a table; JSON goes to descriptor 3
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#include <urcu.h>
#include <urcu/rculfhash.h>

#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 2
#define ROUNDS_MAX 31

static size_t elements, threads;

struct entry {
	unsigned long key;
	union {
		struct anyrcu_hash_node own;
		struct cds_lfht_node cds;
	} node __attribute__((aligned(16)));
	union {
		struct anyrcu_head own;
		struct rcu_head cds;
	} head;
};

static uint64_t hash_of(uint64_t key)
{
	key = (key ^ key >> 33) * UINT64_C(0xff51afd7ed558ccd);
	key = (key ^ key >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return key ^ key >> 33;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct entry *entry(unsigned long key)
{
	struct entry *e = malloc(sizeof(*e));

	if (!e)
		abort();
	e->key = key;
	return e;
}

/* ---- anyrcu ---- */

static struct anyrcu_hash *own;

static void own_make(void)
{
	own = anyrcu_hash_create(0);
}

static void own_thread(void)
{
}

static inline bool own_find(unsigned long key)
{
	struct entry *e;

	anyrcu_read_lock();
	anyrcu_hash_for_each_possible(e, own, hash_of(key), node.own) if (e->key == key) break;
	anyrcu_read_unlock();
	return e;
}

static inline void own_add(unsigned long key)
{
	anyrcu_hash_add(own, &entry(key)->node.own, hash_of(key));
}

static inline void own_del(unsigned long key)
{
	struct entry *e;

	anyrcu_read_lock();
	anyrcu_hash_for_each_possible(e, own, hash_of(key), node.own) if (e->key == key) break;
	if (e && anyrcu_hash_del(own, &e->node.own))
		anyrcu_free(e, head.own);
	anyrcu_read_unlock();
}

static void own_settle(void)
{
	anyrcu_barrier();
}

/* ---- liburcu ---- */

static struct cds_lfht *cds;

static void cds_make(void)
{
	rcu_register_thread();
	cds = cds_lfht_new(64, 64, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
}

static void cds_thread(void)
{
	rcu_register_thread();
}

static int cds_match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct entry, node.cds)->key == *(const unsigned long *)key;
}

static inline bool cds_find(unsigned long key)
{
	struct cds_lfht_iter iter;
	bool found;

	rcu_read_lock();
	cds_lfht_lookup(cds, hash_of(key), cds_match, &key, &iter);
	found = cds_lfht_iter_get_node(&iter);
	rcu_read_unlock();
	return found;
}

static inline void cds_add(unsigned long key)
{
	struct entry *e = entry(key);

	rcu_read_lock();
	cds_lfht_add(cds, hash_of(key), &e->node.cds);
	rcu_read_unlock();
}

static void cds_free(struct rcu_head *head)
{
	free(caa_container_of(head, struct entry, head.cds));
}

static inline void cds_del(unsigned long key)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	rcu_read_lock();
	cds_lfht_lookup(cds, hash_of(key), cds_match, &key, &iter);
	node = cds_lfht_iter_get_node(&iter);
	if (node && !cds_lfht_del(cds, node))
		call_rcu(&caa_container_of(node, struct entry, node.cds)->head.cds, cds_free);
	rcu_read_unlock();
}

static void cds_settle(void)
{
	rcu_barrier();
}

/* ---- what is measured ---- */

#define LOOKUPS 1000000
#define UPDATES 200000

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*s %zu", &pages) != 1)
		abort();
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* A thread has keys of its own to update, and looks up those of all. */
#define LOOPS(scheme)                                                                 \
	static void *scheme##_lookups(void *arg)                                      \
	{                                                                             \
		uint64_t state = 88172645463325252 + (uintptr_t)arg;                  \
                                                                                      \
		scheme##_thread();                                                    \
		for (size_t i = 0; i < LOOKUPS; i++)                                  \
			if (!scheme##_find(next_random(&state) % elements))           \
				abort();                                              \
		return NULL;                                                          \
	}                                                                             \
	static void *scheme##_misses(void *arg)                                       \
	{                                                                             \
		uint64_t state = 88172645463325252 + (uintptr_t)arg;                  \
                                                                                      \
		scheme##_thread();                                                    \
		for (size_t i = 0; i < LOOKUPS; i++)                                  \
			if (scheme##_find(elements + next_random(&state) % elements)) \
				abort();                                              \
		return NULL;                                                          \
	}                                                                             \
	static void *scheme##_updates(void *arg)                                      \
	{                                                                             \
		unsigned long first = elements + (uintptr_t)arg * UPDATES;            \
                                                                                      \
		scheme##_thread();                                                    \
		for (size_t i = 0; i < UPDATES; i++) {                                \
			scheme##_add(first + i);                                      \
			if (i >= 1000)                                                \
				scheme##_del(first + i - 1000);                       \
		}                                                                     \
		return NULL;                                                          \
	}                                                                             \
	static void scheme##_fill(void)                                               \
	{                                                                             \
		for (size_t i = 0; i < elements; i++)                                 \
			scheme##_add(i);                                              \
	}

LOOPS(own)
LOOPS(cds)

enum what { LOOKUP, MISS, UPDATE, FILL, MEMORY, WHATS };
static const char *const what_names[] = { "lookup, found", "lookup, not found", "add and remove",
					  "add, growing from 64 buckets", "memory" };

static double run(void *(*f)(void *), size_t operations)
{
	pthread_t t[THREADS];
	double begin = now();

	for (size_t i = 0; i < threads; i++)
		pthread_create(&t[i], NULL, f, (void *)i);
	for (size_t i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	return (now() - begin) / operations;
}

static double measure(bool is_own, enum what what)
{
	size_t before = resident();
	double begin;

	(is_own ? own_make : cds_make)();
	begin = now();
	(is_own ? own_fill : cds_fill)();
	if (what == FILL)
		return (now() - begin) / elements;
	(is_own ? own_settle : cds_settle)();
	usleep(200000); /* for a resize that is under way */
	switch (what) {
	case LOOKUP:
		return run(is_own ? own_lookups : cds_lookups, LOOKUPS);
	case MISS:
		return run(is_own ? own_misses : cds_misses, LOOKUPS);
	case UPDATE:
		return run(is_own ? own_updates : cds_updates, UPDATES);
	default:
		return (double)(resident() - before) / elements;
	}
}

static double measure_apart(bool is_own, enum what what)
{
	double result = 0;
	int fd[2];

	if (pipe(fd))
		abort();
	fflush(NULL);
	if (!fork()) {
		result = measure(is_own, what);
		_exit(write(fd[1], &result, sizeof(result)) != sizeof(result));
	}
	close(fd[1]);
	if (read(fd[0], &result, sizeof(result)) != sizeof(result))
		abort();
	close(fd[0]);
	wait(NULL);
	return result;
}

static int by_size(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) -
	       (*(const double *)a < *(const double *)b);
}

static void compare(enum what what, int rounds, FILE *json)
{
	static bool later;
	double t[2][ROUNDS_MAX];

	for (int r = 0; r < rounds; r++)
		for (int is_own = 0; is_own < 2; is_own++)
			t[is_own][r] = measure_apart(is_own, what);
	for (int is_own = 0; json && is_own < 2; is_own++) {
		fprintf(json,
			"%s{\"what\": \"%s\", \"table\": \"%s\", \"threads\": %zu, \"elements\": "
			"%zu, \"rounds\": [",
			later ? ",\n" : "", what_names[what], is_own ? "anyrcu" : "cds_lfht",
			threads, elements);
		for (int r = 0; r < rounds; r++)
			fprintf(json, "%s%.2f", r ? ", " : "", t[is_own][r]);
		fprintf(json, "]}");
		later = true;
	}
	for (int is_own = 0; is_own < 2; is_own++)
		qsort(t[is_own], rounds, sizeof(double), by_size);
	printf("%9zu  %zu  %-30s %7.1f %s (%.1f..%.1f)  %7.1f (%.1f..%.1f)  %.2fx\n", elements,
	       threads, what_names[what], t[1][rounds / 2], what == MEMORY ? "B " : "ns", t[1][0],
	       t[1][rounds - 1], t[0][rounds / 2], t[0][0], t[0][rounds - 1],
	       t[0][rounds / 2] / t[1][rounds / 2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const char *const sizes[] = { "10000", "1000000" };
	int rounds = argc > 1 ? atoi(argv[1]) : 5, n = argc > 2 ? argc - 2 : 2;
	FILE *json = fdopen(3, "w");

	if (rounds < 1 || rounds > ROUNDS_MAX)
		return 2;
	printf("elements  threads  for one element              anyrcu (spread)   cds_lfht "
	       "(spread)   cds_lfht / anyrcu\n");
	if (json)
		fprintf(json, "[");
	for (int i = 0; i < n; i++) {
		elements = strtoul(argc > 2 ? argv[i + 2] : sizes[i], NULL, 10);
		for (threads = 1; threads <= THREADS; threads++)
			for (enum what what = 0; what < (threads == 1 ? WHATS : FILL); what++)
				compare(what, rounds, json);
	}
	if (json)
		fprintf(json, "]\n");
	return 0;
}
