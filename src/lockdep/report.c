/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Reports, written into one buffer under the engine's lock. A finding is reported only once.
 *
 * An address is written as "[<0x55d0c0de>] function+0x1c (/path/of/module+0x401c)", as far as these
 * are known here; "anyrcu lockdep" translates the last part into a file and a line.
 */
#include <lockdep/engine.h>
#include <stdarg.h>

static const struct {
	const char *name, *title;
} rules[] = {
	[ANYRCU_LOCKDEP_RECURSIVE] = { "recursive-locking", "possible recursive locking detected" },
	[ANYRCU_LOCKDEP_CIRCULAR] = { "circular-dependency",
				      "possible circular locking dependency detected" },
	[ANYRCU_LOCKDEP_SIGNAL_USE] = { "inconsistent-signal-use", "inconsistent lock state" },
	[ANYRCU_LOCKDEP_SIGNAL_ORDER] = { "signal-safe-unsafe-order",
					  "signal-safe -> signal-unsafe lock order detected" },
	[ANYRCU_LOCKDEP_WAIT] = { "invalid-wait-context", "invalid wait context" },
	[ANYRCU_LOCKDEP_ATOMIC] = { "sleep-in-atomic",
				    "sleeping function called from invalid context" },
	[ANYRCU_LOCKDEP_BALANCE] = { "bad-unlock-balance", "bad unlock balance detected" },
	[ANYRCU_LOCKDEP_EXIT] = { "held-at-thread-exit", "thread ends with locks held" },
	[ANYRCU_LOCKDEP_FREED] = { "held-lock-freed", "held lock freed" },
	[ANYRCU_LOCKDEP_REINIT] = { "held-lock-reinitialised", "held lock initialised" },
	[ANYRCU_LOCKDEP_RCU] = { "suspicious-rcu-usage", "suspicious RCU usage" },
	[ANYRCU_LOCKDEP_NOT_HELD] = { "not-held", "lock should be held" },
	[ANYRCU_LOCKDEP_HELD] = { "held", "lock should not be held" },
	[ANYRCU_LOCKDEP_GUARDED] = { "guarded-inversion",
				     "inverted order of locks, guarded in all that was seen" },
	[ANYRCU_LOCKDEP_WAITS] = { "wait-for-holder", "wait for what a held lock may hold up" },
	[ANYRCU_LOCKDEP_UNSAFE] = { "async-signal-unsafe",
				    "function called in a handler that may have interrupted it" },
	[ANYRCU_LOCKDEP_MISUSE] = { "misuse", "undefined use of a lock" },
	[ANYRCU_LOCKDEP_DEADLOCK] = { "deadlock", "threads wait for each other" },
	[ANYRCU_LOCKDEP_FULL] = { "table-full", "a table is full" },
};

/* ---- text ---- */

static void put(const char *s)
{
	for (; *s && tables->length < sizeof(tables->text) - 1; s++)
		tables->text[tables->length++] = *s;
	tables->text[tables->length] = 0;
}

static void put_number(uint64_t v, unsigned base)
{
	char digits[24];
	unsigned n = sizeof(digits);

	digits[--n] = 0;
	do
		digits[--n] = "0123456789abcdef"[v % base];
	while (v /= base);
	put(&digits[n]);
}

static void put_number_of(const char *before, uint64_t v, const char *behind)
{
	put(before);
	put_number(v, 16);
	put(behind);
}

static void put_module(const struct port_where *w)
{
	put("(");
	put(w->module);
	put_number_of("+0x", w->module_offset, ")");
}

/* A place that the host names: see struct lockdep_host. */
static bool put_mark(const void *address, const char *form)
{
	uint32_t mark = host->mark ? host->mark(address) : UINT32_MAX;

	if (mark == UINT32_MAX)
		return false;
	put("\033");
	put_number(mark, 10);
	put(form);
	return true;
}

static void put_address(const void *address)
{
	struct port_where w;

	if (put_mark(address, "a"))
		return;
	put_number_of("[<0x", (uintptr_t)address, ">]");
	if (!port_where(address, &w))
		return;
	put(" ");
	if (w.symbol) {
		put(w.symbol);
		put_number_of("+0x", w.symbol_offset, " ");
	}
	put_module(&w);
}

/* %s, %u and %x (uint64_t), %a (an address) */
void say(const char *format, ...)
{
	char c[2] = { 0 };
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			*c = *format;
			put(c);
			continue;
		}
		switch (*++format) {
		case 's':
			put(va_arg(args, const char *));
			break;
		case 'u':
			put_number(va_arg(args, uint64_t), 10);
			break;
		case 'x':
			put_number(va_arg(args, uint64_t), 16);
			break;
		case 'a':
			put_address(va_arg(args, const void *));
			break;
		}
	}
	va_end(args);
}

/* ---- names ---- */

/*
 * The name of a lock in static storage, or of the place in the program that identifies a class: the
 * symbol, or else the place in its file.
 */
static void put_object(const void *object, const struct anyrcu_lock_type *type)
{
	struct port_where w = { 0 };

	if (type) {
		put(type->name);
		put(" of ");
	}
	if (put_mark(object, "n"))
		return;
	if (!port_where(object, &w))
		put_number_of("[<0x", (uintptr_t)object, ">]");
	else if (w.symbol)
		put(w.symbol);
	else
		put_module(&w);
	if (w.symbol && w.symbol_offset)
		put_number_of("+0x", w.symbol_offset, "");
}

/* Add nothing to the name before this: suppressions match it. */
static void put_class(unsigned class)
{
	struct key *k = &tables->key[tables->class[class].key];

	if (class == UNVALIDATED)
		put("?");
	else if (k->name)
		put(k->name);
	else if (!k->id)
		say("any other %s", k->type->name);
	else
		put_object(k->id, lock_find(k->id) ? NULL : k->type);
	if (tables->class[class].subclass) {
		put("/");
		put_number(tables->class[class].subclass, 10);
	}
}

