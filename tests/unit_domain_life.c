/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Barriers of a domain, its end, and the lists of domains: see unit_domain.h. */
#include "unit_domain.h"

/* ---- barriers ---- */

static void never_waits(void)
{
	fail();
}

static void worker_ends_batch(void)
{
	assert_int_equal(mock.wait_ns, 1000 * MS);
	assert_int_equal(step++, 0);
	store(&domain->ended, domain->begun + 1);
}

/* It waits until the worker has ended the collection, and not for one that begins later. */
static void barrier_waits_for_worker(void **state)
{
	uint32_t want;

	make(NULL);
	store(&domain->worker, 2);
	want = domain_barrier_begin(domain);
	mock.on_wait = worker_ends_batch;
	domain_barrier_end(domain, want);
	assert_int_equal(step, 1);
	assert_int_equal(domain->force, 1); /* the worker will see that */
	mock.on_wait = never_waits;
	domain_barrier_end(domain, want);
	store(&domain->begun, want);
	store(&domain->worker, 0);
}

static void another_begins(char what)
{
	if (what != 's' || step++ > 0)
		return;
	defer(1);
	domain_barrier_begin(domain); /* there is a worker, so it does not stand in */
}

/* Another barrier begins as the caller stops standing in, which therefore does so again. */
static void caller_stands_in_again(void **state)
{
	make(NULL);
	defer(0);
	on_call = another_begins;
	mock.on_wait = never_waits;
	anyrcu_domain_barrier(domain);
	assert_string_equal(calls, "wgswgs");
	assert_int_equal(domain->force, 0);
	assert_int_equal(object[0].invoked, 1);
	assert_int_equal(object[1].invoked, 1);
}

static void thread_fails_to_come(void)
{
	assert_int_equal(step++, 0);
	assert_string_equal(calls, "");
	store(&domain->coming, false);
}

static void barrier_waits_for_coming_worker(void **state)
{
	make(NULL);
	defer(0);
	store(&domain->coming, true);
	mock.on_wait = thread_fails_to_come;
	anyrcu_domain_barrier(domain);
	assert_int_equal(step, 1);
	assert_int_equal(object[0].invoked, 1);
}

/* ---- the end ---- */

static bool is_online(void)
{
	return load(&anyrcu_self->ctr) & ANYRCU_READER_QS;
}

static void worker_ends(void)
{
	step++;
	assert_int_equal(mock.wait_ns, MS);
	assert_int_equal(domain->stop, 1);
	assert_int_equal(mock.wakes, 1);
	assert_int_equal(domain->asleep, RINGING);
	assert_false(is_online()); /* the worker may wait for a grace period */
	store(&domain->worker, 0);
}

/* The worker is told, and waited for. */
static void end_waits_for_worker(void **state)
{
	struct anyrcu_domain *into;

	make(NULL);
	into = domain;
	make(NULL);
	anyrcu_thread_online();
	store(&domain->worker, 2);
	store(&domain->asleep, DEEP);
	mock.on_wait = worker_ends;
	anyrcu_domain_destroy(domain, into);
	domain = into;
	assert_int_equal(step, 1);
	assert_true(is_online());
	anyrcu_thread_offline();
}

static void invoked_at_end(void **state)
{
	anyrcu_domain_destroy(NULL, NULL);
	make(NULL);
	defer(0);
	anyrcu_domain_destroy(domain, NULL);
	domain = NULL;
	assert_int_equal(object[0].invoked, 1);
}

static struct anyrcu_domain *into;

static void destroy(void *d)
{
	anyrcu_domain_destroy(d, into);
}

/* The mistake is found before anything has changed. */
static void no_end_in_section(void **state)
{
	make(NULL);
	into = domain;
	make(NULL);
	anyrcu_read_lock();
	assert_true(mock_bug(destroy, domain));
	anyrcu_read_unlock();
	assert_int_equal(domain->stop, 0);
	assert_ptr_equal(domains.first, domain);
	anyrcu_domain_destroy(into, domain);
}

static void domain_is_still_there(void)
{
	step++;
	assert_ptr_equal(domains.first, domain);
}

