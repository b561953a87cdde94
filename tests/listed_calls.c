/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A program that lets through the system calls that anyrcu(7) lists, and few of its own, and ends
 * at any other. "listed.h" is made of the manual: see listed-calls.sh. usage: listed_calls DUTY
 */
#include <anyrcu/anyrcu.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x)                                                   \
	do {                                                       \
		if (!(x)) {                                        \
			fprintf(stderr, "%d: %s\n", __LINE__, #x); \
			exit(1);                                   \
		}                                                  \
	} while (0)

static const int allowed[] = {
#include "listed.h"
	SYS_exit_group, SYS_getrandom, SYS_rt_sigreturn, SYS_brk, /* the program's own */
};
#define N (sizeof(allowed) / sizeof(*allowed))

static void forbidden(int sig, siginfo_t *info, void *context)
{
	char text[] = "a system call that is not listed: 0000\n", *digit = text + sizeof(text) - 3;

	for (int number = info->si_syscall; number; number /= 10)
		*digit-- = '0' + number % 10;
	_exit(write(2, text, sizeof(text) - 1) < 0 ? 3 : 2);
}

static void filter(void)
{
	struct sigaction action = { .sa_sigaction = forbidden, .sa_flags = SA_SIGINFO };
	struct sock_filter code[2 * N + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .len = 2 * N + 2, .filter = code };

	for (size_t i = 0; i < N; i++) {
		code[2 * i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							       (unsigned)allowed[i], 0, 1);
		code[2 * i + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[2 * N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	CHECK(!sigaction(SIGSYS, &action, NULL));
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static atomic_int invoked;

static void count(struct anyrcu_head *head)
{
	atomic_fetch_add(&invoked, 1);
}

static struct anyrcu_head heads[100000];

static void defer_all(void)
{
	atomic_store(&invoked, 0);
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		anyrcu_call(&heads[i], count);
	for (int i = 0; i < 1000; i++)
		anyrcu_free_mightsleep(malloc(100));
	anyrcu_barrier();
	CHECK(atomic_load(&invoked) == sizeof(heads) / sizeof(*heads));
}

static int configure(struct anyrcu_config c)
{
	c.size = sizeof(c);
	return anyrcu_init(&c);
}

static void ordinary(void)
{
	void *p = anyrcu_alloc(1000, ANYRCU_GFP_KERNEL);

	anyrcu_dealloc_deferred(p);
	anyrcu_dealloc(anyrcu_alloc(1000000, ANYRCU_GFP_KERNEL));
}

static void more_workers(void)
{
	CHECK(!configure((struct anyrcu_config){ .workers = 2 }));
}

static void pinned(void)
{
	static const int cpu[] = { 0 };
	int err = configure(
		(struct anyrcu_config){ .workers = 1, .worker_cpus = cpu, .nworker_cpus = 1 });

	CHECK(!err || err == -EINVAL);
}

static void realtime(void)
{
	int err = configure((struct anyrcu_config){ .workers = 1, .worker_rt_priority = 5 });

	CHECK(!err || err == -EPERM);
}

static void own_loop(void)
{
	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	CHECK(anyrcu_reclaim_fd() >= 0);
	anyrcu_call(&heads[0], count);
	anyrcu_reclaim(10);
	anyrcu_barrier();
}

static void synchronize(void *arg)
{
}

static void domain(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	struct anyrcu_domain *d = anyrcu_domain_create(&source, NULL);

	CHECK(d);
	for (int i = 0; i < 1000; i++)
		anyrcu_domain_call(d, &heads[i], count);
	anyrcu_domain_barrier(d);
	anyrcu_domain_destroy(d, NULL);
}

static void stalled(void)
{
	const struct timespec while_others_wait = { .tv_nsec = 300000000 };

	CHECK(!configure((struct anyrcu_config){ .stall_ms = 50 }));
	anyrcu_read_lock();
	anyrcu_call(&heads[0], count);
	for (int i = 0; i < 3; i++)
		nanosleep(&while_others_wait, NULL);
	anyrcu_read_unlock();
	anyrcu_barrier();
}

static void in_thread(int sig, const siginfo_t *info)
{
	atomic_store(&invoked, -1);
}

static void handler(void)
{
	struct anyrcu_signal_action a = { .size = sizeof(a), .thread = in_thread };

	CHECK(!anyrcu_signal_action(SIGUSR1, &a));
	raise(SIGUSR1);
	CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
	CHECK(atomic_load(&invoked) == -1);
}

static const struct {
	const char *name;
	void (*f)(void);
} duties[] = {
	{ "ordinary", ordinary }, { "more_workers", more_workers }, { "pinned", pinned },
	{ "realtime", realtime }, { "own_loop", own_loop },	    { "domain", domain },
	{ "stalled", stalled },	  { "handler", handler },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(duties) / sizeof(*duties); i++) {
		if (argc == 1)
			printf("%s\n", duties[i].name);
		if (argc == 1 || strcmp(argv[1], duties[i].name))
			continue;
		filter();
		duties[i].f();
		defer_all();
		return 0;
	}
	return argc > 1;
}
