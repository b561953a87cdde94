/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * File descriptors that threads wait for: pipes, pairs of sockets and event counters made in this
 * process, which count like semaphores; and files locked by flock() and by records of an open file.
 *
 * A channel is named by the descriptor that is read. What is written to another descriptor goes to
 * the channel as long as that has the serial number of when both were made: a descriptor that is
 * closed may be another thing next. A child of a fork has its channels in common with its parent,
 * and what happens at the other end is not seen: it forgets them.
 *
 * The lock of a file belongs to the open file, not to a thread. So a descriptor by which two
 * threads lock does not make one of them wait for the other, and is not watched any more.
 *
 * Each word of a descriptor is written by whoever calls the function that changes it. A program
 * that closes a descriptor while another thread uses it does not know either what that one uses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <lockdep/engine.h>

#include "lockdep/preload_counters.h"

static const struct anyrcu_lock_type file_type = { "file", ANYRCU_WAIT_CONFIG, ANYRCU_WAIT_SLEEP };

#define DESCRIPTORS 1024
#define NAMES 4096

static struct descriptor {
	uint32_t serial; /* of the channel */
	uint32_t value; /* what it has at first: written while the process had one thread */
	bool channel;
	uint16_t to; /* what is written goes to this one, + 1; 0: nowhere known */
	uint32_t to_serial;
	uint32_t locker; /* the thread that locked by it; MANY: several */
	const void *file; /* the lock that it has */
} descriptors[DESCRIPTORS];
#define MANY UINT32_MAX
#define NO_FIRST_VALUE 1000

static struct descriptor *descriptor(int fd)
{
	return (unsigned)fd < DESCRIPTORS ? &descriptors[fd] : NULL;
}

/* ---- what has no address ---- */

static uint64_t names[NAMES];

const void *object_named(enum object_kind kind, uint64_t a, uint64_t b)
{
	uint64_t name = mix(mix(kind, a), b) ?: 1, *n;

	for (unsigned i = 0; i < 8; i++) {
		n = &names[(name + i) % NAMES];
		if (load(n) == name || (!load(n) && cmpxchg(n, (uint64_t)0, name)) ||
		    load(n) == name)
			return n;
	}
	n = &names[name % NAMES];
	counter_forget(n);
	store(n, name);
	return n;
}

uint64_t object_name(const void *object)
{
	const uint64_t *n = object;

	return n >= names && n < names + NAMES ? load(n) : 0;
}

/* ---- channels ---- */

static void channel_is(int from, int to, unsigned value, const void *ip)
{
	struct descriptor *r = descriptor(from), *w = descriptor(to);

	if (!r || !w || !watched())
		return;
	store(&r->serial, r->serial + 1);
	store(&r->value, value);
	counter_is(r, value, false, ip);
	store(&w->to_serial, r->serial);
	store(&w->to, (uint16_t)(from + 1));
	store(&r->channel, true);
}

/* Where what is written to @fd goes; NULL: that is not known. */
static struct descriptor *channel_of(int fd)
{
	struct descriptor *w = descriptor(fd), *r;

	if (!w || likely(!load(&w->to)))
		return NULL;
	r = &descriptors[load(&w->to) - 1];
	return load(&r->channel) && load(&r->serial) == load(&w->to_serial) ? r : NULL;
}

EXPORT int pipe2(int fds[2], int flags)
{
	int result;

	watched();
	result = real.pipe2(fds, flags);
	if (result == 0)
		channel_is(fds[0], fds[1], 0, CALLER);
	return result;
}

EXPORT int pipe(int fds[2])
{
	int result;

	watched();
	result = real.pipe2(fds, 0);
	if (result == 0)
		channel_is(fds[0], fds[1], 0, CALLER);
	return result;
}

EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
	int result;

	watched();
	result = real.socketpair(domain, type, protocol, fds);
	if (result == 0) {
		channel_is(fds[0], fds[1], 0, CALLER);
		channel_is(fds[1], fds[0], 0, CALLER);
	}
	return result;
}

EXPORT int eventfd(unsigned value, int flags)
{
	int fd;

	watched();
	fd = real.eventfd(value, flags);
	if (fd >= 0)
		channel_is(fd, fd, value == 1 || flags & EFD_SEMAPHORE ? value : 0, CALLER);
	return fd;
}

static bool may_learn(int result)
{
	me.found = 0;
	return result > 0 && me.watch == WATCHED && !lockdep_holds();
}

int polled(int result, const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = may_learn(result) ? 0 : n; i < n; i++)
		if (fds[i].revents)
			me.found |= FD_BIT(fds[i].fd);
	return result;
}

