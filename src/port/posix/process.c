/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The identity of the process, and fork(). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <port/process.h>
#include <port/posix/init.h>
#include <port/posix/process.h>
#include <port/posix/sys.h>
#include <string.h>
#include <sys/mman.h>

uint32_t port_forks;
uint64_t port_survivor;
static pid_t process;
/*
 * in a page that is zeroed in the child of a fork, and shared by vfork(); NULL if the kernel does
 * not support that
 */
static uint32_t *alive;

static void process_is(pid_t pid)
{
	store(&process, pid);
	if (alive)
		store(alive, 1);
}

void port_process(void)
{
	if (!alive) {
		alive = port_map(4096, 4096);
		if (alive && sys(SYS_madvise, alive, 4096, MADV_WIPEONFORK) != 0) {
			port_unmap(alive, 4096);
			alive = NULL;
		}
	}
	process_is(getpid());
}

void port_fork_child(void)
{
	thread_fork_child();
	process_is(getpid());
	store(&port_survivor, port_id());
	store(&port_forks, port_forks + 1);
}

bool port_forked_raw(void)
{
	return alive ? !load(alive) : process && process != getpid();
}

/* The number of the initialised process, or of this one before that. */
static pid_t its_number(void)
{
	return load(&process) ?: getpid();
}

bool port_foreign(void)
{
	return process && process != getpid();
}

/*
 * If the main thread ends while others run, it stays as a zombie with its number, which is that of
 * the process.
 */
bool process_main_dead(void)
{
	char path[32] = "/proc/", stat[512], digits[16], *at = path + 6;
	int n = 0, fd;
	long got;

	for (uint32_t pid = its_number(); pid; pid /= 10)
		digits[n++] = '0' + pid % 10;
	while (n)
		*at++ = digits[--n];
	memcpy(at, "/stat", 6);
	fd = sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = sys(SYS_read, fd, stat, sizeof(stat));
	sys(SYS_close, fd);
	while (got > 0 && stat[got - 1] != ')') /* the name in parentheses may contain anything */
		got--;
	return got > 0 && got + 1 < (long)sizeof(stat) && stat[got + 1] == 'Z';
}

/* In a child of vfork() this checks threads of the process that it shares memory with. */
bool port_tid_dead(uint32_t tid)
{
	pid_t pid = its_number();

	if (port_forked_raw())
		return false;
	return sys(SYS_tgkill, pid, tid, 0) == -ESRCH ||
	       (tid == (uint32_t)pid && process_main_dead());
}

/* ---- fork ---- */

#define PATIENCE UINT64_C(100000000) /* ns to wait for callbacks to end */
#define GIVE_UP UINT64_C(10000000000) /* ns to wait for locks: see below */

/*
 * How many forks of this thread are in progress: a signal handler may fork in the middle of the
 * handlers of another fork.
 */
static PORT_THREAD_LOCAL struct {
	uint8_t depth;
	bool incomplete;
	uint64_t signals;
} forking;

static void unlock_all(struct port_lock *const *locks)
{
	unsigned n = 0;

	while (locks[n])
		n++;
	while (n)
		port_fork_unlock(locks[--n], forking.depth);
}

static bool lock_all(struct port_lock *const *locks)
{
	for (; *locks; locks++)
		if (!port_fork_lock(*locks, forking.depth))
			return false;
	return true;
}

/* Does the calling thread hold a lock, as its handler has interrupted the holder? */
static bool holds_any(struct port_lock *const *locks)
{
	for (; *locks; locks++)
		if (port_lock_held(*locks))
			return true;
	return false;
}

/*
 * The locks are taken all together or not at all. So a thread that waits here holds no lock except
 * one whose holder its handler has interrupted; and a thread that holds none waits only for threads
 * that make progress. Two threads that each hold a lock in this way, and want the other's, would
 * wait for ever: after ten seconds such a thread forks without the other locks, and its child
 * counts as one in which no fork handlers have run. In such a child a lock may be held for ever.
 */
void port_fork_begin(struct port_lock *const *locks, bool (*others_paused)(void))
{
	uint64_t signals = port_signals_block(), since = port_now();
	uint64_t give_up = port_forked_raw() ? GIVE_UP / 10 :
			   holds_any(locks)  ? GIVE_UP :
					       UINT64_MAX;

	if (++forking.depth == 1)
		forking.signals = signals;
	for (;;) {
		uint64_t waited;
		bool locked = lock_all(locks);

		waited = port_now() - since;
		if (locked && (others_paused() || waited >= PATIENCE))
			return;
		if (!locked && waited >= give_up) {
			forking.incomplete = true;
			return;
		}
		unlock_all(locks);
		port_sleep(20000);
	}
}

bool port_fork_nested(void)
{
	return forking.depth > 1;
}

bool port_fork_complete(void)
{
	return !forking.incomplete;
}

void port_fork_end(struct port_lock *const *locks)
{
	/* before "depth" is 0: from then on a fork in a handler stores its own here */
	uint64_t signals = load(&forking.signals);

	unlock_all(locks);
	if (--forking.depth)
		return;
	forking.incomplete = false;
	port_signals_restore(signals);
}
