/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs that wait for what the validator does not know as a lock, in pairs; see
 * kinds.h. The wrong ones are missed; of the last kind the right one is reported.
 */
#define _GNU_SOURCE
#include "kinds_with_a.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static atomic_int word;

static void take_word(void)
{
	int was = 0;

	if (atomic_compare_exchange_strong(&word, &was, 1))
		return;
	while (atomic_exchange(&word, 2) != 0)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

static void give_word(void)
{
	if (atomic_exchange(&word, 0) == 2)
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void own_futex(void)
{
	with_a(take_word, give_word);
}

static atomic_flag flag = ATOMIC_FLAG_INIT;

static void take_flag(void)
{
	while (atomic_flag_test_and_set(&flag))
		sched_yield();
}

static void give_flag(void)
{
	atomic_flag_clear(&flag);
}

static void spun_flag(void)
{
	with_a(take_flag, give_flag);
}

/* ---- a semaphore that one takes for several ---- */

/*
 * The first reader takes the room for all, the last gives it back. Both need the lock of their
 * number, with the room taken: the right one is reported.
 */
static sem_t empty_room;
static int readers;

static void reader_enters(int by)
{
	lock(&a);
	readers += by;
	if (by > 0 && readers == 1)
		sem_wait(&empty_room);
	if (by < 0 && readers == 0)
		sem_post(&empty_room);
	unlock(&a);
}

THREAD(reads_in_room)
{
	reader_enters(1);
	reader_enters(-1);
	return arg;
}

THREAD(writes_in_room)
{
	sem_wait(&empty_room);
	if (wrong)
		lock(&a);
	readers = 0;
	if (wrong)
		unlock(&a);
	sem_post(&empty_room);
	return arg;
}

static void light_switch(void)
{
	sem_init(&empty_room, 0, 1);
	run(reads_in_room, NULL);
	run(writes_in_room, NULL);
}

static const struct kind kinds[] = {
	KIND(own_futex),
	KIND(spun_flag),
	KIND(light_switch),
};
KINDS_MAIN(kinds)
