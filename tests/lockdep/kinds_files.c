/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs that wait for files, or for what a number names, in pairs; see kinds.h: pipes,
 * event counters, locked files, semaphores of System V.
 */
#define _GNU_SOURCE
#include "kinds_with_a.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>

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

/* Each opens the file for itself: who has locked an open file once does not wait for it again. */
static int file;
static _Thread_local int opened;

static void open_again(void)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	opened = open(name, O_RDWR);
	if (opened < 0)
		abort();
}

static void make_file(void)
{
	char name[] = "/tmp/anyrcu-kinds-XXXXXX";

	file = mkstemp(name);
	unlink(name);
}

static void take_file(void)
{
	open_again();
	while (flock(opened, LOCK_EX) != 0)
		;
}

static void give_file(void)
{
	flock(opened, LOCK_UN);
	close(opened);
}

static void locked_file(void)
{
	make_file();
	with_a(take_file, give_file);
}

/* The end of the open file unlocks it too. */
static void give_by_close(void)
{
	close(opened);
}

static void locked_and_closed(void)
{
	make_file();
	with_a(take_file, give_by_close);
}

/* What is open once excludes no thread of the process. */
static void take_common(void)
{
	while (flock(file, LOCK_EX) != 0)
		;
}

static void give_common(void)
{
	flock(file, LOCK_UN);
}

static bool is_common;

static void take_either(void)
{
	if (is_common)
		take_common();
	else
		take_file();
}

static void give_either(void)
{
	if (is_common)
		give_common();
	else
		give_file();
}

static void open_once(void)
{
	make_file();
	is_common = !wrong;
	wrong = true;
	with_a(take_either, give_either);
}

static void record(short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	if (fcntl(opened, F_OFD_SETLKW, &l) != 0)
		abort();
}

static void take_record(void)
{
	open_again();
	record(F_WRLCK);
}

static void give_record(void)
{
	record(F_UNLCK);
	close(opened);
}

static void locked_record(void)
{
	make_file();
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

/* ---- what one waits for, and another does ---- */

static int had;

static void has_had_a(void)
{
	lock(&a);
	unlock(&a);
	__atomic_store_n(&had, 1, __ATOMIC_RELEASE);
	first_sleeps();
}

/* @causes: in a thread, what @awaits waits for here; it needs a before. */
static void waits_with_a(void *(*causes)(void *), void (*awaits)(void))
{
	pthread_t t;

	pthread_create(&t, NULL, causes, NULL);
	while (!__atomic_load_n(&had, __ATOMIC_ACQUIRE))
		sched_yield();
	if (wrong)
		lock(&a);
	awaits();
	if (wrong)
		unlock(&a);
	pthread_join(t, NULL);
}

THREAD(writes_byte)
{
	has_had_a();
	give_token();
	return arg;
}

static void byte_in_pipe(void)
{
	if (pipe(fds) != 0)
		abort();
	waits_with_a(writes_byte, take_token);
}

/* A number that was closed together with others is a file's soon, and to read that is no wait. */
static void number_again(void)
{
	byte_in_pipe();
	if (close_range(fds[0], fds[0], 0) != 0 || open("/proc/self/exe", O_RDONLY) != fds[0])
		abort();
	lock(&a);
	take_token();
	unlock(&a);
}

THREAD(counts_up)
{
	has_had_a();
	give_event();
	return arg;
}

static void counted_event(void)
{
	fds[0] = eventfd(0, 0);
	waits_with_a(counts_up, take_event);
}

THREAD(posts_system_v)
{
	has_had_a();
	give_system_v();
	return arg;
}

static void system_v_event(void)
{
	set = semget(IPC_PRIVATE, 1, 0600);
	if (set < 0 || semctl(set, 0, SETVAL, 0) != 0)
		abort();
	waits_with_a(posts_system_v, take_system_v);
	semctl(set, 0, IPC_RMID);
}

/* ---- what is there before it is read ---- */

static void poll_byte(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };

	while (poll(&p, 1, -1) != 1)
		;
}

static void select_byte(void)
{
	fd_set set;

	do {
		FD_ZERO(&set);
		FD_SET(fds[0], &set);
	} while (select(fds[0] + 1, &set, NULL, NULL, NULL) != 1);
}

static void epoll_byte(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int fd = epoll_create1(0);

	epoll_ctl(fd, EPOLL_CTL_ADD, fds[0], &e);
	while (epoll_pwait(fd, &e, 1, -1, NULL) != 1)
		;
	close(fd);
}

static void (*await_byte)(void);

static void read_what_is_there(void)
{
	if (!wrong)
		await_byte();
	if (!wrong)
		lock(&a);
	take_token();
	if (!wrong)
		unlock(&a);
}

/* Who knows that it is there does not wait for it. */
static void told_by(void (*await)(void))
{
	if (pipe(fds) != 0)
		abort();
	await_byte = await;
	waits_with_a(writes_byte, read_what_is_there);
}

static void polled(void)
{
	told_by(poll_byte);
}

static void selected(void)
{
	told_by(select_byte);
}

static void epolled(void)
{
	told_by(epoll_byte);
}

/* Who knows that something else is there may wait. */
static void poll_one(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };
	int other[2];

	if (wrong && (pipe(other) != 0 || write(other[1], "x", 1) != 1))
		abort();
	if (wrong)
		p.fd = other[0];
	while (poll(&p, 1, -1) != 1)
		;
}

static void read_with_a(void)
{
	poll_one();
	lock(&a);
	take_token();
	unlock(&a);
}

/* @reads, when the other thread holds a lock and is about to write. */
static void beside_writer(void (*reads)(void))
{
	pthread_t t;

	if (pipe(fds) != 0)
		abort();
	pthread_create(&t, NULL, writes_byte, NULL);
	while (!__atomic_load_n(&had, __ATOMIC_ACQUIRE))
		sched_yield();
	reads();
	pthread_join(t, NULL);
}

static void polled_another(void)
{
	beside_writer(read_with_a);
}

static void wait_with_a_for_both(void)
{
	if (wrong)
		lock(&a);
	poll_byte();
	if (!wrong)
		lock(&a);
	take_token();
	unlock(&a);
}

/* But who waits until it is there does. */
static void polled_under_lock(void)
{
	beside_writer(wait_with_a_for_both);
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

/* What is in the pipe says that a signal came. */
static void drains(int sig)
{
	char c;

	(void)sig;
	if (read(fds[0], &c, 1) != 1)
		abort();
	if (wrong) {
		lock(&a);
		unlock(&a);
	}
}

static void read_in_handler(void)
{
	if (pipe(fds) != 0 || signal(SIGUSR1, drains) == SIG_ERR || write(fds[1], "s", 1) != 1)
		abort();
	raise(SIGUSR1);
	lock(&a);
	unlock(&a);
}

static const struct kind kinds[] = {
	KIND(pipe_token),	  KIND(locked_file),
	KIND(locked_and_closed),  KIND(open_once),
	KIND(locked_record),	  KIND(event_counter),
	KIND(system_v_semaphore), KIND(byte_in_pipe),
	KIND(number_again),	  KIND(counted_event),
	KIND(system_v_event),	  KIND(request_and_answer),
	KIND(read_in_handler),	  KIND(polled),
	KIND(selected),		  KIND(epolled),
	KIND(polled_under_lock),  KIND(polled_another),
};
KINDS_MAIN(kinds)
