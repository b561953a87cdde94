/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Orders of locks that several processes share. They are in the memory shared with the tool, and
 * there a lock is named by the file that is mapped and where in it the lock is, which memory shared
 * with MAP_ANONYMOUS has too: as each process may have it at another address.
 *
 * An order is entered first, and then searched for the way back: so of two processes that enter the
 * two halves of a circle at once one at least finds it. An entry is written by who has taken it,
 * before its state is ORDER_SEEN; after that pid and state alone change. All but shared_forget() is
 * under the validator's lock, and that too may come while another process searches: a circle with
 * an order that was forgotten meanwhile may still be reported.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "lockdep/notices.h"
#include "lockdep/preload.h"
#include "lockdep/preload_counters.h"
#include "lockdep/preload_locks.h"

/* ---- names of locks ---- */

enum { SHARED = 0x80 }; /* in the kind of a mutex */

static bool is_shared(const struct lockdep_ordered *l)
{
	if (l->type == &mutex_type)
		return load(&((const pthread_mutex_t *)l->lock)->__data.__kind) & SHARED;
	if (l->type == &rwlock_type)
		return load(&((const pthread_rwlock_t *)l->lock)->__data.__shared);
	return l->type == &semaphore_type || object_name(l->lock);
}

/* A line of /proc/self/maps: BEGIN-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH */
struct mapping {
	uint64_t field[6];
	bool shared;
};

/* Reads the line byte by byte. @n: of which number this is a digit. */
static void read_byte(struct mapping *m, unsigned *n, char c)
{
	if (*n == 2 && c == 's')
		m->shared = true;
	if (c == ' ' || c == ':' || c == '-') {
		/* the permissions are no number, and have dashes in them */
		if (*n != 2 || c == ' ')
			++*n;
	} else if (*n < 2 || (*n > 2 && *n < 6)) {
		m->field[*n > 2 ? *n - 1 : *n] =
			m->field[*n > 2 ? *n - 1 : *n] << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
	} else if (*n == 6 && c >= '0' && c <= '9') {
		m->field[5] = m->field[5] * 10 + c - '0';
	}
}

#define UNKNOWN_NAME UINT64_MAX

/*
 * 0: the memory is not shared; UNKNOWN_NAME: that cannot be told. By raw calls, as a handler may be
 * here, and open() and read() are cancellation points.
 */
static uint64_t name_of_memory(const void *lock)
{
	int fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	struct mapping m = { 0 };
	uint64_t name = 0;
	unsigned n = 0;
	char text[256];
	long length;

	while (fd >= 0 && !name && (length = syscall(SYS_read, fd, text, sizeof(text))) > 0) {
		for (long i = 0; i < length && !name; i++) {
			if (text[i] != '\n') {
				read_byte(&m, &n, text[i]);
				continue;
			}
			if (m.shared && (uintptr_t)lock - m.field[0] < m.field[1] - m.field[0])
				name = (m.field[3] << 20 ^ m.field[4] << 12 ^ m.field[5]) *
					       UINT64_C(0x9e3779b97f4a7c15) +
				       m.field[2] + (uintptr_t)lock - m.field[0];
			m = (struct mapping){ 0 };
			n = 0;
		}
	}
	if (fd < 0)
		return UNKNOWN_NAME;
	syscall(SYS_close, fd);
	return name;
}

static uint64_t name_of(const void *lock)
{
	return object_name(lock) ?: name_of_memory(lock);
}

/* ---- orders ---- */

static bool guarded(const struct notice_order *a, const struct notice_order *b)
{
	for (unsigned i = 0; i < NOTICES_GUARDS && a->guard[i]; i++)
		for (unsigned k = 0; k < NOTICES_GUARDS; k++)
			if (a->guard[i] == b->guard[k])
				return true;
	return false;
}

