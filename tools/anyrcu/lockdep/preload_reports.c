/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Reports, which go into the memory that is shared with the tool. Places in them are numbers there,
 * and the tool finds their symbols. All is under the validator's lock but not_checked().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "lockdep/notices.h"
#include "lockdep/preload.h"
#include "program.h"

struct notices *notices;

/* ---- places ---- */

/* The files that it has loaded are entered as they are needed; who does it at once enters twice. */
static uint32_t module_enter(const char *path)
{
	size_t length = strlen(path);

	if (length >= NOTICES_PATH)
		return 0;
	for (uint32_t i = 1; i < NOTICES_MODULES; i++) {
		struct notice_module *m = &notices->module[i];
		uint32_t none = MODULE_NONE;

		if (atomic_load(&m->state) == MODULE_READY && !strcmp(m->path, path))
			return i;
		if (!atomic_compare_exchange_strong(&m->state, &none, MODULE_TAKEN))
			continue;
		memcpy(m->path, path, length);
		atomic_store(&m->state, MODULE_READY);
		return i;
	}
	return 0;
}

/* A class of locks lies where they are initialised. */
struct notice_place place_find(const void *address)
{
	const struct link_map *map;

	address = site_begin(address);
	map = map_of(address);
	if (!map)
		return (struct notice_place){ .address = (uintptr_t)address };
	return (struct notice_place){ (uintptr_t)address, (uintptr_t)address - map->l_addr,
				      module_enter(*map->l_name ? map->l_name : executable) };
}

/* Some other process's place, which is entered already. */
static bool in_orders(const void *address)
{
	return (uintptr_t)address - (uintptr_t)notices->order < sizeof(notices->order);
}

/* Of the report that is being made. */
static struct notice_place marks[512];
static uint32_t nmarks;

uint32_t mark_place(const void *address)
{
	struct notice_place p =
		in_orders(address) ? *(const struct notice_place *)address : place_find(address);

	for (uint32_t i = 0; i < nmarks; i++)
		if (marks[i].address == p.address && marks[i].module == p.module)
			return i;
	if (nmarks == ARRAY_SIZE(marks))
		return UINT32_MAX;
	marks[nmarks] = p;
	return nmarks++;
}

/* ---- reports ---- */

static uint64_t hash_in(uint64_t hash, uint64_t v)
{
	hash = (hash ^ v) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static uint64_t hash_place(uint64_t hash, const struct notice_place *p)
{
	return p->module ? hash_in(hash_in(hash, p->module), p->offset) : hash;
}

/* Found again by another process it has the same hash: addresses are hashed by their modules. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++) {
		uint32_t mark = 0;

		hash = hash_in(hash, (unsigned char)*text);
		if (*text != '\033')
			continue;
		for (; text[1] >= '0' && text[1] <= '9'; text++)
			mark = mark * 10 + text[1] - '0';
		hash = hash_place(hash, &marks[mark]);
	}
	return hash;
}

static uint64_t hash_of(const struct anyrcu_lockdep_report *r)
{
	uint64_t hash = hash_text(1, r->rule_name);
	struct notice_place p;

	for (uint32_t i = 0; i < r->nlocks; i++)
		hash = hash_text(hash, r->locks[i]);
	for (uint32_t i = 0; i < r->nframes; i++) {
		p = place_find(r->frames[i]);
		hash = hash_place(hash, &p);
	}
	return hash ?: 1;
}

/* Has another process said so? When there is no room to remember it: no. */
static bool said(uint64_t hash)
{
	for (uint32_t i = 0; i < 64; i++) {
		uint64_t seen = 0;

		if (atomic_compare_exchange_strong(&notices->seen[(hash + i) % NOTICES_SEEN], &seen,
						   hash))
			return false;
		if (seen == hash)
			return true;
	}
	return false;
}

/* Where there is no room for them they are beyond the end. */
static void enter_places(struct notice *n, const struct anyrcu_lockdep_report *r)
{
	n->place = atomic_fetch_add(&notices->nplaces, nmarks + r->nframes);
	n->frames = n->place + nmarks;
	n->nframes = r->nframes;
	if (n->place > NOTICES_PLACES - ARRAY_SIZE(marks) - ARRAY_SIZE(r->frames)) {
		n->place = n->frames = NOTICES_PLACES;
		n->nframes = 0;
	} else {
		memcpy(&notices->place[n->place], marks, nmarks * sizeof(*marks));
		for (uint32_t i = 0; i < r->nframes; i++)
			notices->place[n->frames + i] = place_find(r->frames[i]);
	}
	nmarks = 0;
}

void report_emit(const struct anyrcu_lockdep_report *r)
{
	uint32_t i, length = strlen(r->text), text;
	bool again = said(hash_of(r));
	struct notice *n;

	if (again) {
		atomic_fetch_add(&notices->repeated, 1);
		nmarks = 0;
		return;
	}
	i = atomic_fetch_add(&notices->nnotices, 1);
	if (i >= NOTICES) {
		nmarks = 0;
		return;
	}
	n = &notices->notice[i];
	enter_places(n, r);
	text = atomic_fetch_add(&notices->ntext, length);
	if (text > NOTICES_TEXT || length > NOTICES_TEXT - text)
		length = 0;
	n->text = text;
	n->length = length;
	memcpy(notices->text + text, r->text, length);
	strncpy(n->rule, r->rule_name, sizeof(n->rule) - 1);
	n->pid = syscall(SYS_getpid);
	strncpy(n->program, program_invocation_short_name, sizeof(n->program) - 1);
	prctl(PR_GET_NAME, n->thread);
	for (n->nlocks = 0; n->nlocks < r->nlocks && n->nlocks < NOTICES_LOCKS; n->nlocks++)
		strncpy(n->lock[n->nlocks], r->locks[n->nlocks], sizeof(n->lock[0]) - 1);
	atomic_store(&n->ready, 1);
	if (notices->kill && r->rule == ANYRCU_LOCKDEP_DEADLOCK)
		_exit(EXIT_DEADLOCK);
}

void not_checked(void)
{
	atomic_fetch_add(&notices->unchecked, 1);
}
