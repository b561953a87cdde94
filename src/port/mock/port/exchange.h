/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* An exchange on CPU mock.rseq_cpu, in plain C. */
#ifndef ANYRCU_PORT_MOCK_EXCHANGE_H
#define ANYRCU_PORT_MOCK_EXCHANGE_H

#include <port/append.h>
#define port_exchange(...) port_exchange_none(__VA_ARGS__)
#include <port/posix/port/exchange.h>
#undef port_exchange
#include <port/mock/mock.h>

static inline uintptr_t *port_exchange_word(char *page, uint32_t at)
{
	return (uintptr_t *)(void *)(page + PORT_RSEQ_WORDS) + at;
}

static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word)
{
	size_t cpu = mock.rseq_cpu, cpu_size = (size_t)1 << PORT_RSEQ_CPU_SHIFT;
	struct port_exchange *now = (void *)((char *)cpus + cpu * cpu_size);
	uintptr_t taken;

	mock.exchanges++;
	if (mock.rseq_cpu < 0 || mock.exchange_refused || now->count >= now->cap)
		return PORT_EXCHANGE_REFUSED;
	taken = now->out ? *port_exchange_word(now->out, now->count) : 0;
	*port_exchange_word(now->in, now->count) = word;
	now->count++;
	return taken;
}

#endif
