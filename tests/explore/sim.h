/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The explorer: runs the core's threads one at a time, in an order and with a memory that a seed
 * chooses. See sim.c and memory.c.
 */
#ifndef TESTS_EXPLORE_SIM_H
#define TESTS_EXPLORE_SIM_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_THREADS 14

/* One execution. Runs @scene in its first thread, in a process of its own; true if nothing was
 * wrong. */
struct sim_scene {
	const char *name;
	void (*run)(void);
	void (*finish)(void); /* behind it; and, in the child of a fork, behind what the forking
				  thread does; or NULL */
	void (*handler)(void); /* a signal handler that may come anywhere, or NULL */
	void (*at_fork)(void); /* at the instant of a fork, or NULL */
	const char *env[3]; /* of the library */
	unsigned seeds; /* how many executions */
	bool strong; /* no load sees an old value: for scenes that are about something else */
	bool faults; /* the handler comes although the library holds signals off, also on workers */
};
enum sim_access { SIM_READ = 1, SIM_WRITE };
bool sim_run(const struct sim_scene *scene, uint64_t seed, bool trace);

/* ---- for scenes ---- */

_Noreturn void sim_fail(const char *format, ...);
#define SIM_CHECK(x)                                                   \
	do {                                                           \
		if (!(x))                                              \
			sim_fail("%s:%d: %s", __func__, __LINE__, #x); \
	} while (0)
int sim_start(void (*f)(void *), void *arg); /* a thread of the program; its number here */
void sim_join(int thread);
_Noreturn void sim_exit(void); /* the calling thread ends, as by pthread_exit() */
_Noreturn void sim_die(void); /* the same by a raw system call: nothing of it is run */
_Noreturn void sim_finish(void); /* the end of this execution: what the scene checks then */
int sim_fork_raw(void); /* as _Fork(): without the library's handlers */
int sim_fork(void); /* as fork(), with the library's handlers; the parent goes on when the child has
		       ended */
void sim_fork_fails(void);
void sim_eager(void); /* signals come often to the calling thread */
void sim_linger(void); /* the calling thread stops while all others go on */
/* That thread, or the first other than this one if -1, stops behind its n-th access of that kind to
 * this atomic location from here; or this one does, at its n-th point from here. */
void sim_stop_after(int thread, enum sim_access access, const void *location, unsigned n,
		    uint64_t ns);
void sim_stop_at(unsigned n, uint64_t ns);
/* Wait until the thread that sim_stop_after() stops is there. */
void sim_wait_stop(void);
void sim_yield(void); /* another thread may run here */
uint64_t sim_now(void); /* nanoseconds; goes on when all threads wait */
unsigned sim_random(unsigned n);
extern bool sim_child; /* this is the child of a sim_fork(), */
extern bool sim_child_of_worker; /* in a thread that the library had started */
extern int sim_handlers; /* how many handlers may still come */
extern bool sim_quiet; /* nobody else runs, and nothing is looked at: for what a scene prepares */
void sim_rename(uint32_t tid); /* the calling thread's number */
extern bool sim_others_dead; /* numbers from SIM_OTHERS on, which no thread has, are of dead
				  threads, not of living ones */
#define SIM_OTHERS 50000
void sim_reuse(uint32_t tid); /* the next thread gets this number */

/* ---- for the platform ---- */

int sim_self(void);
uint64_t sim_id(void); /* of the thread, never used again */
uint32_t sim_tid(void);
bool sim_tid_dead(uint32_t tid);
int sim_spawn(void *(*f)(void *), void *arg, bool ours);
void sim_block(uint32_t *word, uint64_t ns); /* until woken, or @ns have passed if not 0 */
void sim_wake(uint32_t *word, bool all);
void sim_point(void);
void sim_fence(void);
void sim_fence_all(void);
int sim_mask(int held_off); /* whether signals are held off; returns what was */
void sim_acquire(void *lock);
void sim_release(void *lock);
extern void (*sim_exit_hook)(void);
extern uint64_t sim_time;
void sim_library_start(void);
int sim_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

#endif
