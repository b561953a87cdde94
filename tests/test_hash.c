/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/hash.h>: the hash table, alone, beside readers, resized, and from handlers. */
#include "test.h"

struct entry {
	long key, value;
	struct anyrcu_hash_node node;
	struct anyrcu_head rcu;
};

static struct anyrcu_hash *table;

/* Of few hash values there are many keys. */
static uint64_t hash_few(long key)
{
	return key % 16;
}

static uint64_t hash_own(long key)
{
	return key;
}

static uint64_t (*hash_of)(long key) = hash_own;

static struct entry *entry(long key, long value)
{
	struct entry *e = malloc(sizeof(*e));

	CHECK(e);
	e->key = key;
	e->value = value;
	return e;
}

static void add(long key, long value)
{
	anyrcu_hash_add(table, &entry(key, value)->node, hash_of(key));
}

/* In a section. */
static struct entry *lookup(long key)
{
	struct entry *e;

	anyrcu_hash_for_each_possible(e, table, hash_of(key), node)
	{
		CHECK(e->value >= 0);
		if (e->key == key)
			return e;
	}
	return NULL;
}

static bool has(long key)
{
	bool found;

	anyrcu_read_lock();
	found = lookup(key);
	anyrcu_read_unlock();
	return found;
}

static bool match(const struct anyrcu_hash_node *node, const void *key)
{
	return anyrcu_container_of((struct anyrcu_hash_node *)node, struct entry, node)->key ==
	       *(const long *)key;
}

static struct entry *add_unique(struct entry *e)
{
	struct anyrcu_hash_node *there =
		anyrcu_hash_add_unique(table, &e->node, hash_of(e->key), match, &e->key);

	return there ? anyrcu_container_of(there, struct entry, node) : NULL;
}

static void reclaim(struct anyrcu_head *head)
{
	struct entry *e = anyrcu_container_of(head, struct entry, rcu);

	e->value = -1; /* a reader that still finds it notices */
	free(e);
}

static bool del(long key)
{
	struct entry *e;
	bool done = false;

	anyrcu_read_lock();
	e = lookup(key);
	if (e && anyrcu_hash_del(table, &e->node)) {
		anyrcu_call(&e->rcu, reclaim);
		done = true;
	}
	anyrcu_read_unlock();
	return done;
}

static void free_node(struct anyrcu_hash_node *n)
{
	free(anyrcu_container_of(n, struct entry, node));
}

static size_t walk(void)
{
	struct entry *e;
	size_t n = 0;

	anyrcu_read_lock();
	anyrcu_hash_for_each(e, table, node) n++;
	anyrcu_read_unlock();
	return n;
}

/* The buckets that are in the list, which may be shrinking. */
static size_t buckets(void)
{
	const struct anyrcu_hash_node *b;
	size_t n = 0;

	anyrcu_read_lock();
	for (b = table->segment[0]; b;
	     b = ANYRCU_HASH_NODE(__atomic_load_n(&b->next, __ATOMIC_ACQUIRE)))
		n += !(b->key & 1);
	anyrcu_read_unlock();
	return n;
}

static void make(void)
{
	CHECK(table = anyrcu_hash_create(0));
}

static void end(void)
{
	anyrcu_hash_destroy(table, free_node);
	anyrcu_barrier();
}

