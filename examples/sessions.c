// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The table of sessions of a small server. Requests look sessions up without a lock, in any thread;
 * a login replaces what is there, and the old session is freed when no request looks at it any
 * more. Sessions come from a cache: a deferred free costs an append, and their memory comes back to
 * logins without a worker.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define USERS 256
#define LOGINS 1000000

struct session {
	unsigned user, serial;
	char token[48]; /* made of both: a request sees whether it belongs together */
};

static struct anyrcu_cache *sessions;
static struct session *table[USERS];
static atomic_bool stop;

static void token_make(const struct session *s, char token[48])
{
	snprintf(token, 48, "%u:%u", s->user, s->serial);
}

static void login(unsigned user, unsigned serial)
{
	struct session *s = anyrcu_cache_alloc(sessions, ANYRCU_GFP_KERNEL), *old = table[user];

	if (!s)
		return; /* the old session stays */
	s->user = user;
	s->serial = serial;
	token_make(s, s->token);
	anyrcu_assign_pointer(table[user], s);
	anyrcu_cache_free_deferred(sessions, old);
}

/* A request of this user: is the session whole, if there is one? */
static bool request(unsigned user)
{
	const struct session *s;
	bool right;
	char token[48];

	anyrcu_read_lock();
	s = anyrcu_dereference(table[user]);
	if (s)
		token_make(s, token);
	right = !s || (s->user == user && !strcmp(s->token, token));
	anyrcu_read_unlock();
	return right;
}

static void *requests(void *wrong)
{
	for (unsigned i = 0; !atomic_load(&stop); i++)
		*(unsigned *)wrong += !request(i % USERS);
	return NULL;
}

int main(void)
{
	const struct anyrcu_cache_config config = {
		.size = sizeof(config),
		.name = "sessions",
		.object_size = sizeof(struct session),
	};
	struct anyrcu_cache_stats stats = { .size = sizeof(stats) };
	unsigned wrong = 0;
	pthread_t thread;

	sessions = anyrcu_cache_create(&config);
	if (!sessions || pthread_create(&thread, NULL, requests, &wrong))
		return 1;
	for (unsigned i = 0; i < LOGINS; i++)
		login(i * 7 % USERS, i);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	anyrcu_cache_stats_get(sessions, &stats);
	printf("%u logins, %u wrong, %u sessions\n", LOGINS, wrong, (unsigned)stats.objects);
	for (unsigned user = 0; user < USERS; user++)
		anyrcu_cache_free_deferred(sessions, table[user]);
	return anyrcu_cache_destroy(sessions) || wrong;
}
