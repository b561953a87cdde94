/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs with the threads and locks of C11, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds.h"

#include <stdatomic.h>
#include <threads.h>
#include <time.h>

static mtx_t account, journal, recursive;
static atomic_bool step;

static void start(int (*f)(void *), void *arg)
{
	thrd_t t;

	if (thrd_create(&t, f, arg) != thrd_success || thrd_join(t, NULL) != thrd_success)
		abort();
}

static void make(void)
{
	if (mtx_init(&account, mtx_plain) != thrd_success ||
	    mtx_init(&journal, mtx_timed) != thrd_success ||
	    mtx_init(&recursive, mtx_plain | mtx_recursive) != thrd_success)
		abort();
}

static int account_then_journal(void *arg)
{
	(void)arg;
	mtx_lock(&account);
	mtx_lock(&journal);
	mtx_unlock(&journal);
	mtx_unlock(&account);
	return 0;
}

/* ---- orders ---- */

static int again_under_account(void *arg)
{
	(void)arg;
	mtx_lock(&recursive);
	mtx_lock(&account);
	mtx_lock(&recursive);
	mtx_unlock(&recursive);
	mtx_unlock(&account);
	mtx_unlock(&recursive);
	return 0;
}

static int recursive_and_account(void *arg)
{
	(void)arg;
	mtx_lock(wrong ? &account : &recursive);
	mtx_lock(wrong ? &recursive : &account);
	mtx_unlock(&account);
	mtx_unlock(&recursive);
	return 0;
}

static void c11_recursive(void)
{
	make();
	start(again_under_account, NULL);
	start(recursive_and_account, NULL);
}

static int account_for_a_while(void *arg)
{
	struct timespec until;

	(void)arg;
	timespec_get(&until, TIME_UTC);
	until.tv_sec++;
	mtx_lock(&account);
	if (wrong)
		mtx_lock(&journal);
	else if (mtx_timedlock(&journal, &until) != thrd_success)
		goto out;
	mtx_unlock(&journal);
out:
	mtx_unlock(&account);
	return 0;
}

static int journal_then_account(void *arg)
{
	(void)arg;
	mtx_lock(&journal);
	mtx_lock(&account);
	mtx_unlock(&account);
	mtx_unlock(&journal);
	return 0;
}

static void c11_timed(void)
{
	make();
	start(journal_then_account, NULL);
	start(account_for_a_while, NULL);
}

static int account_or_nothing(void *arg)
{
	(void)arg;
	for (bool done = false; !done;) {
		mtx_lock(&account);
		if (wrong)
			mtx_lock(&journal);
		if (wrong || mtx_trylock(&journal) == thrd_success) {
			mtx_unlock(&journal);
			done = true;
		}
		mtx_unlock(&account);
		thrd_yield();
	}
	return 0;
}

static void c11_try(void)
{
	make();
	start(journal_then_account, NULL);
	start(account_or_nothing, NULL);
}

/* A ledger has a lock of each kind; two are merged, the one with the smaller number first. */
struct ledger {
	int number;
	mtx_t lock;
};

static struct ledger *ledgers[2];

static int merge(void *arg)
{
	struct ledger *from = ledgers[arg != NULL], *to = ledgers[arg == NULL], *first = from,
		      *second = to;

	if (!wrong && first->number > second->number) {
		first = to;
		second = from;
	}
	mtx_lock(&first->lock);
	mtx_lock(&second->lock);
	mtx_unlock(&second->lock);
	mtx_unlock(&first->lock);
	return 0;
}

static void c11_merge(void)
{
	for (int i = 0; i < 2; i++) {
		ledgers[i] = malloc(sizeof(*ledgers[i]));
		ledgers[i]->number = i;
		mtx_init(&ledgers[i]->lock, mtx_plain);
	}
	start(merge, NULL);
	start(merge, &account);
}

/* ---- conditions and once ---- */

static cnd_t posted;
static bool is_posted;

static int posts(void *arg)
{
	(void)arg;
	mtx_lock(&account);
	mtx_unlock(&account);
	step = true;
	first_sleeps();
	mtx_lock(&journal);
	is_posted = true;
	cnd_broadcast(&posted);
	mtx_unlock(&journal);
	return 0;
}

static void c11_condition(void)
{
	thrd_t t;

	make();
	cnd_init(&posted);
	thrd_create(&t, posts, NULL);
	while (!step)
		thrd_yield();
	if (wrong)
		mtx_lock(&account);
	mtx_lock(&journal);
	while (!is_posted)
		cnd_wait(&posted, &journal);
	mtx_unlock(&journal);
	if (wrong)
		mtx_unlock(&account);
	thrd_join(t, NULL);
}

static once_flag opened = ONCE_FLAG_INIT;

static void open_journal(void)
{
	mtx_lock(&journal);
	mtx_unlock(&journal);
}

static int opens(void *arg)
{
	bool held = wrong && arg;

	if (held)
		mtx_lock(&journal);
	if (!arg || !wrong)
		call_once(&opened, open_journal);
	if (held) {
		call_once(&opened, open_journal);
		mtx_unlock(&journal);
	}
	return 0;
}

static void c11_once(void)
{
	make();
	start(opens, NULL);
	start(opens, &opened);
}

/* ---- ends ---- */

static int leaves(void *arg)
{
	mtx_lock(&account);
	if (!wrong)
		mtx_unlock(&account);
	if (arg)
		thrd_exit(0);
	return 0;
}

static void c11_exit(void)
{
	make();
	start(leaves, &account);
}

static int holds_for_long(void *arg)
{
	(void)arg;
	mtx_lock(&account);
	step = true;
	while (step)
		thrd_yield();
	mtx_unlock(&account);
	return 0;
}

/* Whoever ends the use of an object waits for the last that uses it. */
static void c11_destroyed(void)
{
	thrd_t t;

	make();
	thrd_create(&t, holds_for_long, NULL);
	while (!step)
		thrd_yield();
	if (wrong)
		mtx_destroy(&account);
	step = false;
	thrd_join(t, NULL);
	if (!wrong)
		mtx_destroy(&account);
}

static void c11_after_destroy(void)
{
	make();
	mtx_destroy(&account);
	if (!wrong)
		mtx_init(&account, mtx_plain);
	account_then_journal(NULL);
}

static const struct kind kinds[] = {
	KIND(c11_recursive), KIND(c11_timed),	  KIND(c11_try),
	KIND(c11_merge),     KIND(c11_condition), KIND(c11_once),
	KIND(c11_exit),	     KIND(c11_destroyed), KIND(c11_after_destroy),
};
KINDS_MAIN(kinds)
