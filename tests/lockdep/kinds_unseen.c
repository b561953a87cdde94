/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs that wait for what the validator does not know as a lock, in pairs; see
 * kinds.h. The wrong ones are missed.
 */
#define _GNU_SOURCE
#include "kinds_with_a.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static atomic_int word;

static void take_word(void)
{
	int was = 0;

	if (atomic_compare_exchange_strong(&word, &was, 1))
		return;
	while (atomic_exchange(&word, 2) != 0)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

static void give_word(void)
{
	if (atomic_exchange(&word, 0) == 2)
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void own_futex(void)
{
	with_a(take_word, give_word);
}

static atomic_flag flag = ATOMIC_FLAG_INIT;

static void take_flag(void)
{
	while (atomic_flag_test_and_set(&flag))
		sched_yield();
}

static void give_flag(void)
{
	atomic_flag_clear(&flag);
}

static void spun_flag(void)
{
	with_a(take_flag, give_flag);
}

static const struct kind kinds[] = {
	KIND(own_futex),
	KIND(spun_flag),
};
KINDS_MAIN(kinds)
