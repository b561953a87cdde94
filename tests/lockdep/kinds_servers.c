/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs, as servers and their libraries are, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <semaphore.h>
#include <stdatomic.h>

static atomic_bool step;

/* ---- a log, and what is set for it ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t settings_lock = PTHREAD_MUTEX_INITIALIZER;
static int log_level = 1;

static noinline int level_now(void)
{
	int level;

	lock(&settings_lock);
	level = log_level;
	unlock(&settings_lock);
	return level;
}

static noinline int write_log(const char *text)
{
	int written = 0;

	lock(&log_lock);
	if (level_now() > 0)
		written = strlen(text);
	unlock(&log_lock);
	return written;
}

THREAD(serves)
{
	write_log("served");
	return arg;
}

/* What was set is logged when the lock of the settings is free again. */
THREAD(sets)
{
	lock(&settings_lock);
	log_level++;
	if (wrong) { /* the level is known: the log lock is all that is taken */
		lock(&log_lock);
		unlock(&log_lock);
	}
	unlock(&settings_lock);
	if (!wrong)
		write_log("set");
	return arg;
}

static void settings_and_log(void)
{
	run(serves, NULL);
	run(sets, NULL);
}

/* ---- connections ---- */

struct connection {
	pthread_mutex_t lock;
	struct connection *next;
	bool closed;
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct connection *table;

static struct connection *accepts(void)
{
	struct connection *c = calloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	lock(&table_lock);
	c->next = table;
	table = c;
	unlock(&table_lock);
	return c;
}

static void removes(struct connection *c)
{
	struct connection **i = &table;

	lock(&table_lock);
	while (*i && *i != c)
		i = &(*i)->next;
	if (*i)
		*i = c->next;
	unlock(&table_lock);
}

THREAD(closes)
{
	struct connection *c = arg;

	lock(&c->lock);
	c->closed = true;
	if (wrong)
		removes(c);
	unlock(&c->lock);
	if (!wrong)
		removes(c);
	return NULL;
}

THREAD(counts_open)
{
	long n = (long)arg;

	lock(&table_lock);
	for (struct connection *c = table; c; c = c->next) {
		lock(&c->lock);
		n += !c->closed;
		unlock(&c->lock);
	}
	unlock(&table_lock);
	return (void *)n;
}

static void connections(void)
{
	accepts();
	accepts();
	run(closes, accepts());
	accepts();
	run(counts_open, NULL);
	run(closes, table);
	run(counts_open, NULL);
}

/* ---- counted objects ---- */

struct counted {
	pthread_mutex_t lock;
	struct counted *parent;
	int count;
};

static struct counted *new_counted(struct counted *parent)
{
	struct counted *c = calloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->parent = parent;
	c->count = 1;
	return c;
}

static noinline void put(struct counted *c)
{
	struct counted *parent = c->parent;
	int count;

	lock(&c->lock);
	count = --c->count;
	if (!count && parent && wrong)
		put(parent);
	unlock(&c->lock);
	if (!count && parent && !wrong)
		put(parent);
}

THREAD(puts_counted)
{
	put(arg);
	return NULL;
}

THREAD(walks_down)
{
	struct counted *c = arg;

	lock(&c->parent->lock);
	lock(&c->lock);
	unlock(&c->lock);
	unlock(&c->parent->lock);
	return NULL;
}

/* The last one who has it puts its parent too, with nothing held. */
static void last_reference(void)
{
	struct counted *parent = new_counted(NULL), *child = new_counted(parent);

	parent->count = 2;
	run(walks_down, child);
	run(puts_counted, child);
}

/* ---- a file system ---- */

struct directory {
	pthread_mutex_t lock;
	struct directory *parent;
};

static pthread_mutex_t rename_lock = PTHREAD_MUTEX_INITIALIZER;
static struct directory *dirs[3];

THREAD(renames)
{
	int from = arg ? 1 : 2, to = arg ? 2 : 1;

	if (!wrong)
		lock(&rename_lock);
	in_order(&dirs[from]->lock, &dirs[to]->lock);
	if (!wrong)
		unlock(&rename_lock);
	return NULL;
}

THREAD(looks_up)
{
	in_order(&dirs[0]->lock, &dirs[arg ? 1 : 2]->lock);
	return NULL;
}

/* Whoever locks two directories that neither is in the other is alone in that. */
static void renamed_directories(void)
{
	for (int i = 0; i < 3; i++) {
		dirs[i] = calloc(1, sizeof(*dirs[i]));
		pthread_mutex_init(&dirs[i]->lock, NULL);
		dirs[i]->parent = i ? dirs[0] : NULL;
	}
	run(looks_up, NULL);
	run(renames, NULL);
	run(looks_up, dirs);
	run(renames, dirs);
}

/* ---- an allocator ---- */

static pthread_mutex_t arena[2] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER };
static pthread_mutex_t chunk_lock = PTHREAD_MUTEX_INITIALIZER;

THREAD(allocates)
{
	pthread_mutex_t *mine = &arena[arg != NULL];

	lock(mine);
	lock(&chunk_lock);
	unlock(&chunk_lock);
	unlock(mine);
	return NULL;
}

/* What is to be given back to the system is taken out of an arena before. */
THREAD(trims)
{
	lock(&chunk_lock);
	if (!wrong)
		unlock(&chunk_lock);
	for (int i = 0; i < *(int *)arg; i++) {
		lock(&arena[i]);
		unlock(&arena[i]);
	}
	if (wrong)
		unlock(&chunk_lock);
	return arg;
}

