/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The tracepoints: /sys/kernel/tracing/events/anyrcu. See port_probe2() in src/port/port.h. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM anyrcu

#if !defined(ANYRCU_KERNEL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ANYRCU_KERNEL_TRACE_H

#include <linux/tracepoint.h>

/* Pages and chains that were deferred to are taken away, to wait for a grace period together. */
TRACE_EVENT(anyrcu_collect, TP_PROTO(u64 generation, u64 pages), TP_ARGS(generation, pages),
	    TP_STRUCT__entry(__field(u64, generation) __field(u64, pages)),
	    TP_fast_assign(__entry->generation = generation; __entry->pages = pages;),
	    TP_printk("generation=%llu pages=%llu", __entry->generation, __entry->pages));

/* A page is drained: so many of its objects are invoked. */
TRACE_EVENT(anyrcu_drain, TP_PROTO(u64 generation, u64 invoked), TP_ARGS(generation, invoked),
	    TP_STRUCT__entry(__field(u64, generation) __field(u64, invoked)),
	    TP_fast_assign(__entry->generation = generation; __entry->invoked = invoked;),
	    TP_printk("generation=%llu invoked=%llu", __entry->generation, __entry->invoked));

/* So many are pending that flood control begins. */
TRACE_EVENT(anyrcu_flood, TP_PROTO(u64 pending), TP_ARGS(pending),
	    TP_STRUCT__entry(__field(u64, pending)), TP_fast_assign(__entry->pending = pending;),
	    TP_printk("pending=%llu", __entry->pending));

/* No page, in any context: what was to be stored in it is chained, or refused. */
TRACE_EVENT(anyrcu_page_refused, TP_PROTO(u64 mode, u64 order), TP_ARGS(mode, order),
	    TP_STRUCT__entry(__field(u64, mode) __field(u64, order)),
	    TP_fast_assign(__entry->mode = mode; __entry->order = order;),
	    TP_printk("mode=%s order=%llu",
		      __print_symbolic(__entry->mode, { 0, "KERNEL" }, { 1, "NOWAIT" },
				       { 2, "NO_LOCKS" }),
		      __entry->order));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE anyrcu_trace
#include <trace/define_trace.h>