static void one_at_a_time(void)
{
	struct entry *e, *other;
	int n = 0;

	anyrcu_hash_destroy(NULL, NULL);
	make();
	CHECK(!has(1) && walk() == 0 && anyrcu_hash_count(table) == 0);
	for (long key = -20; key < 20; key++)
		add(key, key + 20);
	CHECK(walk() == 40 && anyrcu_hash_count(table) == 40);
	for (long key = -20; key < 20; key++)
		CHECK(has(key));
	CHECK(!has(20) && del(3) && !del(3) && !has(3) && has(4) && walk() == 39);
	e = entry(4, 5);
	other = add_unique(e);
	CHECK(other && other != e && other->key == 4 && other->value == 24);
	e->key = 3;
	CHECK(!add_unique(e) && has(3));
	other = entry(3, 7);
	CHECK(anyrcu_hash_replace(table, &e->node, &other->node));
	CHECK(!anyrcu_hash_replace(table, &e->node, &other->node));
	CHECK(!anyrcu_hash_del(table, &e->node) && has(3) && walk() == 40);
	anyrcu_call(&e->rcu, reclaim);
	e = entry(5, 0);
	anyrcu_hash_add(table, &e->node, hash_of(5));
	CHECK(anyrcu_hash_del(table, &e->node));
	anyrcu_synchronize();
	memset(e, 0xff, sizeof(*e)); /* nothing leads to it */
	CHECK(walk() == 40 && has(5));
	free(e);
	add(3, 8);
	anyrcu_read_lock();
	anyrcu_hash_for_each_possible(e, table, hash_of(3), node) n += e->key == 3;
	anyrcu_read_unlock();
	CHECK(n == 2 && anyrcu_hash_count(table) == 41);
	end();
}

static void one_hash_value(void)
{
	hash_of = hash_few;
	one_at_a_time();
	make();
	for (long key = 0; key < 1000; key++)
		add(key, 0);
	for (long key = 0; key < 1000; key++)
		CHECK(del(key) && !has(key) && (key == 999 || has(key + 1)));
	CHECK(walk() == 0);
	end();
}

static void grows_and_shrinks(void)
{
	const long n = SCALED(100000);

	make();
	CHECK(anyrcu_hash_buckets(table) == 64);
	for (long key = 0; key < n; key++)
		add(key, key);
	UNTIL(anyrcu_hash_buckets(table) >= (size_t)n / 2);
	CHECK(anyrcu_hash_count(table) == (size_t)n && walk() == (size_t)n);
	for (long key = 0; key < n; key++)
		CHECK(has(key));
	CHECK(!has(n));
	for (long key = 0; key < n; key++)
		CHECK(del(key));
	UNTIL(anyrcu_hash_buckets(table) == 64);
	anyrcu_barrier();
	CHECK(walk() == 0);
	UNTIL(buckets() == 64);
	end();
	CHECK(table = anyrcu_hash_create(1000));
	CHECK(anyrcu_hash_buckets(table) == 1024);
	for (long key = 0; key < 5000; key++)
		add(key, key);
	for (long key = 0; key < 5000; key++)
		CHECK(del(key));
	anyrcu_barrier();
	UNTIL(anyrcu_hash_buckets(table) == 1024);
	end();
}

static void grows_without_worker(void)
{
	make();
	for (long key = 0; key < 1000; key++)
		add(key, key);
	CHECK(anyrcu_hash_buckets(table) == 64);
	anyrcu_barrier();
	CHECK(anyrcu_hash_buckets(table) >= 512);
	end();
}

/*
 * Some keys stay, and are found at any time, by lookups and by walks; others come and go, in waves
 * that make the table grow and shrink; one is replaced all the time.
 */
#define STAY 500
#define REPLACED (-1)
static _Atomic int stop, resizes;
static _Atomic long found;

static void *finds(void *arg)
{
	for (long round = 0; !atomic_load(&stop); round++) {
		struct entry *e;
		long stay = 0, replaced = 0;

		for (long key = 0; key < STAY; key += 7)
			CHECK(has(key));
		CHECK(has(REPLACED));
		if (round % 16 == 0) {
			anyrcu_read_lock();
			anyrcu_hash_for_each(e, table, node)
			{
				CHECK(e->value >= 0);
				stay += e->key >= 0 && e->key < STAY;
				replaced += e->key == REPLACED;
			}
			anyrcu_read_unlock();
			CHECK(stay == STAY && replaced == 1);
		}
		atomic_fetch_add(&found, 1);
	}
	return NULL;
}

