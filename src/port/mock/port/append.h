/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Appending by sequences is refused, as where there are none; but mock.rseq_cpu names the CPU. */
#ifndef ANYRCU_PORT_MOCK_APPEND_H
#define ANYRCU_PORT_MOCK_APPEND_H

#define port_rseq_cpu port_rseq_cpu_none
#include <port/posix/port/append.h>
#undef port_rseq_cpu
#include <port/mock/mock.h>

static inline int port_rseq_cpu(void)
{
	return mock.rseq_cpu;
}

#endif
