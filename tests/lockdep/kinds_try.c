/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that choose the order of many locks as they run, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <semaphore.h>

static pthread_mutex_t c = PTHREAD_MUTEX_INITIALIZER;
static sem_t held, leave;

static void both(pthread_mutex_t *first, pthread_mutex_t *second)
{
	in_order(first, second);
}

THREAD(b_then_a)
{
	both(&b, &a);
	return arg;
}

/* ---- tries ---- */

THREAD(keeps_b)
{
	lock(&b);
	sem_post(&held);
	sem_wait(&leave);
	unlock(&b);
	return arg;
}

/* Who does not get the second gives back the first, and begins with the second. */
THREAD(changes_places)
{
	lock(&a);
	if (pthread_mutex_trylock(&b) == 0)
		abort();
	if (!wrong)
		unlock(&a);
	sem_post(&leave);
	lock(&b);
	if (!wrong && pthread_mutex_trylock(&a) != 0)
		abort();
	unlock(&a);
	unlock(&b);
	return arg;
}

static void smart_and_polite(void)
{
	pthread_t t;

	run(b_then_a, NULL);
	sem_init(&held, 0, 0);
	sem_init(&leave, 0, 0);
	pthread_create(&t, NULL, keeps_b, NULL);
	sem_wait(&held);
	run(changes_places, NULL);
	pthread_join(t, NULL);
}

/* What was had by a try is held as if it was waited for. */
THREAD(tries_then_waits)
{
	if (pthread_mutex_trylock(&a) != 0)
		abort();
	lock(&b);
	unlock(&b);
	unlock(&a);
	return arg;
}

THREAD(b_and_try_a)
{
	lock(&b);
	if (wrong)
		lock(&a);
	if (wrong || pthread_mutex_trylock(&a) == 0)
		unlock(&a);
	unlock(&b);
	return arg;
}

static void tried_first(void)
{
	run(tries_then_waits, NULL);
	run(b_and_try_a, NULL);
}

/* A list of items in use has a lock, and so has each item: who evicts only tries the items'. */
struct item {
	pthread_mutex_t lock;
	struct item *next;
	bool used;
};

static pthread_mutex_t lru_lock = PTHREAD_MUTEX_INITIALIZER;
static struct item *lru;

THREAD(touches)
{
	struct item *i = arg;

	lock(&i->lock);
	lock(&lru_lock);
	i->used = true;
	unlock(&lru_lock);
	unlock(&i->lock);
	return NULL;
}

THREAD(evicts)
{
	lock(&lru_lock);
	for (struct item *i = lru; i; i = i->next) {
		if (wrong)
			lock(&i->lock);
		else if (pthread_mutex_trylock(&i->lock) != 0)
			continue;
		i->used = false;
		unlock(&i->lock);
	}
	unlock(&lru_lock);
	return arg;
}

static void evicted_by_try(void)
{
	for (int i = 0; i < 3; i++) {
		struct item *new = calloc(1, sizeof(*new));

		pthread_mutex_init(&new->lock, NULL);
		new->next = lru;
		lru = new;
	}
	run(touches, lru->next);
	run(evicts, NULL);
}

/* ---- sorted ---- */

enum { ROWS = 6 };
static pthread_mutex_t *row[ROWS];

static void make_rows(void)
{
	for (int i = 0; i < ROWS; i++)
		row[i] = new_mutex();
}

static int compare(const void *l, const void *r)
{
	const int *x = l, *y = r;

	return (*x > *y) - (*x < *y);
}

struct transaction {
	int n, rows[ROWS];
};

THREAD(commits)
{
	struct transaction *t = arg;

	if (!wrong)
		qsort(t->rows, t->n, sizeof(*t->rows), compare);
	for (int i = 0; i < t->n; i++)
		lock(row[t->rows[i]]);
	for (int i = t->n; i; i--)
		unlock(row[t->rows[i - 1]]);
	return NULL;
}

/* Three transactions, none of which two rows make a cycle of. */
static void transactions(void)
{
	struct transaction t[] = { { 3, { 0, 2, 4 } }, { 2, { 4, 5 } }, { 3, { 5, 1, 0 } } };

	make_rows();
	for (int i = 0; i < 3; i++)
		run(commits, &t[i]);
}

/* Locks have levels, and are taken from the highest to the lowest. */
struct levelled {
	pthread_mutex_t lock;
	int level;
};

static struct levelled levels[3] = { { PTHREAD_MUTEX_INITIALIZER, 30 },
				     { PTHREAD_MUTEX_INITIALIZER, 20 },
				     { PTHREAD_MUTEX_INITIALIZER, 10 } };

