// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Appending to the page that is open on the current CPU: reserve, then store, with interrupts off.
 *
 *     interrupts off
 *     page = this CPU's;  count < cap?  at = count, count += width  (one instruction)
 *     word[at] = a
 *     interrupts on
 *
 * Who writes: only a CPU itself writes the words and the count of its page, and with interrupts off
 * only an NMI (or a debug exception, which is like one) can come in between. The NMI may append
 * itself, to any depth. The addition is one instruction, so the interrupted append and the NMI's
 * appends have slots of their own, even if a slot is reserved and not stored yet. The order of a
 * restartable sequence, which stores the word first and then commits the count, would lose the
 * NMI's object here: nothing starts over, and the late store of the interrupted append would
 * overwrite a slot that the NMI has committed.
 *
 * An NMI that fills the page replaces it by another; the interrupted append then finds its "at"
 * beyond the cap, and is refused. So the count may exceed the cap, once for each depth.
 *
 * Who reads: a collector that has taken the page away. It calls port_rseq_fence(), which runs an
 * interrupt on every CPU, and so returns only after every append that had read the page's pointer
 * has stored. An interrupt is ordered after earlier accesses of the interrupted code, so appends
 * need no fence. A page that was taken is not freed before that, so the pointer may be read
 * unprotected.
 *
 * The interrupt goes to online CPUs only. A CPU that comes up or goes down is not online, but still
 * runs code; deferrals there go to the pages that are appended to by atomics. A CPU takes itself
 * offline with interrupts off, so its state cannot change within an append, except in an append of
 * an NMI, which ends before the CPU continues.
 *
 * "Any context" means any in which RCU watches, as for every user of RCU.
 */
#include <linux/cpumask.h>
#include <linux/irqflags.h>
#include <linux/smp.h>

#include <port/append.h>
#include <port/linux/init.h>

uint32_t port_rseq_cpus;

int port_rseq_cpu(void)
{
	unsigned int cpu = raw_smp_processor_id();

	return cpu < READ_ONCE(port_rseq_cpus) && cpu_online(cpu) ? (int)cpu : -1;
}

/*
 * *@count += @width in one instruction, atomic on the calling CPU only; returns the former value.
 */
static __always_inline uint32_t reserve(uint32_t *count, uint32_t width)
{
#ifdef CONFIG_X86
	asm volatile("xaddl %0, %1" : "+r"(width), "+m"(*count) : : "memory", "cc");
	return width;
#else
	return __atomic_fetch_add(count, width, __ATOMIC_RELAXED);
#endif
}

static __always_inline void fill(uintptr_t *word, uint32_t at, uintptr_t a, uintptr_t b,
				 uint32_t width)
{
	if (width == 2)
		WRITE_ONCE(word[at + 1], b);
	WRITE_ONCE(word[at], a);
}

static __always_inline enum port_rseq_result append(struct port_rseq_page *page, uintptr_t key,
						    uintptr_t a, uintptr_t b, uint32_t width)
{
	uint32_t at;

	if (!page)
		return PORT_RSEQ_REFUSE;
	if (page->key != key)
		return PORT_RSEQ_OTHER;
	at = READ_ONCE(page->count);
	if (at >= page->cap)
		return PORT_RSEQ_REFUSE;
#ifdef ANYRCU_BREAK_STORE_FIRST
	/* A deliberate mistake, in a module in which the tests must find it: see above. */
	fill((uintptr_t *)((char *)page + PORT_RSEQ_WORDS), at, a, b, width);
	reserve(&page->count, width);
#else
	at = reserve(&page->count, width);
	if (at >= page->cap)
		return PORT_RSEQ_REFUSE;
	fill((uintptr_t *)((char *)page + PORT_RSEQ_WORDS), at, a, b, width);
#endif
	return PORT_RSEQ_DONE;
}

enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key, uintptr_t a,
				       uintptr_t b, uint32_t width)
{
	enum port_rseq_result result = PORT_RSEQ_REFUSE;
	unsigned long flags;
	int cpu;

	raw_local_irq_save(flags);
	cpu = port_rseq_cpu();
	if (cpu >= 0)
		result = append(READ_ONCE(*(struct port_rseq_page **)((char *)pages +
								      ((size_t)cpu
								       << PORT_RSEQ_CPU_SHIFT))),
				key, a, b, width);
	raw_local_irq_restore(flags);
	return result;
}

static void nothing(void *unused)
{
}

void port_rseq_fence(void)
{
	on_each_cpu(nothing, NULL, 1);
}
