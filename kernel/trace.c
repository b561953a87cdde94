// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The core's probes are tracepoints here. They are functions for the core, which includes no header
 * of the kernel. Any context in which RCU watches: a tracepoint takes no lock.
 */
#define CREATE_TRACE_POINTS
#include "anyrcu_trace.h"

#include <port/port.h>

void port_probe_collect(uint64_t generation, uint64_t pages)
{
	trace_anyrcu_collect(generation, pages);
}

void port_probe_drain(uint64_t generation, uint64_t invoked)
{
	trace_anyrcu_drain(generation, invoked);
}

void port_probe_flood(uint64_t pending)
{
	trace_anyrcu_flood(pending);
}

void port_probe_page_refused(uint64_t mode, uint64_t order)
{
	trace_anyrcu_page_refused(mode, order);
}
