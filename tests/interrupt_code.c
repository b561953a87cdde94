// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Where the instructions of the library begin, as objdump says, and which of them an any-context
 * entry point can reach.
 */
#define _GNU_SOURCE
#include "interrupt.h"
#include <anyrcu/anyrcu.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct insn *insns; /* shared, as what is written to costs every fork a copy */
int *code_ninsns;

#define PLACES (1 << 18)
static int *places; /* a hash table: an instruction's number and 1, by its address; shared, too */

/* Functions, and who calls or jumps to whom. */
static struct function {
	const char *name;
	unsigned reached, before; /* by all entries; by those that are not of hash tables */
} functions[4000];
static int nfunctions;

static struct edge {
	int from, to;
} edges[80000];
static int nedges;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "interrupt: %s\n", what);
	exit(2);
}

static int function(const char *name)
{
	for (int i = 0; i < nfunctions; i++)
		if (!strcmp(functions[i].name, name))
			return i;
	if (nfunctions == (int)(sizeof(functions) / sizeof(functions[0])))
		give_up("too many functions");
	functions[nfunctions].name = strdup(name);
	return nfunctions++;
}

static void sequence(uintptr_t start, uintptr_t length)
{
	int last = -1;

	for (int i = 0; i < ninsns; i++) {
		if (insns[i].addr - start < length) {
			insns[i].is |= IN_RSEQ;
			last = i;
		}
	}
	if (last < 0)
		give_up("a restartable sequence without instructions");
	insns[last].is |= COMMITS;
}

static FILE *objdump(const char *how, const char *file)
{
	char command[4096];
	FILE *f;

	snprintf(command, sizeof(command), "objdump %s '%s'", how, file);
	f = popen(command, "r");
	if (!f)
		give_up("objdump cannot be run");
	return f;
}

static void sequences(const char *file, uintptr_t base)
{
	struct descriptor {
		uint32_t version, flags;
		uint64_t start, length, abort;
	};
	FILE *f = objdump("-h -w", file);
	unsigned long size, vma;
	char line[1024];

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d __rseq_cs %lx %lx", &size, &vma) == 2)
			for (unsigned long at = 0; at + sizeof(struct descriptor) <= size;
			     at += sizeof(struct descriptor)) {
				const struct descriptor *d = (const void *)(base + vma + at);

				sequence(d->start, d->length);
			}
	pclose(f);
}

/* Where it is in the table, or where it belongs. */
static int *place(uintptr_t addr)
{
	unsigned at = addr * UINT64_C(0x9e3779b97f4a7c15) >> 46;

	while (places[at] && insns[places[at] - 1].addr != addr)
		at = (at + 1) % PLACES;
	return &places[at];
}

static int add(uintptr_t addr, const char *name, unsigned is, const char *text)
{
	if (ninsns == INSNS_MAX)
		give_up("too many instructions");
	if (strstr(text, "cmpxchg"))
		is |= SWAPS;
	if (strchr(text, '(') && !strstr(text, "(%rsp") && strncmp(text, "lea", 3) &&
	    strncmp(text, "nop", 3))
		is |= LOADS;
	insns[ninsns] = (struct insn){
		.addr = addr,
		.function = name,
		.text = *text ? strdup(text) : "",
		.byte = *(const uint8_t *)addr,
		.is = is,
	};
	*place(addr) = ninsns + 1;
	return ninsns++;
}

/* The target of a direct call or jump stands at the end, as <name+offset>. */
static void add_edge(int from, char *text)
{
	char *name = strchr(text, '<');

	if (!name || (strncmp(text, "call", 4) && text[0] != 'j'))
		return;
	name[strcspn(name, ">+")] = '\0';
	if (!strcmp(name + 1, functions[from].name))
		return;
	edges[nedges++] = (struct edge){ from, function(name + 1) };
	if (nedges == sizeof(edges) / sizeof(edges[0]))
		give_up("too many calls");
}

