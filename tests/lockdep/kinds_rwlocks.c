/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs with read-write locks, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#define read_lock pthread_rwlock_rdlock
#define write_lock pthread_rwlock_wrlock
#define rw_unlock pthread_rwlock_unlock

static pthread_rwlock_t map = PTHREAD_RWLOCK_INITIALIZER, index_lock = PTHREAD_RWLOCK_INITIALIZER;

/* ---- from reader to writer and back ---- */

/* A reader that finds something to change comes back as a writer, with what it has. */
THREAD(changes)
{
	bool keeps = wrong && arg;

	if (keeps)
		lock(&a);
	read_lock(&map);
	if (!keeps)
		lock(&a);
	if (pthread_rwlock_trywrlock(&map) == 0)
		abort();
	if (!keeps)
		unlock(&a);
	rw_unlock(&map);
	write_lock(&map);
	rw_unlock(&map);
	if (keeps)
		unlock(&a);
	return NULL;
}

static void upgrade(void)
{
	run(changes, NULL);
	run(changes, &map);
}

/* Who writes may not read too: libc says so, and nobody listens. */
THREAD(writes_then_reads)
{
	write_lock(&map);
	if (!wrong)
		rw_unlock(&map);
	read_lock(&map);
	rw_unlock(&map);
	return arg;
}

static void downgrade(void)
{
	run(writes_then_reads, NULL);
}

/* ---- orders ---- */

THREAD(reads_map_writes_index)
{
	read_lock(&map);
	write_lock(&index_lock);
	rw_unlock(&index_lock);
	rw_unlock(&map);
	return arg;
}

THREAD(reads_index_then_map)
{
	read_lock(&index_lock);
	if (wrong)
		write_lock(&map);
	else
		read_lock(&map);
	rw_unlock(&map);
	rw_unlock(&index_lock);
	return arg;
}

/* If nobody writes to the map, nobody waits for its readers. */
static void never_written(void)
{
	run(reads_map_writes_index, NULL);
	run(reads_index_then_map, NULL);
}

static pthread_rwlock_t pages[2];

static void make_pages(int kind)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, kind);
	for (int i = 0; i < 2; i++)
		pthread_rwlock_init(&pages[i], &attr);
	pthread_rwlockattr_destroy(&attr);
}

THREAD(reads_two_pages)
{
	read_lock(&pages[arg != NULL]);
	read_lock(&pages[arg == NULL]);
	rw_unlock(&pages[arg == NULL]);
	rw_unlock(&pages[arg != NULL]);
	return NULL;
}

THREAD(writes_pages)
{
	for (int i = 0; i < 2; i++) {
		write_lock(&pages[i]);
		rw_unlock(&pages[i]);
	}
	return arg;
}

/* Writers that wait let readers by, unless the lock was made otherwise. */
static void readers_cross(void)
{
	make_pages(wrong ? PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP :
			   PTHREAD_RWLOCK_PREFER_READER_NP);
	run(writes_pages, NULL);
	run(reads_two_pages, NULL);
	run(reads_two_pages, pages);
}

THREAD(reads_for_a_while)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	lock(&a);
	if (wrong)
		read_lock(&map);
	if (wrong || pthread_rwlock_timedrdlock(&map, &until) == 0)
		rw_unlock(&map);
	unlock(&a);
	return arg;
}

THREAD(writes_map_then_a)
{
	write_lock(&map);
	lock(&a);
	unlock(&a);
	rw_unlock(&map);
	return arg;
}

static void timed_reader(void)
{
	run(writes_map_then_a, NULL);
	run(reads_for_a_while, NULL);
}

/* A version is read twice, and the lock is taken if it has changed; else it is only tried. */
THREAD(tries_to_read)
{
	lock(&a);
	if (wrong) {
		read_lock(&map);
		rw_unlock(&map);
	} else if (pthread_rwlock_tryrdlock(&map) == 0) {
		rw_unlock(&map);
	}
	unlock(&a);
	return arg;
}

static void tried_reader(void)
{
	run(writes_map_then_a, NULL);
	run(tries_to_read, NULL);
}

/* All pages of a file are written in order; somebody writes two of them back. */
static pthread_rwlock_t page_locks[4];

THREAD(writes_all)
{
	for (int i = 0; i < 4; i++)
		write_lock(&page_locks[i]);
	for (int i = 0; i < 4; i++)
		rw_unlock(&page_locks[i]);
	return arg;
}

THREAD(writes_back)
{
	write_lock(&page_locks[wrong ? 3 : 1]);
	read_lock(&page_locks[wrong ? 1 : 3]);
	rw_unlock(&page_locks[1]);
	rw_unlock(&page_locks[3]);
	return arg;
}

static void pages_in_order(void)
{
	for (int i = 0; i < 4; i++)
		pthread_rwlock_init(&page_locks[i], NULL);
	run(writes_all, NULL);
	run(writes_back, NULL);
}

/* ---- misuse ---- */

static sem_t reads, over;

THREAD(unlocks_for_other)
{
	sem_wait(&reads);
	if (wrong)
		rw_unlock(&map);
	sem_post(&over);
	return arg;
}

static void reader_unlocked_by_other(void)
{
	pthread_t t;

	sem_init(&reads, 0, 0);
	sem_init(&over, 0, 0);
	pthread_create(&t, NULL, unlocks_for_other, NULL);
	read_lock(&map);
	sem_post(&reads);
	sem_wait(&over);
	if (!wrong)
		rw_unlock(&map);
	pthread_join(t, NULL);
}

THREAD(reads_until_over)
{
	read_lock(arg);
	sem_post(&reads);
	sem_wait(&over);
	rw_unlock(arg);
	return NULL;
}

static void reader_outlives(void)
{
	pthread_rwlock_t *l = malloc(sizeof(*l));
	pthread_t t;

	sem_init(&reads, 0, 0);
	sem_init(&over, 0, 0);
	pthread_rwlock_init(l, NULL);
	pthread_create(&t, NULL, reads_until_over, l);
	sem_wait(&reads);
	if (wrong)
		pthread_rwlock_destroy(l);
	sem_post(&over);
	pthread_join(t, NULL);
	if (!wrong)
		pthread_rwlock_destroy(l);
	free(l);
}

THREAD(ends_as_reader)
{
	read_lock(&map);
	if (!wrong)
		rw_unlock(&map);
	return arg;
}

static void reader_ends(void)
{
	run(ends_as_reader, NULL);
}

/* ---- signals ---- */

static void reads_in_handler(int sig)
{
	(void)sig;
	read_lock(&map);
	rw_unlock(&map);
}

/* A reader may be interrupted by a reader, as writers let readers by. */
static void reader_in_handler(void)
{
	signal(SIGUSR1, reads_in_handler);
	raise(SIGUSR1);
	if (wrong)
		write_lock(&map);
	else
		read_lock(&map);
	rw_unlock(&map);
}

static const struct kind kinds[] = {
	KIND(upgrade),		 KIND(downgrade),
	KIND(never_written),	 KIND(readers_cross),
	KIND(timed_reader),	 KIND(tried_reader),
	KIND(pages_in_order),	 KIND(reader_unlocked_by_other),
	KIND(reader_outlives),	 KIND(reader_ends),
	KIND(reader_in_handler),
};
KINDS_MAIN(kinds)
