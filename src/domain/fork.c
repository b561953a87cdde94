/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Domains: pausing the workers, and what fork() needs. docs/design/fork.md has all states. */
#include <domain/private.h>

bool domain_pause(struct anyrcu_domain *d, uint64_t ns)
{
	uint64_t give_up = port_now() + ns;

	fetch_add(&d->pause, 1);
	full_fence(); /* pairs with that in pause_worker() */
	if (domain_is_worker(d))
		return true;
	while (load(&d->worker) && !load_acquire(&d->paused)) {
		if (ns && (int64_t)(port_now() - give_up) >= 0)
			return false;
		domain_wake(d, true);
		port_sleep(20000);
	}
	return true;
}

void domain_resume(struct anyrcu_domain *d)
{
	fetch_add(&d->pause, -1u);
	port_wake(&d->pause);
}

bool domain_fork_paused(void)
{
	bool paused = true;

	store(&domains.pause, 1);
	full_fence(); /* pairs with that in pause_worker() */
	for (struct anyrcu_domain *d = domains.first; d; d = d->next) {
		if (!load(&d->worker) || domain_is_worker(d) || load_acquire(&d->paused))
			continue;
		domain_wake(d, true);
		paused = false;
	}
	return paused;
}

void domain_fork_done(void)
{
	store(&domains.pause, 0);
	port_wake(&domains.pause);
}

/*
 * A batch that an absent worker had begun is continued where it was. A barrier's caller that stood
 * in for a worker is not replaced. If an absent task was moving a domain's objects to another
 * domain, the domain goes on with those that it has.
 */
void domain_fork_child(bool start)
{
	for (struct anyrcu_domain *d = domains.first; d; d = d->next) {
		if (domain_is_worker(d))
			continue;
		d->asleep = AWAKE;
		d->paused = 0;
		d->stands_in = d->coming = false;
		/* the absent worker may have taken the last callback of a batch, which must end */
		if (load(&d->ended) != load(&d->begun))
			store(&d->force, 1);
		store(&d->worker, 0);
		if (d->merger && d->merger != port_id()) {
			d->merger = 0;
			store(&d->stop, 0);
		}
	}
	domain_fork_done();
	for (struct anyrcu_domain *d = domains.first; d; d = d->next) {
		store(&d->start_at, 0);
		store(&d->start_pause, DOMAIN_PAUSE_MIN);
		store(&d->wanted, d->wanted && start);
		if (d->wanted)
			domain_restart(d);
	}
}
