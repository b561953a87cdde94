/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Fences in other threads, and the initialisation of restartable sequences. */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/posix/init.h>
#include <port/append.h>
#include <port/posix/sys.h>
#include <sched.h>

bool port_fence_all_works;
uint32_t port_rseq_cpus;

unsigned port_cpu(void)
{
	int saved = errno, cpu = sched_getcpu();

	errno = saved;
	return cpu < 0 ? 0 : (unsigned)cpu & (PORT_CPUS_MAX - 1);
}

static unsigned cpus = 1;

unsigned port_cpus(void)
{
	return load(&cpus);
}

static unsigned ncpus = 1;

unsigned port_ncpus(void)
{
	return load(&ncpus);
}

#if PORT_RSEQ
/*
 * In glibc from 2.35 on, the place of each thread's rseq area. Elsewhere the symbols are missing.
 */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

ptrdiff_t port_rseq_offset;

static void rseq_init(bool allowed)
{
	if (!allowed || !&__rseq_size || !&__rseq_offset || !__rseq_size)
		return;
	if (sys(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0)
		return;
	port_rseq_offset = __rseq_offset;
	store_release(&port_rseq_cpus, cpus);
}
#else
static void rseq_init(bool allowed)
{
	(void)allowed;
}
#endif

void port_init(bool membarrier, bool rseq)
{
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	cpu_set_t set = { 0 }; /* the kernel writes no more than it has CPUs for */

	store(&cpus, configured > 0 && configured < PORT_CPUS_MAX ? configured : PORT_CPUS_MAX);
	if (sys(SYS_sched_getaffinity, 0, sizeof(set), &set) > 0)
		store(&ncpus, CPU_COUNT(&set));
	port_cpus_remember();
	port_fence_all_works =
		membarrier &&
		sys(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
	rseq_init(port_fence_all_works && rseq);
}

/*
 * The kernel supported membarrier at the start and now refuses it: the program has installed a
 * filter since. Instead, run on every CPU in turn: this preempts the thread that ran there, which
 * is a full fence for it and restarts its sequence. If the kernel refuses that for a CPU too,
 * though another thread may run there, we can only wait: a store becomes visible, and a short
 * sequence ends, long before the sleep is over.
 */
static void visit_all_cpus(void)
{
	static uint32_t said;
	cpu_set_t mine, one;
	long visited = 0;

	if (sys(SYS_sched_getaffinity, 0, sizeof(mine), &mine) > 0) {
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			visited += sys(SYS_sched_setaffinity, 0, sizeof(one), &one) == 0;
		}
		sys(SYS_sched_setaffinity, 0, sizeof(mine), &mine);
	}
	if (visited && visited >= sysconf(_SC_NPROCESSORS_ONLN))
		return;
	if (!xchg(&said, 1))
		port_report(
			"membarrier and sched_setaffinity were taken away; waiting 20 ms in place of each fence");
	port_sleep(20000000);
}

void port_fence_all(void)
{
	if (sys(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
		visit_all_cpus();
}

void port_rseq_fence(void)
{
	if (port_rseq_cpus && sys(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0)
		visit_all_cpus();
}