static void *replaces(void *arg)
{
	while (!atomic_load(&stop)) {
		struct entry *e = entry(REPLACED, 1), *old;

		anyrcu_read_lock();
		old = lookup(REPLACED);
		CHECK(old && anyrcu_hash_replace(table, &old->node, &e->node));
		anyrcu_call(&old->rcu, reclaim);
		anyrcu_read_unlock();
	}
	return NULL;
}

static void *waves(void *arg)
{
	const long first = STAY + (long)arg * 1000000, n = SCALED(20000);

	for (int wave = 0; wave < 4 || atomic_load(&found) < 50; wave++) {
		size_t before = anyrcu_hash_buckets(table);

		for (long key = first; key < first + n; key++)
			add(key, key);
		for (long key = first; key < first + n; key++)
			CHECK(del(key));
		atomic_fetch_add(&resizes, anyrcu_hash_buckets(table) != before);
	}
	return NULL;
}

static void readers_beside_resizes(void)
{
	pthread_t reader[2], updater[2], replacer;

	make();
	for (long key = REPLACED; key < STAY; key++)
		add(key, key + 1);
	for (long i = 0; i < 2; i++) {
		reader[i] = thread_start(finds, NULL);
		updater[i] = thread_start(waves, (void *)i);
	}
	replacer = thread_start(replaces, NULL);
	for (int i = 0; i < 2; i++)
		thread_join(updater[i]);
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		thread_join(reader[i]);
	thread_join(replacer);
	CHECK(walk() == STAY + 1 && anyrcu_hash_count(table) == STAY + 1);
	end();
}

static void readers_beside_resizes_of_long_chains(void)
{
	hash_of = hash_few;
	readers_beside_resizes();
}

/* Of those who add the same key one succeeds, and of those who remove it. */
#define CONTESTED 64
static _Atomic long owned[CONTESTED];

static void *contends(void *arg)
{
	for (int i = 0; i < SCALED(200000); i++) {
		long key = i % CONTESTED;
		struct entry *e = entry(key, 0);

		if (add_unique(e))
			free(e);
		else
			CHECK(atomic_fetch_add(&owned[key], 1) == 0);
		anyrcu_read_lock();
		e = lookup(key);
		if (e && e->value == 0) {
			/* Who brings the count down has the right to remove. */
			long one = 1;

			if (atomic_compare_exchange_strong(&owned[key], &one, 0)) {
				e = lookup(key);
				CHECK(e && anyrcu_hash_del(table, &e->node));
				anyrcu_call(&e->rcu, reclaim);
			}
		}
		anyrcu_read_unlock();
	}
	return NULL;
}

static void unique_by_several(void)
{
	pthread_t t[3];

	make();
	for (int i = 0; i < 3; i++)
		t[i] = thread_start(contends, NULL);
	for (int i = 0; i < 3; i++)
		thread_join(t[i]);
	CHECK(walk() <= CONTESTED && walk() == anyrcu_hash_count(table));
	end();
}

/* A handler adds, finds and removes in the table that the interrupted thread is at. */
#define STOCK 4096
static struct entry stock[STOCK];
static _Atomic int stocked, ticks;

static void on_tick(int sig)
{
	int i = atomic_fetch_add(&stocked, 1);
	struct entry *e;

	atomic_fetch_add(&ticks, 1);
	if (i >= STOCK)
		return;
	stock[i].key = -2 - i;
	anyrcu_hash_add(table, &stock[i].node, hash_of(stock[i].key));
	anyrcu_read_lock();
	e = lookup(stock[i].key);
	CHECK(e == &stock[i]);
	if (i % 2)
		CHECK(anyrcu_hash_del(table, &e->node));
	anyrcu_read_unlock();
}

static void handlers_update(void)
{
	long key = 0;
	timer_t timer;

	make();
	handle(SIGUSR1, on_tick, 0);
	timer = ticks_start(SIGUSR1, 200);
	while (atomic_load(&ticks) < 300 || key < SCALED(50000)) {
		add(key, key);
		CHECK(has(key));
		if (key >= 1000)
			CHECK(del(key - 1000));
		key++;
	}
	timer_delete(timer);
	anyrcu_hash_destroy(table, NULL);
	anyrcu_barrier();
	_exit(0); /* what is left is not freed */
}

