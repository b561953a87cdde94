/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * More scenes that stop a thread at the place where a mistake would show: in the store and its
 * counts, among pages and records. Their mutants are some that all tests had left.
 */
#include <defer/defer.h>
#include <defer/pipe.h>
#include <domain/private.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include <pages/zone.h>
#include "scenes.h"

static uint32_t inside;

static void reads_until(void *n)
{
	anyrcu_read_lock();
	fetch_add(&inside, 1);
	wait_turn((uintptr_t)n);
	anyrcu_read_unlock();
}

/* ---- domains: the caller of a barrier leaves the worker's place, and another takes it ---- */

static void synchronize(void *unused)
{
	anyrcu_synchronize();
}

static void defers_and_collects(void *n)
{
	domain_defer();
	wait_turn((uintptr_t)n);
	anyrcu_domain_barrier(domain);
}

static void domain_without_worker(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };

	SIM_CHECK(!domain_make(&domain, &source, NULL));
}

static void place_taken_from_leaver(void)
{
	int leaves, comes;

	domain_without_worker();
	leaves = sim_start(defers_and_collects, (void *)1);
	comes = sim_start(defers_and_collects, (void *)2);
	port_sleep(10 * MS);
	sim_stop_after(leaves, SIM_WRITE, &domain->worker, 2, 60 * MS);
	next_turn();
	sim_wait_stop();
	next_turn();
	sim_join(leaves);
	sim_join(comes);
}

/*
 * The collector stops as it takes a lane's page, which is full for the thread that defers
 * meanwhile: it opens another in front of that one.
 */
static void collects_slowly(void *n)
{
	wait_turn(1);
	anyrcu_domain_barrier(domain);
}

static void page_opened_as_collected(void)
{
	int collector;

	domain_without_worker();
	domain_defer();
	store(&domain->lane[0].open[0]->open.cap, 1);
	collector = sim_start(collects_slowly, NULL);
	sim_stop_after(collector, SIM_READ, &domain->lane[0].open[0], 1 + sim_random(3), 60 * MS);
	next_turn();
	port_sleep(10 * MS); /* it has stopped, if it makes so many accesses */
	domain_defer();
	sim_join(collector);
}

/* ---- the numbers of objects ---- */

/* The open page of this CPU, if there is one, has so many slots that nobody fills. */
static bool leave_slots(unsigned n)
{
	struct store_page *p = load_acquire(&defer_places[port_cpu()].open[SHARED + UNIFORM]);

	if (p)
		fetch_add(&p->open.count, n);
	return p;
}

static void on_counted(void *o)
{
	invoked(o);
}

static void defer_counted(void (*f)(void *))
{
	struct object *o = object_new();

	store(&o->accepted, anyrcu_call_headless(f, o));
	SIM_CHECK(o->accepted);
}

static void has_barrier(void *unused)
{
	anyrcu_barrier();
}

/* The collector has taken this thread's page; the next is sealed before it goes on. */
static void sealed_as_collected(void)
{
	int collector;

	SIM_CHECK(port_cpu() == 0); /* which is the last that it looks at */
	defer_counted(on_counted);
	sim_stop_after(-1, SIM_READ, &defer_places[0].open[DEFER_KINDS - 1], 1, 60 * MS);
	collector = sim_start(has_barrier, NULL);
	sim_wait_stop();
	anyrcu_read_lock(); /* nothing is invoked */
	do
		defer_counted(on_counted); /* perhaps still in the page that was taken */
	while (!leave_slots(STORE_WORDS));
	defer_counted(on_counted);
	port_sleep(100 * MS);
	SIM_CHECK(defer_pending() >= 3);
	anyrcu_read_unlock();
	sim_join(collector);
}

static void on_last(void *o)
{
	invoked(o);
	wait_turn(1);
}

static void drains(void *unused)
{
	defer_drain(SIZE_MAX, 0);
}

static void advances(void *unused)
{
	defer_advance();
}

/* The slot of a thread that is no more is skipped while the next page's objects are counted. */
static void skipped_as_counted(void)
{
	int drainer, counter;

	defer_counted(on_last);
	SIM_CHECK(leave_slots(1));
	while (!defer_ready()) {
		port_sleep(20 * MS);
		defer_advance();
	}
	drainer = sim_start(drains, NULL);
	defer_counted(on_counted);
	port_sleep(20 * MS);
	while (!load(&defer_pipe.waiting)) {
		SIM_CHECK(!defer_pipe.waits);
		port_sleep(20 * MS);
		anyrcu_read_lock();
		defer_advance();
		anyrcu_read_unlock();
	}
	sim_stop_after(-1, SIM_READ, &defer_stats.page, 1, 60 * MS);
	counter = sim_start(advances, NULL);
	sim_wait_stop();
	next_turn();
	sim_join(counter);
	sim_join(drainer);
	anyrcu_barrier();
	SIM_CHECK(defer_pending() == 0);
}

/* ---- a page that is counted as sealed is in its place: the collector takes it ---- */

static struct store_place its_place;

static void *its_page(bool zero, unsigned context)
{
	return page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, 0);
}

static struct store its_store = { .place = &its_place,
				  .nplaces = 1,
				  .nkinds = 1,
				  .page = its_page,
				  .bytes_max = STORE_BYTES_MAX };

static void opens(void)
{
	struct store_object o = { .arg = 1 };

	SIM_CHECK(store_append_or_open(&its_store, &its_place.open[0], KEY_HEAD, 0, &o) ==
		  STORE_OPENED);
}

