/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include <pages/pages.h>
#include <port/port.h>
#include <store/store.h>

void store_place_used(struct store *s, uint32_t n)
{
	uint32_t seen = load(&s->nplaces);

	while (seen <= n && !__atomic_compare_exchange_n(&s->nplaces, &seen, n + 1, true,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

/* ---- appending ---- */

void (*store_watch)(const struct store *s, enum store_event event, const void *ip);

static struct store_page *page_new(struct store *s, unsigned cpu, uintptr_t key, bool shared,
				   const struct store_object *o)
{
	uint64_t bytes =
		fetch_add(&s->bytes, sizeof(struct store_page)) + sizeof(struct store_page);
	struct store_page *p = NULL;

	if (bytes <= load(&s->bytes_max))
		p = s->page(shared, o->context);
	if (!p) {
		count_add(&s->bytes, -(uint64_t)sizeof(*p));
		return NULL;
	}
	count_max(&s->bytes_high, bytes);
	p->open.key = key;
	/* No slot begins from here on. The sequence writes one word beyond. */
	p->open.cap = STORE_WORDS - (key == KEY_WIDE ? 4 : 1);
	p->gen = 0;
	p->born = port_now();
	p->cursor = p->counted = 0;
	p->cpu = cpu;
	p->shared = shared;
	p->settled = !shared;
	store_fill(p, 0, key, o);
	store(&p->open.count, store_width(key));
	return p;
}

/*
 * The bytes are added before the page exists: if a fork comes in between, the child's sum is too
 * high rather than too low, which would wrap.
 */
enum store_result store_open(struct store *s, struct store_page **where, struct store_page *old,
			     uintptr_t key, bool shared, unsigned cpu, struct store_object *o)
{
	struct store_page *p = page_new(s, cpu, key, shared, o);

	if (!p)
		return STORE_REFUSED;
	p->next = old;
	port_release(&s->chain); /* once more: the page was written since */
	if (!cmpxchg(where, old, p)) {
		store_page_free(s, p);
		return STORE_AGAIN;
	}
	if (old) {
		count_add(&s->sealed_objects, store_objects(old));
		o->sealed = fetch_add(&s->sealed, 1) + 1;
	}
	return STORE_OPENED;
}

enum store_result store_append_or_open(struct store *s, struct store_page **where, uintptr_t key,
				       unsigned cpu, struct store_object *o)
{
	struct store_page *p = load_acquire(where);
	enum store_result result = store_append(p, key, o);

	return result == STORE_FULL ? store_open(s, where, p, key, true, cpu, o) : result;
}

void store_page_free(struct store *s, struct store_page *p)
{
	page_free(p, 0);
	count_add(&s->bytes, -(uint64_t)sizeof(*p));
}

void store_chain_push(struct store *s, struct anyrcu_head *head)
{
	do
		head->next = load(&s->chain);
	while (!cmpxchg(&s->chain, head->next, head));
}

/* ---- the collector ---- */

/* Move @p and the pages behind it to the front of *@list, which reverses their order. */
static void collect_pages(struct store_page *p, struct store_page **list)
{
	while (p) {
		struct store_page *next = p->next;

		p->next = *list;
		*list = p;
		p = next;
	}
}

/* Only the collector takes pages away, so the open page is not freed while we read it. */
static void collect_place(struct store_page **where, bool all, struct store_page **list)
{
	struct store_page *p = load_acquire(where);

	if (p && all)
		collect_pages(xchg(where, NULL), list);
	else if (p && load(&p->next))
		collect_pages(xchg(&p->next, NULL), list);
}

uint32_t store_collect(struct store *s, bool all, struct store_page **list)
{
	uint32_t sealed = xchg(&s->sealed, 0); /* what is counted there is in its place */

	store(&s->sealed_objects, 0);
	for (uint32_t i = load(&s->nplaces); i-- > 0;)
		for (uint32_t kind = 0; kind < s->nkinds; kind++)
			collect_place(&s->place[i].open[kind], all, list);
	return sealed;
}

struct anyrcu_head *store_chain_collect(struct store *s)
{
	return load(&s->chain) ? xchg(&s->chain, NULL) : NULL;
}

uint64_t store_count(struct store_page *p)
{
	uint32_t used = store_used(p), n = used - p->counted;

	p->counted = used;
	return n / store_width(p->open.key);
}

bool store_any(const struct store *s)
{
	if (load(&s->chain))
		return true;
	for (uint32_t i = 0; i < load(&s->nplaces); i++)
		for (uint32_t kind = 0; kind < s->nkinds; kind++)
			if (load(&s->place[i].open[kind]))
				return true;
	return false;
}

uint64_t store_open_objects(const struct store *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < load(&s->nplaces); i++) {
		for (uint32_t kind = 0; kind < s->nkinds; kind++) {
			const struct store_page *p = load_acquire(&s->place[i].open[kind]);

			n += p ? store_objects(p) : 0;
		}
	}
	return n;
}