/* As put_class(), and among the locks that the report is about. */
void say_class(unsigned class)
{
	uint32_t from = tables->length, n = tables->report.nlocks, length;

	put_class(class);
	length = tables->length - from;
	if (n == ARRAY_SIZE(tables->report.locks))
		return;
	if (length >= sizeof(tables->names[0]))
		length = sizeof(tables->names[0]) - 1;
	memcpy(tables->names[n], &tables->text[from], length);
	tables->names[n][length] = 0;
	for (uint32_t i = 0; i < n; i++) {
		const char *a = tables->names[i], *b = tables->names[n];

		while (*a && *a == *b)
			a++, b++;
		if (*a == *b)
			return;
	}
	tables->report.locks[n] = tables->names[n];
	tables->report.nlocks++;
}

void say_lock(const struct held *h)
{
	static const char *const hows[] = { "", ", read", ", recursive read", "" };
	struct lock_slot *s = lock_find(h->lock);
	unsigned class = h->class;

	for (unsigned i = 0; !class && s && i < ANYRCU_LOCKDEP_SUBCLASSES; i++)
		class = tables->key[s->key].class[i];
	put(" (");
	if (class)
		say_class(class);
	else
		put_object(h->lock, NULL);
	put("){");
	put(class > UNVALIDATED ? type_of(class)->name : "?");
	put(hows[h->how & 3]);
	put(h->how & ANYRCU_LOCK_TRY ? ", tried}, " : "}, ");
	put_number_of("[<0x", (uintptr_t)h->lock, ">]");
	say(", at: %a\n", h->ip);
}

void say_attempt(const struct thread *t, const struct held *n, const char *but,
		 const struct held *p)
{
	say("thread %u is trying to take:\n", (uint64_t)t->tid);
	say_lock(n);
	say(but);
	say_lock(p);
}

void say_trace(uint32_t trace)
{
	for (uint32_t i = 0; trace && i < tables->trace[trace]; i++)
		say("       %a\n", (const void *)tables->trace[trace + 1 + i]);
}

void say_scenario(unsigned p, unsigned n, unsigned next)
{
	say("\n possible unsafe locking scenario:\n\n       thread 0             thread 1\n       --------             --------\n  lock(");
	say_class(p);
	say(");\n                       lock(");
	say_class(n);
	say(");\n                       lock(");
	say_class(next);
	say(");\n  lock(");
	say_class(n);
	say(");\n\n *** DEADLOCK ***\n\n");
}

/* ---- reports ---- */

static bool found_before(uint64_t what)
{
	uint32_t at = what % FOUND;

	what = what ?: 1;
	for (uint32_t i = 0; i < FOUND; i++, at = (at + 1) % FOUND) {
		if (tables->found[at] == what)
			return true;
		if (!tables->found[at]) {
			tables->found[at] = what;
			return false;
		}
	}
	return true;
}

bool report_cause(enum anyrcu_lockdep_rule rule, uint64_t a, uint64_t b)
{
	uint64_t here = rule + 1;
	void *frame[FRAMES];
	unsigned n = port_stack(frame, FRAMES);
	bool news;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		while (frame[k] != frame[i])
			k++;
		if (k == i)
			here = mix(here, (uintptr_t)frame[i]);
	}
	news = !found_before(mix(mix(here, 1), a));
	return !found_before(mix(mix(here, 2), b)) && news;
}

/* Begin to report that a rule was broken, if that is new: @a and @b distinguish findings. */
bool report_begin(enum anyrcu_lockdep_rule rule, uint64_t a, uint64_t b)
{
	static const char line[] = "======================================================\n";

	if (found_before(mix(mix(rule + 1, a), b)))
		return false;
	tables->length = 0;
	tables->report = (struct anyrcu_lockdep_report){ .size = sizeof(tables->report),
							 .rule = rule,
							 .rule_name = rules[rule].name,
							 .text = tables->text };
	tables->report.nframes =
		port_stack(tables->report.frames, ARRAY_SIZE(tables->report.frames));
	say("%sWARNING: %s [%s]\n%s", line, rules[rule].title, rules[rule].name, line);
	return true;
}

static void say_held(const struct thread *t)
{
	uint32_t n = 0, depth = t->depth - (t->blocks != NULL);

	for (uint32_t i = 0; i < depth; i++)
		n += t->held[i].class != 0;
	say("locks held by thread %u: %u\n", (uint64_t)t->tid, (uint64_t)n);
	n = 0;
	for (uint32_t i = 0; i < depth; i++) {
		if (!t->held[i].class)
			continue;
		say(" #%u:", (uint64_t)n++);
		say_lock(&t->held[i]);
	}
}

void report_end(const struct thread *t)
{
	uint32_t named = tables->report.nlocks;

	say_held(t);
	tables->report.nlocks = named; /* without locks that are merely held */
	say("stack backtrace:\n");
	for (uint32_t i = 0; i < tables->report.nframes; i++)
		say("       %a\n", tables->report.frames[i]);
	store(&tables->reports, tables->reports + 1);
	host->emit(&tables->report);
}

void say_full(unsigned which, const char *what)
{
	if (tables->full & 1u << which)
		return;
	tables->full |= 1u << which;
	tables->length = 0;
	tables->report =
		(struct anyrcu_lockdep_report){ .size = sizeof(tables->report),
						.rule = ANYRCU_LOCKDEP_FULL,
						.rule_name = rules[ANYRCU_LOCKDEP_FULL].name,
						.text = tables->text };
	say("the validator's table of %s is full: what is new is not validated\n", what);
	host->emit(&tables->report);
}