/* A linker's stub counts as outside of the library: half of it is never executed. */
static void load(const char *file, uintptr_t base, unsigned is)
{
	FILE *f = objdump("-d --no-show-raw-insn", file);
	int in = -1;
	char line[1024], name[256], text[256];
	unsigned long addr;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx <%255[^>]>:", &addr, name) == 2) {
			bool wanted =
				is == IN_LIBRARY ? !strstr(name, "@plt") : !strncmp(name, "op_", 3);

			in = wanted ? function(name) : -1;
		} else if (in >= 0 && sscanf(line, " %lx: %255[^\n]", &addr, text) == 2) {
			add(base + addr, functions[in].name, is, text);
			add_edge(in, text);
		}
	}
	if (pclose(f))
		give_up("objdump has failed");
}

static bool begins_with_one_of(const char *name, const char *const *of)
{
	for (; *of; of++)
		if (!strncmp(name, *of, strlen(*of)))
			return true;
	return false;
}

static void reach(int f, unsigned how)
{
	static const char *const end[] = { "port_bug",	  "port_report",   "cache_foreign",
					   "cache_twice", "cache_written", NULL };
	static const char *const zone[] = { "port_lock", "port_unlock",	  "zone_take",
					    "zone_put",	 "gp_step",	  "cache_collect",
					    "commit",	 "gp_in_section", NULL };
	const char *name = functions[f].name;

	if (functions[f].reached & how || begins_with_one_of(name, end) ||
	    (how == REACHABLE && begins_with_one_of(name, zone)))
		return;
	functions[f].reached |= how;
	for (int i = 0; i < nedges; i++)
		if (edges[i].from == f)
			reach(edges[i].to, how);
}

static bool is_abort(const char *function)
{
	return !strncmp(function, "port_rseq_failure", strlen("port_rseq_failure"));
}

/* What jumps back from an aborted sequence is apart from its function. */
static unsigned reached(int i)
{
	char text[256];
	char *name;

	if (!is_abort(insns[i].function))
		return functions[function(insns[i].function)].reached;
	snprintf(text, sizeof(text), "%s", insns[i].text);
	name = strchr(text, '<');
	if (text[0] != 'j' || !name)
		return 0;
	name[strcspn(name, ">+")] = '\0';
	return functions[function(name + 1)].reached;
}

static void *share(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		give_up("no memory");
	return p;
}

void code_load(void)
{
	/* The last two before those of hash tables are called through pointers. */
	static const char *const entries[] = {
		"anyrcu_call",
		"anyrcu_free_head",
		"anyrcu_call_headless",
		"anyrcu_free_headless",
		"anyrcu_call_sized",
		"anyrcu_gp_start",
		"anyrcu_gp_done",
		"anyrcu_reader_enter_slow",
		"anyrcu_reader_exit_slow",
		"anyrcu_read_lock_held",
		"anyrcu_page_alloc",
		"anyrcu_page_free",
		"anyrcu_stats_get",
		"anyrcu_cache_alloc",
		"anyrcu_cache_free",
		"anyrcu_cache_free_deferred",
		"wake_urgent",
		"wake_deep",
		"anyrcu_hash_add",
		"anyrcu_hash_add_unique",
		"anyrcu_hash_replace",
		"anyrcu_hash_del",
	};
	/* The last two are called through pointers. */
	static const char *const tasks[] = {
		"anyrcu_synchronize",
		"anyrcu_gp_wait",
		"anyrcu_barrier",
		"anyrcu_reclaim",
		"anyrcu_call_mightsleep",
		"anyrcu_free_mightsleep",
		"anyrcu_init",
		"anyrcu_domain_create",
		"anyrcu_domain_barrier",
		"anyrcu_domain_destroy",
		"task",
		"on_exit_key",
	};
	const size_t nentries = sizeof(entries) / sizeof(entries[0]), nhash = 4;
	Dl_info lib, exe;
	char file[32];
	int known;

	insns = share(INSNS_MAX * sizeof(*insns));
	places = share(PLACES * sizeof(*places));
	code_ninsns = share(sizeof(*code_ninsns));
	if (!dladdr((void *)(uintptr_t)anyrcu_call, &lib) ||
	    !dladdr((void *)(uintptr_t)code_load, &exe))
		give_up("the library is not found");
	load(lib.dli_fname, (uintptr_t)lib.dli_fbase, IN_LIBRARY);
	sequences(lib.dli_fname, (uintptr_t)lib.dli_fbase);
	known = nfunctions;
	for (size_t i = 0; i < nentries; i++) {
		reach(function(entries[i]), REACHABLE), reach(function(entries[i]), POSSIBLE);
		if (i == nentries - nhash - 1)
			for (int f = 0; f < nfunctions; f++)
				functions[f].before = functions[f].reached;
	}
	for (int f = 0; f < nfunctions; f++)
		if (functions[f].reached & ~functions[f].before & POSSIBLE)
			functions[f].reached |= IN_HASH;
	reach(function("anyrcu_domain_call"), POSSIBLE);
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++)
		reach(function(tasks[i]), IN_TASK);
	if (nfunctions != known)
		give_up("an entry point is not in the library");
	for (int i = 0; i < ninsns; i++)
		insns[i].is |= reached(i);
	/* not as "self", which to objdump is objdump */
	snprintf(file, sizeof(file), "/proc/%d/exe", getpid());
	known = ninsns;
	load(file, (uintptr_t)exe.dli_fbase, IN_OP);
	if (ninsns == known)
		give_up("the operations are not found");
}

