/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A key-value cache: clients send lines "set KEY VALUE", "get KEY" or "del KEY" through sockets, a
 * thread serves each of them, and nobody takes a lock. The clients are part of the example.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 3
#define KEYS 2000

struct entry {
	char key[32], value[32];
	struct anyrcu_hash_node node;
	struct anyrcu_head rcu;
};

static struct anyrcu_hash *table;

static uint64_t hash_of(const char *key)
{
	uint64_t h = 14695981039346656037u;

	while (*key)
		h = (h ^ (unsigned char)*key++) * 1099511628211u;
	return h;
}

static bool same_key(const struct anyrcu_hash_node *node, const void *key)
{
	return !strcmp(anyrcu_container_of((void *)node, struct entry, node)->key, key);
}

/* In a section. */
static struct entry *find(const char *key)
{
	struct entry *e;

	anyrcu_hash_for_each_possible(e, table, hash_of(key),
				      node) if (!strcmp(e->key, key)) return e;
	return NULL;
}

static void set(const char *key, const char *value)
{
	struct entry *e = calloc(1, sizeof(*e)), *old;
	struct anyrcu_hash_node *there;

	snprintf(e->key, sizeof(e->key), "%s", key);
	snprintf(e->value, sizeof(e->value), "%s", value);
	anyrcu_read_lock();
	while ((there = anyrcu_hash_add_unique(table, &e->node, hash_of(key), same_key, key))) {
		old = anyrcu_container_of(there, struct entry, node);
		if (anyrcu_hash_replace(table, there, &e->node)) {
			anyrcu_free(old, rcu);
			break;
		}
	}
	anyrcu_read_unlock();
}

static void answer(FILE *client, const char *command, const char *key, const char *value)
{
	struct entry *e;

	anyrcu_read_lock();
	e = find(key);
	if (!strcmp(command, "get"))
		fprintf(client, "%s\n", e ? e->value : "?");
	if (!strcmp(command, "del") && e && anyrcu_hash_del(table, &e->node))
		anyrcu_free(e, rcu);
	anyrcu_read_unlock();
	if (!strcmp(command, "set"))
		set(key, value);
	fflush(client);
}

static void *serve(void *arg)
{
	FILE *in = fdopen((int)(size_t)arg, "r"), *out = fdopen(dup((int)(size_t)arg), "w");
	char line[128], command[8], key[32], value[32];

	while (fgets(line, sizeof(line), in))
		if (sscanf(line, "%7s %31s %31s", command, key, value) >= 2)
			answer(out, command, key, value);
	fclose(in);
	fclose(out);
	return NULL;
}

/* Sets keys of its own, reads each back, and removes half of them. How many were right. */
static void *client(void *arg)
{
	int fd = (int)(size_t)arg;
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	char line[128], want[32];
	size_t right = 0;

	for (int i = 0; i < KEYS; i++) {
		fprintf(out, "set k%d-%d v%d\nget k%d-%d\n", fd, i, i, fd, i);
		fflush(out);
		snprintf(want, sizeof(want), "v%d\n", i);
		right += fgets(line, sizeof(line), in) && !strcmp(line, want);
		if (i % 2)
			fprintf(out, "del k%d-%d\n", fd, i);
	}
	fclose(out);
	shutdown(fd, SHUT_WR);
	while (fgets(line, sizeof(line), in))
		;
	fclose(in);
	return (void *)right;
}

static void free_entry(struct anyrcu_hash_node *node)
{
	free(anyrcu_container_of(node, struct entry, node));
}

int main(void)
{
	pthread_t server[CLIENTS], clients[CLIENTS];
	size_t right = 0;

	table = anyrcu_hash_create(0);
	for (int i = 0; i < CLIENTS; i++) {
		int fd[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
			return 1;
		pthread_create(&server[i], NULL, serve, (void *)(size_t)fd[0]);
		pthread_create(&clients[i], NULL, client, (void *)(size_t)fd[1]);
	}
	for (int i = 0; i < CLIENTS; i++) {
		void *n;

		pthread_join(clients[i], &n);
		right += (size_t)n;
		pthread_join(server[i], NULL);
	}
	printf("%zu of %d answers right, %zu keys left\n", right, CLIENTS * KEYS,
	       anyrcu_hash_count(table));
	anyrcu_hash_destroy(table, free_entry);
	anyrcu_barrier();
	return 0;
}