int selected(int result, const fd_set *in, int n)
{
	const unsigned long *word = (const void *)in; /* perhaps more than FD_ISSET() allows */

	for (int fd = may_learn(result) && in ? 0 : n; fd < n; fd++)
		if (word[fd / NFDBITS] >> fd % NFDBITS & 1)
			me.found |= FD_BIT(fd);
	return result;
}

int epolled(int result)
{
	if (may_learn(result))
		me.found = UINT64_MAX;
	return result;
}

/* Did the caller learn that there is something to read before it took the locks that it has? */
static bool is_told(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return me.found & FD_BIT(fd) && real.poll(&p, 1, 0) == 1;
}

/*
 * May a read of the channel wait for ever? Asked where that matters. POSIX lets a handler read, and
 * what it reads mostly is there: a pipe that says that the signal came, or the token of a lock.
 */
static bool waits_for(const struct descriptor *r, int fd)
{
	int error = errno;
	bool waits = !me.handlers;

	if (waits && (lockdep_holds() || lockdep_known(r)))
		waits = !(real.fcntl(fd, F_GETFL) & O_NONBLOCK) && !is_told(fd);
	errno = error;
	return waits;
}

struct reading {
	struct descriptor *r; /* NULL: nothing is told */
	bool waits, lock;
	const void *ip;
};

static struct reading begin_read(int fd, const char *what, const void *ip)
{
	struct descriptor *r = descriptor(fd);
	struct reading g = { .ip = ip };

	if (!r || likely(!load(&r->channel)) || !watched())
		return g;
	g.r = r;
	g.waits = waits_for(r, fd);
	if (g.waits)
		g.lock = counter_wait(r, what, ip);
	return g;
}

static void end_read(const struct reading *g, bool had)
{
	int error = errno;

	if (!g->r)
		return;
	if (had && load(&threads) > 1)
		store(&g->r->value, (uint32_t)NO_FIRST_VALUE);
	if (g->waits)
		counter_waited(g->r, g->lock, had, g->ip);
	else if (had)
		counter_had(g->r, g->ip);
	errno = error;
}

static void wrote(int fd, uint64_t n, const void *ip)
{
	struct descriptor *r = channel_of(fd);

	if (likely(!r) || !watched() || !n)
		return;
	store(&r->value, n < NO_FIRST_VALUE - r->value ? r->value + (uint32_t)n : NO_FIRST_VALUE);
	counter_post(r, r->value, ip);
}

static ssize_t do_read(int fd, void *to, size_t n, const void *ip)
{
	struct reading g = begin_read(fd, "read", ip);
	ssize_t result = real.read(fd, to, n);

	end_read(&g, result > 0);
	return result;
}

EXPORT ssize_t read(int fd, void *to, size_t n)
{
	watched();
	return do_read(fd, to, n, CALLER);
}

EXPORT ssize_t __read_chk(int fd, void *to, size_t n, size_t room)
{
	watched();
	if (n > room)
		return real.read_chk(fd, to, n, room); /* which ends the program */
	return do_read(fd, to, n, CALLER);
}

EXPORT int eventfd_read(int fd, eventfd_t *to)
{
	watched();
	return do_read(fd, to, sizeof(*to), CALLER) == sizeof(*to) ? 0 : -1;
}

/* An event counter goes up by what is written to it, a pipe by how much that is. */
EXPORT ssize_t write(int fd, const void *from, size_t n)
{
	struct descriptor *r = channel_of(fd);
	bool counter = r && r == descriptor(fd) && n == sizeof(eventfd_t);

	watched();
	if (unlikely(r && (!counter || readable(from))))
		wrote(fd, counter ? *(const eventfd_t *)from : n, CALLER);
	return real.write(fd, from, n);
}