static bool same(const struct notice_order *a, const struct notice_order *b)
{
	return a->from == b->from && a->to == b->to && a->reads == b->reads &&
	       a->recursive == b->recursive && !memcmp(a->guard, b->guard, sizeof(a->guard));
}

static uint32_t orders(void)
{
	uint32_t n = atomic_load(&notices->norders);

	return n < NOTICES_ORDERS ? n : NOTICES_ORDERS;
}

/* False: there is no room. */
static bool enter(const struct notice_order *new)
{
	struct notice_order *o;
	uint32_t i;

	for (i = 0; i < orders(); i++) {
		o = &notices->order[i];
		if (atomic_load(&o->state) != ORDER_SEEN || !same(o, new))
			continue;
		if (atomic_load(&o->pid) != new->pid)
			atomic_store(&o->pid, 0);
		return true;
	}
	i = atomic_load(&notices->norders);
	while (i < NOTICES_ORDERS && !atomic_compare_exchange_weak(&notices->norders, &i, i + 1))
		;
	if (i >= NOTICES_ORDERS)
		return false;
	o = &notices->order[i];
	o->from = new->from;
	o->to = new->to;
	o->at = new->at;
	o->reads = new->reads;
	o->recursive = new->recursive;
	memcpy(o->guard, new->guard, sizeof(o->guard));
	atomic_store(&o->pid, new->pid);
	atomic_store(&o->state, ORDER_SEEN);
	return true;
}

#define LONGEST 5
#define STEPS 1000

/*
 * A way from @last back to where @new begins, in orders that no lock guards, one of them of another
 * process. Returns the last of another process on it; NULL: there is none, or it is not found in so
 * many steps.
 */
static const struct notice_order *way_back(const struct notice_order *new,
					   const struct notice_order *last, unsigned length,
					   const struct notice_order *other, unsigned *steps)
{
	if (length > LONGEST || ++*steps > STEPS)
		return NULL;
	for (uint32_t i = 0; i < orders(); i++) {
		const struct notice_order *o = &notices->order[i], *found = other;

		if (atomic_load(&o->state) != ORDER_SEEN || o->from != last->to ||
		    (last->recursive && o->reads) || guarded(o, new))
			continue;
		if (atomic_load(&o->pid) != new->pid)
			found = o;
		if (o->to != new->from)
			found = way_back(new, o, length + 1, found, steps);
		else if (o->recursive && new->reads)
			continue;
		if (found)
			return found;
	}
	return NULL;
}

const void *shared_order(const struct lockdep_order *o)
{
	struct notice_order new = { .reads = o->reads, .recursive = o->recursive };
	const struct notice_order *found;
	unsigned guards = 0, steps = 0;

	if (!is_shared(&o->held[0]) || !is_shared(&o->to))
		return NULL;
	new.from = name_of(o->held[0].lock);
	new.to = name_of(o->to.lock);
	if (new.from == UNKNOWN_NAME || new.to == UNKNOWN_NAME)
		atomic_fetch_add(&notices->orders_lost, 1);
	if (!new.from || !new.to || new.from == UNKNOWN_NAME || new.to == UNKNOWN_NAME)
		return NULL;
	new.pid = syscall(SYS_getpid);
	new.at = place_find(o->ip);
	for (uint32_t i = 1; i < o->nheld && guards < NOTICES_GUARDS; i++)
		if (is_shared(&o->held[i]))
			new.guard[guards++] = name_of(o->held[i].lock);
	if (!enter(&new))
		atomic_fetch_add(&notices->orders_lost, 1);
	found = way_back(&new, &new, 1, NULL, &steps);
	return found ? &found->at : NULL;
}

/* What is initialised there now is another. */
void shared_forget(const void *lock)
{
	uint64_t name;

	if (!notices || !orders() || !(name = name_of(lock)))
		return;
	for (uint32_t i = 0; i < orders(); i++)
		if (notices->order[i].from == name || notices->order[i].to == name)
			atomic_store(&notices->order[i].state, ORDER_GONE);
}
