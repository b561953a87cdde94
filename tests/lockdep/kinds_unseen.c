/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs that wait for what the validator does not know as a lock, in pairs; see
 * kinds.h. The wrong ones are missed; of the last kind the right one is reported.
 */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ---- things that are used as locks; each is taken before a mutex, or after it ---- */

static void (*take)(void), (*give)(void);

THREAD(outside_of_a)
{
	take();
	lock(&a);
	unlock(&a);
	give();
	return arg;
}

THREAD(inside_of_a)
{
	if (wrong)
		lock(&a);
	take();
	give();
	if (wrong)
		unlock(&a);
	return arg;
}

static void with_a(void (*taking)(void), void (*giving)(void))
{
	take = taking;
	give = giving;
	run(outside_of_a, NULL);
	run(inside_of_a, NULL);
}

static int fds[2];

static void take_token(void)
{
	char token;

	if (read(fds[0], &token, 1) != 1)
		abort();
}

static void give_token(void)
{
	if (write(fds[1], "+", 1) != 1)
		abort();
}

/* A pipe with one byte in it, as make has it for its jobs. */
static void pipe_token(void)
{
	if (pipe(fds) != 0)
		abort();
	give_token();
	with_a(take_token, give_token);
}

static int open_file(void)
{
	char name[] = "/tmp/anyrcu-kinds-XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	if (fd < 0)
		abort();
	return fd;
}

static void take_file(void)
{
	while (flock(fds[0], LOCK_EX) != 0)
		;
}

static void give_file(void)
{
	flock(fds[0], LOCK_UN);
}

static void locked_file(void)
{
	fds[0] = open_file();
	with_a(take_file, give_file);
}

static void record(short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	if (fcntl(fds[0], F_OFD_SETLKW, &l) != 0)
		abort();
}

static void take_record(void)
{
	record(F_WRLCK);
}

static void give_record(void)
{
	record(F_UNLCK);
}

static void locked_record(void)
{
	fds[0] = open_file();
	with_a(take_record, give_record);
}

static void take_event(void)
{
	eventfd_t one;

	if (eventfd_read(fds[0], &one) != 0)
		abort();
}

static void give_event(void)
{
	if (eventfd_write(fds[0], 1) != 0)
		abort();
}

static void event_counter(void)
{
	fds[0] = eventfd(1, EFD_SEMAPHORE);
	with_a(take_event, give_event);
}

static int set;

static void system_v(short by)
{
	struct sembuf op = { .sem_op = by, .sem_flg = SEM_UNDO };

	if (semop(set, &op, 1) != 0)
		abort();
}

static void take_system_v(void)
{
	system_v(-1);
}

static void give_system_v(void)
{
	system_v(1);
}

static void system_v_semaphore(void)
{
	set = semget(IPC_PRIVATE, 1, 0600);
	if (set < 0 || semctl(set, 0, SETVAL, 1) != 0)
		abort();
	with_a(take_system_v, give_system_v);
	semctl(set, 0, IPC_RMID);
}

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

/* ---- messages ---- */

THREAD(answers_requests)
{
	char request;

	while (read(fds[1], &request, 1) == 1 && request != 'q') {
		if (request == 'a') {
			lock(&a);
			unlock(&a);
		}
		if (write(fds[1], "!", 1) != 1)
			abort();
	}
	return arg;
}

static void ask(char request)
{
	char answer;

	if (write(fds[0], &request, 1) != 1 || read(fds[0], &answer, 1) != 1)
		abort();
}

/* Who answers takes a lock, which who asks must not hold. */
static void request_and_answer(void)
{
	pthread_t t;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		abort();
	pthread_create(&t, NULL, answers_requests, NULL);
	ask('a');
	if (wrong)
		lock(&a);
	ask('b');
	if (wrong)
		unlock(&a);
	if (write(fds[0], "q", 1) == 1)
		pthread_join(t, NULL);
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
	KIND(pipe_token),    KIND(locked_file),	       KIND(locked_record),
	KIND(event_counter), KIND(system_v_semaphore), KIND(own_futex),
	KIND(spun_flag),     KIND(request_and_answer), KIND(light_switch),
};
KINDS_MAIN(kinds)