int code_at(uintptr_t addr)
{
	return *place(addr) - 1;
}

int code_outside(uintptr_t addr, unsigned is)
{
	Dl_info where;
	int i = code_at(addr);

	if (i >= 0)
		return i;
	return add(addr,
		   dladdr((void *)addr, &where) && where.dli_sname ? where.dli_sname : "outside",
		   is, "");
}

/* From it, and on without a jump, the next call is one that ends the program. */
static bool leads_to_bug(int i)
{
	for (; i < ninsns; i++) {
		const char *text = insns[i].text;

		if (strstr(text, "<port_bug") || strstr(text, "<cache_foreign") ||
		    strstr(text, "<cache_twice") || strstr(text, "<cache_written"))
			return true;
		if (strstr(text, "<port_report"))
			continue;
		if (!strncmp(text, "call", 4) || text[0] == 'j' || !strncmp(text, "ret", 3))
			return false;
	}
	return false;
}

static struct {
	const char *function;
	int most; /* instructions */
	const char *why;
} excuses[] = {
	{ "anyrcu_reader_enter_slow", 14,
	  "the inline lock once more, if the record were in use, which it cannot be" },
	{ "reader_register", 12,
	  "a block without records; the child of a fork by a handler, or of vfork()" },
	{ "port_tid", 8, "gettid() fails" },
	{ "port_id", 6, "the first use in a thread, which comes before each scenario" },
	{ "port_tid_dead", 12, "a child that ran no fork handlers; the main thread may be dead" },
	{ "port_thread_exit_arm", 2, "before the constructor has run" },
	{ "port_foreign", 4, "a child of vfork()" },
	{ "process_main_dead", 150,
	  "no record is free, and the main thread, which has one, may be dead" },
	{ "store_open", 5, "the old page is not full" },
	{ "store_open_objects", 1, "a store without kinds of pages" },
	{ "append_cpu", 4, "eight attempts that were all interrupted; a child of vfork()" },
	{ "append_slow", 34, "a function whose address is a key of pages, which no program has" },
	{ "defer_wake", 16, "a program that waits by anyrcu_reclaim_fd()" },
	{ "defer_chain_func", 2, "a function at an address that no program has" },
	{ "defer_bytes_add", 2,
	  "a child's deferral before it has counted; sums that no memory has" },
	{ "crowd_enter", 1, "another thread changes the word at the same time" },
	{ "exchange_pending", 17, "tasks exchange objects: see test_exchange.c" },
	{ "exchange_freed", 13, "the same" },
	{ "anyrcu_page_alloc", 4, "the validator is on" },
	{ "page_by_policy", 60, "a policy that is not for any context" },
	{ "context_preemptible", 60, "the same" },
	{ "context_close", 40, "the same" },
	{ "port_pi_works", 80, "the same, and the model rt" },
	{ "port_map", 80, "aligned to more than a page, for the zone" },
	{ "port_unmap", 60, "the same" },
	{ "alloc", 80, "a task's part of anyrcu_cache_alloc()" },
	{ "cache_alloc_slow", 16, "the same" },
	{ "arena_unit_alloc", 34, "the same" },
	{ "magazine_alloc", 30, "the same" },
	{ "arena_unit_free", 14, "a slab that a task gives back" },
	{ "port_discard", 26, "the same" },
	{ "port_reserve", 44, "as port_map, which it is a part of" },
	{ "slab_carve", 2, "a constructor" },
	{ "slab_carve_one", 24, "the same; claim(), which slab_carve() has inlined, too" },
	{ "port_rseq_failure", 4, "an abort label of a sequence that is not reached" },
	{ "change", 1, "a jump beyond a loop" },
	{ "anyrcu_free_head", 21,
	  "an object of a cache, which anyrcu_cache_free_deferred() takes" },
	{ "anyrcu_free_headless", 17, "the same" },
	{ "cache_defer_slow", 28, "the inline lock once more" },
	{ "cache_free_slow", 16, "the same" },
	{ "check_object", 8, "an object with nothing behind it, which none is" },
	{ "cache_debug_matured", 6, "a cache with a constructor" },
	{ "cache_debug_matured.part.0", 6, "the same" },
	{ "anyrcu_hash_add_unique", 26,
	  "the inline lock once more; an element that was replaced while it was looked at" },
	{ "anyrcu_hash_replace", 18, "the inline lock once more" },
	{ "anyrcu_hash_del", 18, "the same" },
	{ "find", 2, "a jump to where the list ends" },
	{ "too_small", 2, "a table of the largest size" },
	{ "too_large", 2, "the same, of the smallest" },
	{ "queue_view", 20,
	  "queues of all CPUs are owned by threads that were stopped, or are being gathered" },
};