/* A destruction waits for each of the calls that a shrinking table takes. */
static void destroyed_while_it_shrinks(void)
{
	for (int i = 0; i < SCALED(100); i++) {
		make();
		for (long key = 0; key < 500; key++)
			add(key, key);
		UNTIL(anyrcu_hash_buckets(table) >= 512);
		for (long key = 0; key < 500; key++)
			CHECK(del(key));
		while (i % 4 && anyrcu_hash_buckets(table) > 64u << i % 4)
			sched_yield();
		anyrcu_hash_destroy(table, NULL);
	}
}

/* What a child finds, which has none of the threads that were at the table. */
static void child_uses(long least)
{
	size_t before = walk();

	alarm(60);
	CHECK(before >= (size_t)least);
	for (long key = 0; key < STAY; key++)
		CHECK(has(key));
	for (long key = -1000; key < -2; key++)
		add(key, 0);
	for (long key = -1000; key < -2; key += 2)
		CHECK(has(key) && del(key) && !has(key) && has(key + 1));
	CHECK(walk() == before + 499);
	anyrcu_hash_destroy(table, NULL);
	_exit(0);
}

static void fork_and_use(long least)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (!child)
		child_uses(least);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static __attribute__((unused)) void forks_beside_resizes(void)
{
	pthread_t updater[2];

	make();
	for (long key = 0; key < STAY; key++)
		add(key, key);
	for (long i = 0; i < 2; i++)
		updater[i] = thread_start(waves, (void *)i);
	for (int i = 0; i < 50; i++) {
		fork_and_use(STAY);
		atomic_fetch_add(&found, 1);
	}
	for (int i = 0; i < 2; i++)
		thread_join(updater[i]);
	CHECK(walk() == STAY && anyrcu_hash_count(table) == STAY);
	end();
}

/* The thread that resizes is stopped in the middle of it; the child does not have it. */
#define MANY 20000
static _Atomic int stopped, go_on;

static void stops_in_resize(int sig)
{
	size_t n = anyrcu_hash_buckets(table);

	if (atomic_load(&stopped) || n == 64 || n >= MANY / 2)
		return;
	atomic_store(&stopped, 1);
	while (!atomic_load(&go_on))
		test_sleep_ms(1);
}

static void *resizes_by_barrier(void *arg)
{
	timer_t timer = ticks_start(SIGUSR1, 100);

	anyrcu_barrier();
	timer_delete(timer);
	atomic_fetch_add(&stopped, 2);
	return NULL;
}

static void forked_in_resize(void)
{
	handle(SIGUSR1, stops_in_resize, 0);
	for (int caught = 0; caught < 3;) {
		pthread_t t;

		make();
		for (long key = 0; key < MANY; key++)
			add(key, key);
		atomic_store(&stopped, 0);
		atomic_store(&go_on, 0);
		t = thread_start(resizes_by_barrier, NULL);
		UNTIL(atomic_load(&stopped));
		if (atomic_load(&stopped) == 1) {
			fork_and_use(MANY);
			caught++;
		}
		atomic_store(&go_on, 1);
		thread_join(t);
		CHECK(anyrcu_hash_buckets(table) >= MANY / 2);
		end();
	}
}

static const struct test_case cases[] = {
	CASE(one_at_a_time),
	CASE(one_hash_value),
	CASE(grows_and_shrinks),
	CASE(grows_without_worker, .env = { "ANYRCU_WORKERS=0" }),
	CASE(readers_beside_resizes),
	CASE(readers_beside_resizes_of_long_chains),
	CASE(unique_by_several),
	CASE(handlers_update),
	CASE(destroyed_while_it_shrinks),
#if MALLOC_FORKS
	CASE(forks_beside_resizes),
#endif
	CASE(forked_in_resize, .env = { "ANYRCU_WORKERS=0" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
