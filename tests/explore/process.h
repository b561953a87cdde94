/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Before src/port/posix/process.c: who is dead, the explorer knows. */
#define port_tid_dead process_tid_dead