/* The memory is used again only after a grace period: a caller may still be in domain_call(). */
static void end_waits_for_callers(void **state)
{
	make(NULL);
	mock.on_fence = domain_is_still_there;
	anyrcu_domain_destroy(domain, NULL);
	mock.on_fence = NULL;
	assert_true(step > 0);
	assert_ptr_not_equal(domains.first, domain);
	domain = NULL;
}

/* ---- the lists ---- */

static struct anyrcu_domain *other;

static void other_makes(void)
{
	mock.on_lock = mock.on_unlock = NULL;
	assert_int_equal(domain_make(&other, &source, NULL), 0);
}

static unsigned length(const struct anyrcu_domain *d)
{
	unsigned n = 0;

	for (; d; d = d->next)
		n++;
	return n;
}

/* From any place of the list; the memory is that of the next ones. */
static void each_leaves_the_list(void **state)
{
	const unsigned live = length(domains.first);
	struct anyrcu_domain *d[4];

	for (unsigned gone = 0; gone < 4; gone++) {
		uint64_t maps;

		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(domain_make(&d[i], &source, NULL), 0);
		assert_int_equal(length(domains.first), live + 4);
		domain_unmake(d[gone]);
		assert_int_equal(d[gone]->stop, 1);
		assert_int_equal(length(domains.first), live + 3);
		for (unsigned i = 0; i < 4; i++)
			if (i != gone)
				domain_unmake(d[i]);
		assert_int_equal(length(domains.first), live);
		assert_true(length(domains.free) >= 4);
		maps = mock.maps;
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(domain_make(&d[i], &source, NULL), 0);
			for (unsigned j = 0; j < i; j++)
				assert_ptr_not_equal(d[i], d[j]);
		}
		assert_int_equal(mock.maps, maps);
		for (unsigned i = 0; i < 4; i++)
			domain_unmake(d[i]);
	}
}

/* Another thread makes a domain as one ends: before it has left the list, or after. */
static void another_is_made_meanwhile(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct anyrcu_domain *free, *d;

		make(NULL);
		d = domain;
		free = domains.free;
		*(i ? &mock.on_unlock : &mock.on_lock) = other_makes;
		domain_unmake(d);
		domain = other;
		assert_ptr_equal(domains.first, other);
		if (i) { /* it has that memory, and nobody else has */
			assert_ptr_equal(other, d);
			assert_ptr_equal(domains.free, free);
		}
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

static const struct store *gone;

static void is_told(const struct store *s, enum store_event event, const void *ip)
{
	if (event != STORE_GONE)
		return;
	assert_false(port_lock_held(&domain_lock)); /* whoever is told may take any lock */
	gone = s;
}

/* The validator is told once the domain is stopped, and before its memory may be another's. */
static void validator_is_told_of_end(void **state)
{
	const struct anyrcu_domain *d;

	make(NULL);
	d = domain;
	gone = NULL;
	store(&store_watch, is_told);
	anyrcu_domain_destroy(domain, NULL);
	store(&store_watch, NULL);
	domain = NULL;
	assert_ptr_equal(gone, &d->store);
}

/* ---- deferring ---- */

static void handler_defers(void)
{
	mock.on_now = NULL;
	defer(1);
}

/* A handler opens a page of the same lane as the call opens one. */
static void two_open_a_page(void **state)
{
	make(NULL);
	mock.on_now = handler_defers;
	defer(0);
	assert_null(mock.on_now);
	assert_int_equal(domain->store.bytes, 4096);
	anyrcu_domain_barrier(domain);
	assert_int_equal(object[0].invoked, 1);
	assert_int_equal(object[1].invoked, 1);
}

int unit_domain_life(void)
{
	const struct CMUnitTest tests[] = {
		TEST(barrier_waits_for_worker),
		TEST(caller_stands_in_again),
		TEST(barrier_waits_for_coming_worker),
		TEST(end_waits_for_worker),
		TEST(invoked_at_end),
		TEST(no_end_in_section),
		TEST(end_waits_for_callers),
		TEST(each_leaves_the_list),
		TEST(another_is_made_meanwhile),
		TEST(validator_is_told_of_end),
		TEST(two_open_a_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
