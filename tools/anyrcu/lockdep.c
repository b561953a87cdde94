/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu lockdep: run a program with the validator preloaded, and print what it and its children report, with functions, files and lines.
 * preload/notices.h says how reports come here.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/notices.h"
#include "program.h"
#include "symbols.h"
#include "tool.h"

enum { OPTION_JSON = 256, OPTION_EXITCODE, OPTION_SUPPRESSIONS, OPTION_STATS, OPTION_MODEL };

struct suppression {
	char *rule, *lock, *function, *module, *program; /* patterns; NULL: any */
	struct suppression *next;
};

struct validation {
	const char *path;
	char **program;
	const char *model;
	bool json, stats;
	int exitcode; /* 0: the program's own */
	FILE *out;
	struct suppression *suppressions;

	struct notices *notices;
	char dir[PATH_MAX], file[PATH_MAX];
	bool taken[NOTICES];
	unsigned reports, suppressed, processes;
	json_t *counts; /* of processes that have ended */
};

static void remove_file(struct validation *v)
{
	unlink(v->file);
	rmdir(v->dir);
}

/*
 * Whoever the program turns into must be able to open it, so its name is what keeps others out. All of it is allocated: a full file system
 * must not be found by the program.
 */
static void make_notices(struct validation *v)
{
	const char *tmp = getenv("TMPDIR");
	mode_t mask = umask(0);
	int fd, error;

	snprintf(v->dir, sizeof(v->dir), "%s/anyrcu-lockdep-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(v->dir) || chmod(v->dir, 0711) != 0)
		program_die(v->dir, strerror(errno));
	if (snprintf(v->file, sizeof(v->file), "%s/XXXXXX", v->dir) >= (int)sizeof(v->file))
		program_die(v->dir, strerror(ENAMETOOLONG));
	fd = mkostemp(v->file, O_CLOEXEC);
	error = fd < 0 ? errno : posix_fallocate(fd, 0, sizeof(*v->notices));
	if (error == 0 && fchmod(fd, 0666) != 0)
		error = errno;
	umask(mask);
	v->notices = error ? MAP_FAILED : mmap(NULL, sizeof(*v->notices), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (v->notices == MAP_FAILED) {
		remove_file(v);
		program_die(v->file, strerror(error ?: errno));
	}
	close(fd);
	v->notices->magic = NOTICES_MAGIC;
}

/* ---- suppressions ---- */

static char **pattern(struct suppression *s, const char *key)
{
	return !strcmp(key, "lock") ? &s->lock : !strcmp(key, "function") ? &s->function : !strcmp(key, "module") ? &s->module :
	       !strcmp(key, "program") ? &s->program : NULL;
}

static void read_suppressions(struct validation *v, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL, *word, *rest, *value, **to;
	size_t size = 0;
	unsigned number = 0;

	if (!f)
		program_die(path, strerror(errno));
	while (getline(&line, &size, f) >= 0) {
		struct suppression *s;

		number++;
		line[strcspn(line, "#\n")] = '\0';
		word = strtok_r(line, " \t", &rest);
		if (!word)
			continue;
		s = calloc(1, sizeof(*s));
		if (!s || !(s->rule = strdup(word)))
			program_die(path, strerror(ENOMEM));
		while ((word = strtok_r(NULL, " \t", &rest))) {
			value = strchr(word, '=');
			if (value)
				*value++ = '\0';
			to = pattern(s, word);
			if (!value || !to) {
				fprintf(stderr, "anyrcu: %s:%u: '%s' is not lock=, function=, module= or program= and a pattern\n", path,
					number, word);
				exit(EXIT_OURS);
			}
			*to = strdup(value);
		}
		s->next = v->suppressions;
		v->suppressions = s;
	}
	free(line);
	fclose(f);
}

static bool matches(const char *pattern, const char *s)
{
	return !pattern || (s && fnmatch(pattern, s, 0) == 0);
}

/* ---- the text of a report ---- */

/*
 * In it there are addresses, "[<0x55d0c0de>] symbol+0x1c (/path/of/module+0x401c)", of which the end or the symbol may be missing, and names of locks, which
 * may be "(/path/of/module+0x401c)": where the lock is, or after "mutex of " the call that initialises it.
 */
struct place {
	size_t length; /* of all that */
	bool name;
	char module[PATH_MAX]; /* "": not known */
	uint64_t offset;
	struct symbol symbol;
};

static bool hex_after(const char **s, uint64_t *value)
{
	char *end;

	if (strncmp(*s, "0x", 2) || !isxdigit((unsigned char)(*s)[2]))
		return false;
	*value = strtoull(*s, &end, 16);
	*s = end;
	return true;
}

/* "(/path/of/module+0x401c)". Returns its end; NULL: it is something else. */
static const char *read_module(const char *text, struct place *p)
{
	const char *end = text + strcspn(text, ")\n"), *plus = end;

	if (strncmp(text, "(/", 2) || *end != ')')
		return NULL;
	while (*plus != '+' && plus > text)
		plus--;
	if (plus == text || (size_t)(plus - text) > sizeof(p->module))
		return NULL;
	memcpy(p->module, text + 1, plus - text - 1);
	p->module[plus - text - 1] = '\0';
	plus++;
	return hex_after(&plus, &p->offset) && plus == end ? end + 1 : NULL;
}

static bool read_place(const char *text, struct place *p)
{
	const char *at = text, *end;
	uint64_t address;

	*p = (struct place){ .name = *text == '(' };
	if (!p->name) {
		if (strncmp(at, "[<", 2))
			return false;
		at += 2;
		if (!hex_after(&at, &address) || strncmp(at, ">]", 2))
			return false;
		at += 2;
		p->length = at - text;
		if (*at == ' ' && at[1] != '(') /* the symbol, as far as it is known there */
			at += 1 + strcspn(at + 1, " \n");
		at += *at == ' ';
	}
	end = read_module(at, p);
	if (!end) {
		p->module[0] = '\0';
		return !p->name;
	}
	p->length = end - text;
	p->symbol = symbol_at(p->module, p->offset);
	/* Code is named by the address that a call returns to: what is meant is the call. */
	if (!p->symbol.function || !p->symbol.data)
		p->symbol = symbol_at(p->module, p->offset - 1);
	return true;
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Names are short. */
static void put_name(FILE *f, const struct place *p)
{
	const struct symbol *s = &p->symbol;

	if (!s->function)
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

static void put_place(FILE *f, const struct place *p, const char *text)
{
	const struct symbol *s = &p->symbol;

	if (!p->module[0])
		fprintf(f, "%.*s", (int)p->length, text);
	else if (s->file)
		fprintf(f, "%s (%s:%d)", s->function ?: "??", s->file, s->line);
	else if (s->function)
		fprintf(f, "%s+0x%llx (%s)", s->function, (unsigned long long)s->offset + !s->data, p->module);
	else
		fprintf(f, "(%s+0x%llx)", p->module, (unsigned long long)p->offset);
}

static char *symbolised(const char *text)
{
	struct place p;
	char *out;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		program_die("a report", strerror(ENOMEM));
	while (*text) {
		if (!read_place(text, &p)) {
			fputc(*text++, f);
			continue;
		}
		if (p.name)
			put_name(f, &p);
		else
			put_place(f, &p, text);
		text += p.length;
	}
	if (fclose(f) != 0)
		program_die("a report", strerror(ENOMEM));
	return out;
}

/* The calls under "stack backtrace:", each function and its module, of a text as it came. */
struct stack {
	size_t n;
	struct place place[64];
};

static void read_stack(const char *text, struct stack *stack)
{
	const char *at = strstr(text, "stack backtrace:\n");

	stack->n = 0;
	while (at && (at = strchr(at, '\n')) && *++at == ' ' && stack->n < sizeof(stack->place) / sizeof(*stack->place))
		if (read_place(at + strspn(at, " "), &stack->place[stack->n]))
			stack->n++;
}

/* ---- reports ---- */

/* A report, out of memory that anybody may have written to. */
struct report {
	char rule[32], program[16], thread[16];
	unsigned pid;
	char *text;
	size_t nlocks;
	char *lock[NOTICES_LOCKS];
	struct stack stack;
};

static void copy_string(char *to, const char *from, size_t size)
{
	memcpy(to, from, size - 1);
	to[size - 1] = '\0';
}

static void read_report(struct validation *v, const struct notice *n, struct report *r)
{
	uint32_t text = n->text, length = n->length;
	char *raw, lock[sizeof(n->lock[0])];

	copy_string(r->rule, n->rule, sizeof(r->rule));
	copy_string(r->program, n->program, sizeof(r->program));
	copy_string(r->thread, n->thread, sizeof(r->thread));
	r->pid = n->pid;
	if (text > NOTICES_TEXT || length > NOTICES_TEXT - text)
		length = 0;
	raw = length ? strndup(v->notices->text + text, length) : strdup("(there was no room for the text)\n");
	if (!raw)
		program_die("a report", strerror(ENOMEM));
	read_stack(raw, &r->stack);
	r->text = symbolised(raw);
	free(raw);
	for (r->nlocks = 0; r->nlocks < n->nlocks && r->nlocks < NOTICES_LOCKS; r->nlocks++) {
		copy_string(lock, n->lock[r->nlocks], sizeof(lock));
		r->lock[r->nlocks] = symbolised(lock);
	}
}

static bool suppresses(const struct suppression *s, const struct report *r)
{
	bool lock = !s->lock, frame = !s->function && !s->module;

	if (!matches(s->rule, r->rule) || !matches(s->program, r->program))
		return false;
	for (size_t i = 0; i < r->nlocks && !lock; i++)
		lock = matches(s->lock, r->lock[i]);
	for (size_t i = 0; i < r->stack.n && !frame; i++)
		frame = matches(s->function, r->stack.place[i].symbol.function) && matches(s->module, r->stack.place[i].module);
	return lock && frame;
}

static bool suppressed(const struct validation *v, const struct report *r)
{
	for (const struct suppression *s = v->suppressions; s; s = s->next)
		if (suppresses(s, r))
			return true;
	return false;
}

static void print_json(struct validation *v, json_t *json)
{
	if (!json || json_dumpf(json, v->out, JSON_COMPACT) != 0)
		program_die("a report", "cannot be printed as JSON");
	json_decref(json);
	fputc('\n', v->out);
}

static void print_report_json(struct validation *v, const struct report *r)
{
	json_t *locks = json_array(), *stack = json_array();

	for (size_t i = 0; i < r->nlocks; i++)
		json_array_append_new(locks, json_string(r->lock[i]));
	for (size_t i = 0; i < r->stack.n; i++) {
		const struct place *p = &r->stack.place[i];

		json_array_append_new(stack, json_pack("{s:s, s:I, s:s?, s:s?, s:i}", "module", p->module, "offset",
			(json_int_t)p->offset, "function", p->symbol.function, "file", p->symbol.file, "line", p->symbol.line));
	}
	print_json(v, json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:o, s:s}", "event", "report", "rule", r->rule, "pid", (int)r->pid,
		"program", r->program, "thread", r->thread, "locks", locks, "stack", stack, "text", r->text));
}

static void take_report(struct validation *v, const struct notice *n)
{
	struct report r;

	read_report(v, n, &r);
	if (suppressed(v, &r)) {
		v->suppressed++;
	} else {
		/* That a table is full is no mistake of the program. */
		v->reports += strcmp(r.rule, "table-full") != 0;
		if (v->json)
			print_report_json(v, &r);
		else
			fprintf(v->out, "\n%s[%u]: thread \"%s\"\n%s", r.program, r.pid, r.thread, r.text);
		fflush(v->out);
	}
	free(r.text);
	for (size_t i = 0; i < r.nlocks; i++)
		free(r.lock[i]);
}

static void take_reports(struct validation *v)
{
	uint32_t n = atomic_load(&v->notices->nnotices);

	for (uint32_t i = 0; i < n && i < NOTICES; i++) {
		if (v->taken[i] || !atomic_load(&v->notices->notice[i].ready))
			continue;
		v->taken[i] = true;
		take_report(v, &v->notices->notice[i]);
	}
}

/* ---- processes ---- */

static bool lives(uint32_t pid)
{
	return pid && (kill(pid, 0) == 0 || errno == EPERM);
}

static void count_process(struct validation *v, const struct notice_process *p)
{
	char program[sizeof(p->program)];

	/* When it and its parent entered it at once it is there twice. */
	for (size_t i = 0; i < NOTICES_PROCESSES; i++)
		if (&v->notices->process[i] != p && v->notices->process[i].pid == p->pid)
			return;
	v->processes++;
	if (!v->stats)
		return;
	copy_string(program, p->program, sizeof(program));
	json_array_append_new(v->counts, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "program", program, "pid", (json_int_t)p->pid,
		"classes", (json_int_t)p->classes, "edges", (json_int_t)p->edges, "chains", (json_int_t)p->chains, "locks",
		(json_int_t)p->locks, "longest_chain", (json_int_t)p->deepest, "reports", (json_int_t)p->reports));
}

/* Make room of those that have ended. How many go on? */
static unsigned attend_processes(struct validation *v)
{
	unsigned running = 0;

	for (size_t i = 0; i < NOTICES_PROCESSES; i++) {
		struct notice_process *p = &v->notices->process[i];
		uint32_t state = atomic_load(&p->state);

		if (state == PROCESS_RUNS && lives(p->pid)) {
			running++;
		} else if (state == PROCESS_RUNS || state == PROCESS_ENDED) {
			count_process(v, p);
			memset((char *)p + sizeof(p->state), 0, sizeof(*p) - sizeof(p->state));
			atomic_store(&p->state, PROCESS_NONE);
		}
	}
	return running;
}

/*
 * Until the program has exited, and then until what it left running has, which a signal to this process puts an end to. Returns its exit status.
 */
static int attend_program(struct validation *v, struct program *p)
{
	static const struct timespec tick = { .tv_nsec = 50000000 };
	int status = -1, result, sig;

	program_start(p);
	for (;;) {
		sig = sigtimedwait(&p->signals, NULL, &tick);
		if (status < 0 && (sig == SIGTERM || sig == SIGHUP))
			kill(p->pid, sig);
		if (status < 0 && sig == SIGCHLD && waitpid(p->pid, &result, WNOHANG) == p->pid) {
			status = program_status(result);
			sigaddset(&p->signals, SIGINT);
			sigprocmask(SIG_BLOCK, &p->signals, NULL);
			signal(SIGINT, SIG_DFL);
			sig = 0;
		}
		take_reports(v);
		if (attend_processes(v) == 0 && status >= 0)
			break;
		if (status >= 0 && sig > 0 && sig != SIGCHLD)
			break;
	}
	take_reports(v);
	return status;
}

/* ---- the end ---- */

static void summarise(struct validation *v)
{
	struct notices *n = v->notices;
	uint32_t lost = atomic_load(&n->nnotices) > NOTICES ? atomic_load(&n->nnotices) - NOTICES : 0;
	json_t *p;
	size_t i;

	if (atomic_load(&n->attached) == 0)
		fprintf(stderr, "anyrcu: nothing was watched: the program is static or setuid, or not for this machine\n");
	if (lost)
		fprintf(stderr, "anyrcu: there was no room for %u reports\n", lost);
	if (v->json) {
		print_json(v, json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:O}", "event", "summary", "reports", v->reports, "suppressed",
			v->suppressed, "repeated", (int)atomic_load(&n->repeated), "lost", (int)lost, "processes", v->processes, "counts",
			v->counts));
		return;
	}
	if (v->stats && json_array_size(v->counts))
		fprintf(v->out, "\n%-16s %9s %9s %9s %9s %9s %9s %9s\n", "program", "pid", "classes", "edges", "chains", "locks",
			"longest", "reports");
	json_array_foreach(v->counts, i, p) {
		fprintf(v->out, "%-16s", json_string_value(json_object_get(p, "program")));
		for (const char *const *key = (const char *const[]){ "pid", "classes", "edges", "chains", "locks", "longest_chain",
			     "reports", NULL }; *key; key++)
			fprintf(v->out, " %9lld", (long long)json_integer_value(json_object_get(p, *key)));
		fputc('\n', v->out);
	}
	if (v->reports || v->suppressed || v->stats)
		fprintf(v->out, "\nanyrcu: %u reports, %u suppressed, in %u processes\n", v->reports, v->suppressed, v->processes);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct validation *v = state->input;
	char *end;
	long n;

	switch (key) {
	case 'o':
		v->path = arg;
		return 0;
	case OPTION_JSON:
		v->json = true;
		return 0;
	case OPTION_STATS:
		v->stats = true;
		return 0;
	case OPTION_EXITCODE:
		n = strtol(arg, &end, 10);
		if (!*arg || *end || n < 1 || n > 255)
			argp_error(state, "'%s' is not an exit status from 1 to 255", arg);
		v->exitcode = n;
		return 0;
	case OPTION_SUPPRESSIONS:
		read_suppressions(v, arg);
		return 0;
	case OPTION_MODEL:
		if (strcmp(arg, "none") && strcmp(arg, "full") && strcmp(arg, "rt"))
			argp_error(state, "'%s' is not one of none, full and rt", arg);
		v->model = arg;
		return 0;
	case ARGP_KEY_ARG:
		v->program = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!v->program)
			argp_error(state, "no program to watch");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_lockdep(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE", 0, "Write reports to FILE, not to standard error", 0 },
		{ "json", OPTION_JSON, NULL, 0, "A line of JSON for each report, and one at the end", 0 },
		{ "error-exitcode", OPTION_EXITCODE, "N", 0, "Exit with N if there was a report", 0 },
		{ "suppressions", OPTION_SUPPRESSIONS, "FILE", 0, "Leave out the reports that FILE describes", 0 },
		{ "stats", OPTION_STATS, NULL, 0, "Say at the end what was counted", 0 },
		{ "model", OPTION_MODEL, "MODEL", 0, "The preemption model: none, full or rt", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "PROGRAM [ARG...]",
		.doc = "Run PROGRAM and report what its locks could come to in another run.",
	};
	static struct validation v;
	struct program p = { 0 };
	int status;

	argp_err_exit_status = EXIT_OURS;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &v);
	p.argv = v.program;
	program_prepare(&p, "libanyrcu-lockdep.so", PRELOAD_FROM_BINDIR "/libanyrcu-lockdep.so");
	v.out = v.path ? fopen(v.path, "we") : stderr;
	if (!v.out)
		program_die(v.path, strerror(errno));
	v.counts = json_array();
	make_notices(&v);
	if (setenv(NOTICES_ENV, v.file, 1) != 0 || (v.model && setenv("ANYRCU_PREEMPT", v.model, 1) != 0))
		program_die(NOTICES_ENV, strerror(errno));
	status = attend_program(&v, &p);
	remove_file(&v);
	program_over(&p);
	summarise(&v);
	json_decref(v.counts);
	if (v.path && fclose(v.out) != 0)
		program_die(v.path, strerror(errno));
	return v.reports && v.exitcode ? v.exitcode : status;
}