static void seals(void *unused)
{
	anyrcu_read_lock();
	opens();
	fetch_add(&load(&its_place.open[0])->open.count, STORE_WORDS);
	opens();
	anyrcu_read_unlock();
}

static void counted_is_in_place(void)
{
	struct store_page *list = NULL;
	int thread = sim_start(seals, NULL);

	while (!load(&its_store.sealed))
		port_sleep(1000);
	SIM_CHECK(store_collect(&its_store, false, &list) == 1);
	SIM_CHECK(list);
	sim_join(thread);
}

/* ---- a stall ---- */

static uint32_t stalls;

static void on_stall(const struct anyrcu_stall *s, void *arg)
{
	fetch_add(&stalls, 1);
}

static void checks(void *late)
{
	if (late)
		port_sleep(MS);
	else
		sim_stop_at(1 + sim_random(12), 8 * MS);
	gp_stall_check();
}

/* Two threads find that a reader is late, and one reports it. */
static void stall_found_by_two(void)
{
	int thread[3];

	configure((struct anyrcu_config){ .stall_ms = 1000, .stall_hook = on_stall });
	thread[2] = sim_start(reads_until, (void *)1);
	while (!fetch_add(&inside, 0))
		port_sleep(MS);
	gp_cookie();
	for (unsigned i = 0; i < 20; i++) {
		gp_step();
		port_sleep(100 * MS);
	}
	for (uintptr_t i = 0; i < 2; i++)
		thread[i] = sim_start(checks, (void *)i);
	for (unsigned i = 0; i < 2; i++)
		sim_join(thread[i]);
	SIM_CHECK(fetch_add(&stalls, 0) == 1);
	next_turn();
	sim_join(thread[2]);
}

/* ---- a reader that is to be reminded ends, and frees its record ---- */

static struct anyrcu_reader *its_record;

static void ends_when_seen(void *unused)
{
	anyrcu_read_lock();
	store(&its_record, anyrcu_self);
	fetch_add(&inside, 1);
	wait_turn(1);
	anyrcu_read_unlock();
}

static void on_reminder(uint32_t tid, uint64_t ns, void *arg)
{
	SIM_CHECK(tid);
}

static void reminds(void *unused)
{
	gp_remind();
}

static void reader_ends_as_reminded(void)
{
	int reader, reminder;

	configure((struct anyrcu_config){ .reminder_ms = 1, .reminder_hook = on_reminder });
	reader = sim_start(ends_when_seen, NULL);
	while (!fetch_add(&inside, 0))
		port_sleep(MS);
	gp_cookie();
	gp_step();
	port_sleep(10 * MS);
	sim_stop_after(-1, SIM_READ, &its_record->owner, 1, 60 * MS);
	reminder = sim_start(reminds, NULL);
	sim_wait_stop();
	next_turn();
	sim_join(reader);
	sim_join(reminder);
}

/* ---- pages ---- */

#define LARGE (ANYRCU_PAGE_ORDER_MAX - 2)

static void *large[16];

static unsigned take_large(void)
{
	unsigned n = 0;

	while ((large[n] = zone_alloc(LARGE, n == 0)))
		n++;
	return n;
}

static void returns(void *n)
{
	port_sleep(MS);
	zone_return(large[(uintptr_t)n], LARGE);
}

/* Two threads return pages at the same time: both come home. */
static void two_return(void)
{
	unsigned n = take_large();
	int thread[2];

	SIM_CHECK(n >= 2);
	for (uintptr_t i = 0; i < 2; i++)
		thread[i] = sim_start(returns, (void *)i);
	for (unsigned i = 0; i < 2; i++)
		sim_join(thread[i]);
	for (unsigned i = 2; i < n; i++)
		zone_return(large[i], LARGE);
	SIM_CHECK(take_large() == n);
}

/* ---- records ---- */

static void steps(void *unused)
{
	gp_cookie();
	gp_step();
}

/* A thread that reads brings a block of records as the scan begins. */
static void block_beside_scan(void)
{
	int scans, reads;

	claim_all();
	sim_stop_after(-1, SIM_WRITE, &anyrcu_gp.ctr, 1, 60 * MS);
	scans = sim_start(steps, NULL);
	sim_wait_stop();
	reads = sim_start(reads_until, (void *)1);
	while (!fetch_add(&inside, 0))
		port_sleep(MS);
	next_turn();
	sim_join(scans);
	sim_join(reads);
}

const struct sim_scene windows_store_scenes[] = {
	{ "window_place_taken_from_leaver", place_taken_from_leaver, domain_finish,
	  .env = NO_WORKERS, .seeds = 20 },
	{ "window_page_opened_as_collected", page_opened_as_collected, domain_finish,
	  .env = NO_WORKERS, .seeds = 20 },
	{ "window_sealed_as_collected", sealed_as_collected, barrier_and_sums, .env = NO_WORKERS,
	  .seeds = 20 },
	{ "window_skipped_as_counted", skipped_as_counted, .env = NO_WORKERS, .seeds = 20 },
	{ "window_counted_is_in_place", counted_is_in_place, .env = NO_WORKERS, .seeds = 40 },
	{ "window_stall_found_by_two", stall_found_by_two, .env = NO_WORKERS, .seeds = 30 },
	{ "window_reader_ends_as_reminded", reader_ends_as_reminded, .env = NO_WORKERS,
	  .seeds = 30 },
	{ "window_two_return", two_return, .env = NO_WORKERS, .seeds = 20 },
	{ "window_block_beside_scan", block_beside_scan,
	  .env = { "ANYRCU_WORKERS=0", "ANYRCU_MEMBARRIER=0" }, .seeds = 20 },
	{ 0 },
};