EXPORT int eventfd_write(int fd, eventfd_t value)
{
	watched();
	wrote(fd, value, CALLER);
	return real.write(fd, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

/* ---- locked files ---- */

static bool holds(const void *file)
{
	return lockdep_engine.is_held(file) == 1;
}

static void file_left(struct descriptor *d, const void *ip)
{
	const void *file = load(&d->file);

	if (!file)
		return;
	store(&d->file, NULL);
	if (holds(file))
		lockdep_engine.release(file, ip);
	else
		lockdep_forget(file, (const char *)file + 1);
}

/* The lock that the caller is about to get by @fd; NULL: it has it, or nobody waits for it. */
static const void *file_about(int fd, uint64_t range)
{
	struct descriptor *d = descriptor(fd);
	const void *file;
	struct stat s;

	if (!d || !watched() || me.handlers || load(&d->file) || load(&d->locker) == MANY ||
	    fstat(fd, &s) != 0)
		return NULL;
	file = object_named(OBJECT_FILE, mix(s.st_dev, s.st_ino), range);
	if (load(&d->locker) && load(&d->locker) != me.tid) {
		store(&d->locker, MANY);
		lockdep_forget(file, (const char *)file + 1);
		return NULL;
	}
	store(&d->locker, me.tid);
	return file;
}

static int lock_file(int fd, uint64_t range, bool reads, bool tries, int (*call)(int, int, void *),
		     int command, void *arg, const void *ip)
{
	const void *file = file_about(fd, range);
	unsigned how = reads ? ANYRCU_LOCK_READ : ANYRCU_LOCK_WRITE;
	int result, error;

	if (file && !tries) {
		loader_over();
		lockdep_engine.might_sleep("the lock of a file", ip);
		lockdep_engine.acquire(file, &file_type, how, 0, NULL, ip);
	}
	result = call(fd, command, arg);
	error = errno;
	if (file && result == 0 && tries)
		lockdep_engine.acquire(file, &file_type, how | ANYRCU_LOCK_TRY, 0, NULL, ip);
	else if (file && result != 0 && !tries)
		lockdep_engine.release(file, ip);
	if (file && result == 0)
		store(&descriptor(fd)->file, file);
	errno = error;
	return result;
}

static void unlock_file(int fd, const void *ip)
{
	struct descriptor *d = descriptor(fd);
	int error = errno;

	if (d && load(&d->file) && watched())
		file_left(d, ip);
	errno = error;
}

static int call_flock(int fd, int operation, void *unused)
{
	(void)unused;
	return real.flock(fd, operation);
}

EXPORT int flock(int fd, int operation)
{
	watched();
	if (operation & LOCK_UN) {
		unlock_file(fd, CALLER);
		return real.flock(fd, operation);
	}
	return lock_file(fd, 0, operation & LOCK_SH, operation & LOCK_NB, call_flock, operation,
			 NULL, CALLER);
}

static int call_fcntl(int fd, int command, void *arg)
{
	return real.fcntl(fd, command, arg);
}

/* A lock that belongs to the process makes none of its threads wait for another. */
static int do_fcntl(int fd, int command, void *arg, const void *ip)
{
	const struct flock *l = arg;

	watched();
	if ((command != F_OFD_SETLK && command != F_OFD_SETLKW) || !readable(l) || !readable(l + 1))
		return real.fcntl(fd, command, arg);
	if (l->l_type == F_UNLCK) {
		unlock_file(fd, ip);
		return real.fcntl(fd, command, arg);
	}
	return lock_file(fd, mix(1 + (uint64_t)l->l_whence, l->l_start), l->l_type == F_RDLCK,
			 command == F_OFD_SETLK, call_fcntl, command, arg, ip);
}

/* By the names that libc has for it, as its header has one stand for the other. */
EXPORT int any_fcntl(int fd, int command, ...) __asm__("fcntl");
int any_fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return do_fcntl(fd, command, arg, CALLER);
}

EXPORT int large_fcntl(int fd, int command, ...) __asm__("fcntl64") __attribute__((alias("fcntl")));

/* ---- the end of a descriptor ---- */

void file_closes(int fd)
{
	struct descriptor *d = descriptor(fd);
	int error = errno;

	if (!d || likely(!d->channel && !d->to && !d->locker) || !watched() || port_foreign())
		return;
	file_left(d, CALLER);
	store(&d->locker, (uint32_t)0);
	store(&d->to, (uint16_t)0);
	if (load(&d->channel)) {
		store(&d->channel, false);
		counter_forget(d);
	}
	errno = error;
}

void files_fork(void)
{
	for (int fd = 0; fd < DESCRIPTORS; fd++)
		descriptors[fd] = (struct descriptor){ .serial = descriptors[fd].serial };
}

void files_leave(void)
{
	lockdep_leave(&file_type);
}

EXPORT int close(int fd)
{
	watched();
	file_closes(fd);
	return real.close(fd);
}

EXPORT int dup2(int old, int new)
{
	watched();
	if (old != new)
		file_closes(new);
	return real.dup2(old, new);
}

EXPORT int dup3(int old, int new, int flags)
{
	watched();
	file_closes(new);
	return real.dup3(old, new, flags);
}

static void range_closes(unsigned first, unsigned last)
{
	for (unsigned fd = first; fd < DESCRIPTORS && fd <= last; fd++)
		file_closes((int)fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	watched();
	if (!(flags & CLOSE_RANGE_CLOEXEC))
		range_closes(first, last);
	return real.close_range(first, last, flags);
}

EXPORT void closefrom(int first)
{
	watched();
	range_closes(first < 0 ? 0 : (unsigned)first, UINT_MAX);
	real.closefrom(first);
}