static void arenas(void)
{
	int narenas = 2;

	run(allocates, NULL);
	run(allocates, arena);
	run(trims, &narenas);
}

/* ---- a bus ---- */

struct subscriber {
	void (*f)(struct subscriber *);
	pthread_mutex_t lock;
	struct subscriber *next;
};

static pthread_mutex_t bus;
static struct subscriber *subscribers;

static void subscribe(struct subscriber *s)
{
	lock(&bus);
	s->next = subscribers;
	subscribers = s;
	unlock(&bus);
}

static void make_bus(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&bus, &attr);
}

static void on_event(struct subscriber *s)
{
	static struct subscriber more;

	lock(&s->lock);
	if (!more.f) {
		more.f = on_event;
		pthread_mutex_init(&more.lock, NULL);
		subscribe(&more);
	}
	unlock(&s->lock);
}

THREAD(publishes)
{
	lock(&bus);
	for (struct subscriber *s = subscribers; s; s = s->next)
		s->f(s);
	unlock(&bus);
	return arg;
}

THREAD(leaves_bus)
{
	struct subscriber *s = arg;

	if (wrong)
		lock(&s->lock);
	lock(&bus);
	subscribers = s->next;
	unlock(&bus);
	if (wrong)
		unlock(&s->lock);
	return NULL;
}

/* Who is called may call the bus, whose lock the caller has. */
static void event_bus(void)
{
	static struct subscriber s = { .f = on_event, .lock = PTHREAD_MUTEX_INITIALIZER };

	make_bus();
	subscribe(&s);
	run(publishes, NULL);
	run(leaves_bus, &s);
}

/* ---- stages and actors ---- */

enum { STAGES = 4 };
static pthread_mutex_t stage[STAGES];

THREAD(hands_on)
{
	long i = (long)arg;

	in_order(&stage[i], &stage[(i + 1) % STAGES]);
	return NULL;
}

/* Each stage hands its work to the next, with both locked; the last to none, or to the first. */
static void pipeline(void)
{
	for (int i = 0; i < STAGES; i++)
		pthread_mutex_init(&stage[i], NULL);
	for (long i = 0; i < STAGES - !wrong; i++)
		run(hands_on, (void *)i);
}

struct actor {
	pthread_mutex_t state, mailbox;
	int letters;
};

static struct actor actors[2] = {
	{ .state = PTHREAD_MUTEX_INITIALIZER, .mailbox = PTHREAD_MUTEX_INITIALIZER },
	{ .state = PTHREAD_MUTEX_INITIALIZER, .mailbox = PTHREAD_MUTEX_INITIALIZER },
};

/* It sends to the other with its own state locked; the mailbox is what that takes. */
THREAD(acts)
{
	struct actor *me = &actors[arg != NULL], *other = &actors[arg == NULL];

	lock(&me->state);
	lock(wrong ? &other->state : &other->mailbox);
	other->letters++;
	unlock(wrong ? &other->state : &other->mailbox);
	unlock(&me->state);
	return NULL;
}

static void two_actors(void)
{
	run(acts, NULL);
	run(acts, actors);
}

/* ---- ends ---- */

static pthread_mutex_t service_lock = PTHREAD_MUTEX_INITIALIZER;
static bool stops;

THREAD(works_until_stopped)
{
	bool now = false;

	while (!now) {
		lock(&service_lock);
		now = stops;
		unlock(&service_lock);
		sched_yield();
	}
	step = true;
	first_sleeps();
	return arg;
}

/* The lock is free where the end is waited for: the thread that looks once more takes it. */
static void shutdown_of_service(void)
{
	pthread_t t;

	pthread_create(&t, NULL, works_until_stopped, NULL);
	lock(&service_lock);
	stops = true;
	unlock(&service_lock);
	while (!step)
		sched_yield();
	if (wrong)
		lock(&service_lock);
	pthread_join(t, NULL);
	if (wrong)
		unlock(&service_lock);
}

/* An object is freed by the one who removed it, with its lock free. */
THREAD(frees)
{
	struct connection *c = arg;

	lock(&c->lock);
	removes(c);
	if (!wrong)
		unlock(&c->lock);
	free(c);
	return NULL;
}

static void freed_connection(void)
{
	run(frees, accepts());
}

/* Made by the first who needs it: looked at twice, the second time with the lock held. */
static pthread_mutex_t made_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct counted *) made;

static struct counted *get_made(void)
{
	struct counted *c = made;

	if (c)
		return c;
	lock(&made_lock);
	c = made;
	if (!c) {
		c = new_counted(NULL);
		if (wrong)
			lock(&settings_lock);
		made = c;
		if (wrong)
			unlock(&settings_lock);
	}
	unlock(&made_lock);
	return c;
}

THREAD(needs_it)
{
	lock(&get_made()->lock);
	unlock(&made->lock);
	return arg;
}

THREAD(sets_it)
{
	lock(&settings_lock);
	lock(&made_lock);
	unlock(&made_lock);
	unlock(&settings_lock);
	return arg;
}

static void checked_twice(void)
{
	run(needs_it, NULL);
	run(sets_it, NULL);
}

static const struct kind kinds[] = {
	KIND(settings_and_log),
	KIND(connections),
	KIND(last_reference),
	KIND(renamed_directories),
	KIND(arenas),
	KIND(event_bus),
	KIND(pipeline),
	KIND(two_actors),
	KIND(shutdown_of_service),
	KIND(freed_connection),
	KIND(checked_twice),
};
KINDS_MAIN(kinds)