static void take(struct levelled *l, int *now)
{
	if (!wrong && l->level >= *now)
		abort();
	lock(&l->lock);
	*now = l->level;
}

THREAD(high_to_middle)
{
	int now = 100;

	take(&levels[0], &now);
	take(&levels[1], &now);
	unlock(&levels[1].lock);
	unlock(&levels[0].lock);
	return arg;
}

THREAD(middle_to_low)
{
	int now = 100;

	take(&levels[1], &now);
	take(&levels[2], &now);
	unlock(&levels[2].lock);
	unlock(&levels[1].lock);
	return arg;
}

THREAD(high_and_low)
{
	int now = 100;

	take(&levels[wrong ? 2 : 0], &now);
	take(&levels[wrong ? 0 : 2], &now);
	unlock(&levels[0].lock);
	unlock(&levels[2].lock);
	return arg;
}

static void levels_of_locks(void)
{
	run(high_to_middle, NULL);
	run(middle_to_low, NULL);
	run(high_and_low, NULL);
}

/* ---- a list whose nodes have locks ---- */

struct node {
	pthread_mutex_t lock;
	struct node *next, *previous;
	int key;
};

static struct node *head;

static struct node *node_after(struct node *after, int key)
{
	struct node *n = calloc(1, sizeof(*n));

	pthread_mutex_init(&n->lock, NULL);
	n->key = key;
	if (after) {
		n->next = after->next;
		n->previous = after;
		after->next = n;
		if (n->next)
			n->next->previous = n;
	}
	return n;
}

THREAD(inserts)
{
	int key = *(int *)arg;
	struct node *n = head, *next;

	lock(&n->lock);
	while ((next = n->next) && next->key < key) {
		lock(&next->lock);
		unlock(&n->lock);
		n = next;
	}
	if (next)
		lock(&next->lock);
	node_after(n, key);
	if (next)
		unlock(&next->lock);
	unlock(&n->lock);
	return NULL;
}

/* A node is removed with the one before it locked, which is asked for first, or too late. */
THREAD(removes)
{
	struct node *n = arg, *previous = n->previous;

	lock(wrong ? &n->lock : &previous->lock);
	lock(wrong ? &previous->lock : &n->lock);
	previous->next = n->next;
	if (n->next)
		n->next->previous = previous;
	unlock(&previous->lock);
	unlock(&n->lock);
	return NULL;
}

static void sorted_list(void)
{
	int keys[] = { 10, 30, 20, 25 };

	head = node_after(NULL, 0);
	for (int i = 0; i < 4; i++)
		run(inserts, &keys[i]);
	run(removes, head->next->next);
}

/* ---- all at once ---- */

THREAD(works)
{
	lock(row[0]);
	if (!wrong)
		unlock(row[0]);
	lock(&c);
	unlock(&c);
	if (wrong)
		unlock(row[0]);
	return arg;
}

THREAD(stops_the_world)
{
	lock(&c);
	for (int i = 0; i < ROWS; i++)
		lock(row[i]);
	for (int i = 0; i < ROWS; i++)
		unlock(row[i]);
	unlock(&c);
	return arg;
}

static void world_stops(void)
{
	make_rows();
	run(works, NULL);
	run(stops_the_world, NULL);
}

/* Who has no work takes some of another's, without its own lock. */
THREAD(steals)
{
	long me = arg != NULL;

	lock(row[me]);
	if (!wrong)
		unlock(row[me]);
	lock(row[!me]);
	unlock(row[!me]);
	if (wrong)
		unlock(row[me]);
	return NULL;
}

static void stolen_work(void)
{
	make_rows();
	run(steals, NULL);
	run(steals, row);
}

/* Two rows are locked in either order by those who have a lock for swaps. */
THREAD(swaps)
{
	bool up = arg != NULL;

	if (!wrong)
		lock(&c);
	lock(row[up ? 1 : 2]);
	lock(row[up ? 2 : 1]);
	unlock(row[1]);
	unlock(row[2]);
	if (!wrong)
		unlock(&c);
	return NULL;
}

static void swapped_under_guard(void)
{
	make_rows();
	run(swaps, NULL);
	run(swaps, row);
}

static const struct kind kinds[] = {
	KIND(smart_and_polite), KIND(tried_first),     KIND(evicted_by_try),
	KIND(transactions),	KIND(levels_of_locks), KIND(sorted_list),
	KIND(world_stops),	KIND(stolen_work),     KIND(swapped_under_guard),
};
KINDS_MAIN(kinds)