static int used[sizeof(excuses) / sizeof(excuses[0])];

void code_excuses_renew(void)
{
	memset(used, 0, sizeof(used));
}

/* Straight on in one direction is a call to what tells a checker. */
static bool beside_checker(int i, int step)
{
	for (int at = i; at >= 0 && at < ninsns; at += step) {
		const char *text = insns[at].text;
		bool leaves = !strncmp(text, "ret", 3) || !strncmp(text, "jmp", 3);

		if (!strncmp(text, "call", 4) || (leaves && strstr(text, "checker")))
			return strstr(text, "checker") != NULL;
		if (leaves && (step > 0 || at != i))
			return false;
	}
	return false;
}

const char *code_excuse(int i)
{
	const char *text = insns[i].text,
		   *name = is_abort(insns[i].function) ? "port_rseq_failure" : insns[i].function;

	if (!strncmp(text, "nop", 3) || !strncmp(text, "data16", 6) ||
	    !strncmp(text, "cs nop", 6) || !strcmp(text, "xchg   %ax,%ax"))
		return "padding";
	if (!strncmp(text, "ud1", 3))
		return "the signature in front of an abort label";
	if (leads_to_bug(i))
		return "the program is about to be ended";
	if (strstr(insns[i].function, "checker") || beside_checker(i, 1) || beside_checker(i, -1))
		return "a checker watches the process";
	for (size_t e = 0; e < sizeof(excuses) / sizeof(excuses[0]); e++)
		if (!strcmp(name, excuses[e].function) && used[e]++ < excuses[e].most)
			return excuses[e].why;
	return NULL;
}
