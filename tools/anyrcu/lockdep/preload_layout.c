/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Where a debugger finds what each thread holds, in a program that runs, stands still or has dumped
 * core, without debug information: for anyrcu-gdb.py, which knows the order of these words. The
 * first of them is changed with that.
 */
#define _GNU_SOURCE
#include <lockdep/engine.h>

#include "lockdep/preload.h"

#define of_held(member) offsetof(struct held, member)
#define of_thread(member) offsetof(struct thread, member)
#define of_tables(member) offsetof(struct tables, member)

EXPORT extern const uint64_t anyrcu_lockdep_layout[];
const uint64_t anyrcu_lockdep_layout[] = {
	1,
	of_tables(threads_high),
	of_tables(thread),
	sizeof(struct thread),
	of_thread(used),
	of_thread(tid),
	of_thread(depth),
	of_thread(blocks),
	of_thread(held),
	sizeof(struct held),
	HELD,
	of_held(lock),
	of_held(ip),
	of_held(class),
	of_held(how),
	of_tables(class),
	sizeof(struct class),
	offsetof(struct class, key),
	of_tables(key),
	sizeof(struct key),
	offsetof(struct key, type),
	offsetof(struct anyrcu_lock_type, name),
};

EXPORT extern struct tables *const *const anyrcu_lockdep_tables;
struct tables *const *const anyrcu_lockdep_tables = &tables;
