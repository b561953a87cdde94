/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "lockdep/place.h"

#include <string.h>

struct place place_of(const struct notices *n, const struct notice_place *written)
{
	struct place p = { .address = written->address, .offset = written->offset };
	uint32_t module = written->module;

	if (!module || module >= NOTICES_MODULES ||
	    atomic_load(&n->module[module].state) != MODULE_READY)
		return p;
	memcpy(p.module, n->module[module].path, sizeof(p.module) - 1);
	p.symbol = symbol_at(p.module, p.offset);
	/* Code is named by the address that a call returns to: what is meant is the call. */
	if (!p.symbol.function || !p.symbol.data)
		p.symbol = symbol_at(p.module, p.offset - 1);
	return p;
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void place_put_name(FILE *f, const struct place *p)
{
	const struct symbol *s = &p->symbol;

	if (!p->module[0])
		fprintf(f, "[<0x%llx>]", (unsigned long long)p->address);
	else if (!s->function)
		fprintf(f, "%s+0x%llx", base(p->module), (unsigned long long)p->offset);
	else if (!s->data && s->file)
		fprintf(f, "%s:%d", s->function, s->line);
	else if (!s->data)
		fprintf(f, "%s+0x%llx", s->function, (unsigned long long)s->offset + 1);
	else if (s->offset)
		fprintf(f, "%s+0x%llx", s->function, (unsigned long long)s->offset);
	else
		fputs(s->function, f);
}

void place_put(FILE *f, const struct place *p)
{
	const struct symbol *s = &p->symbol;

	if (!p->module[0])
		fprintf(f, "[<0x%llx>]", (unsigned long long)p->address);
	else if (s->file)
		fprintf(f, "%s (%s:%d)", s->function ?: "??", s->file, s->line);
	else if (s->function)
		fprintf(f, "%s+0x%llx (%s)", s->function, (unsigned long long)s->offset + !s->data,
			p->module);
	else
		fprintf(f, "(%s+0x%llx)", p->module, (unsigned long long)p->offset);
}
