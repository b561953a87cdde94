/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Reports on standard error, formatted here as a signal handler must not use stdio, and stacks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <port/process.h>
#include <port/posix/init.h>
#include <port/posix/sys.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/auxv.h>
#include <time.h>
#ifdef __GLIBC__
#include <execinfo.h>
#if __GLIBC_PREREQ(2, 35)
#define HAVE_DL_FIND_OBJECT
#endif
#else
#include <unwind.h>
#endif

#define LINE 1024 /* a longer one is cut */

/* A part of a line: handlers on small stacks report, too. */
struct text {
	size_t left; /* how much more of the line may be put */
	size_t n;
	char s[384];
};

/* If nobody reads what is reported, that must not end the program: no SIGPIPE. */
static long write_out(int fd, const char *text, size_t n)
{
	const uint64_t pipe = UINT64_C(1) << (SIGPIPE - 1);
	struct timespec now = { 0 };
	uint64_t blocked, pending = 0;
	long done;

	sys(SYS_rt_sigprocmask, SIG_BLOCK, &pipe, &blocked, sizeof(pipe));
	sys(SYS_rt_sigpending, &pending, sizeof(pending));
	done = sys(SYS_write, fd, text, n);
	if (done == -EPIPE && !(pending & pipe))
		sys(SYS_rt_sigtimedwait, &pipe, NULL, &now, sizeof(pipe));
	sys(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, sizeof(blocked));
	return done;
}

static void flush(struct text *t)
{
	write_out(STDERR_FILENO, t->s, t->n);
	t->n = 0;
}

static void put(struct text *t, const char *s)
{
	for (; *s && t->left; t->left--) {
		if (t->n == sizeof(t->s))
			flush(t);
		t->s[t->n++] = *s++;
	}
}

static void put_number(struct text *t, uint64_t v, unsigned base)
{
	char digits[24], *d = digits + sizeof(digits);

	*--d = '\0';
	do {
		*--d = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	put(t, d);
}

/* "function+0x1c", or "module+0x1234", which addr2line and gdb accept. */
static void put_address(struct text *t, const void *address)
{
	Dl_info info;
	uintptr_t at = (uintptr_t)address;

	put(t, "0x");
	put_number(t, at, 16);
	if (!dladdr(address, &info))
		return;
	put(t, " ");
	if (info.dli_sname) {
		put(t, info.dli_sname);
		at -= (uintptr_t)info.dli_saddr;
	} else {
		put(t, info.dli_fname);
		at -= (uintptr_t)info.dli_fbase;
	}
	put(t, "+0x");
	put_number(t, at, 16);
}

static void put_one(struct text *t, char conversion, va_list *args)
{
	int64_t d;

	switch (conversion) {
	case 's':
		put(t, va_arg(*args, const char *));
		break;
	case 'u':
		put_number(t, va_arg(*args, uint64_t), 10);
		break;
	case 'x':
		put_number(t, va_arg(*args, uint64_t), 16);
		break;
	case 'd':
		d = va_arg(*args, int64_t);
		put(t, d < 0 ? "-" : "");
		put_number(t, d < 0 ? -(uint64_t)d : (uint64_t)d, 10);
		break;
	case 'p':
		put(t, "0x");
		put_number(t, (uintptr_t)va_arg(*args, void *), 16);
		break;
	case 'a':
		put_address(t, va_arg(*args, void *));
		break;
	}
}

static void report(const char *format, va_list *args)
{
	struct text t;
	char c[2] = "";

	t.left = LINE - 1;
	t.n = 0;
	put(&t, "anyrcu: ");
	for (; *format; format++) {
		if (*format == '%' && format[1]) {
			put_one(&t, *++format, args);
		} else {
			c[0] = *format;
			put(&t, c);
		}
	}
	t.left = 1;
	put(&t, "\n");
	flush(&t);
}

void port_report(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(format, &args);
	va_end(args);
}

#ifndef __GLIBC__
/*
 * If libc has no backtrace(), use the compiler's unwinder if the program has it, as C++ programs
 * do; the library does not link with it. Without it there are no stacks.
 */
extern __typeof__(_Unwind_Backtrace) _Unwind_Backtrace __attribute__((weak));
extern __typeof__(_Unwind_GetIP) _Unwind_GetIP __attribute__((weak));

struct walk {
	void **frames;
	int n, max;
};

static _Unwind_Reason_Code walk_one(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;

	if (w->n == w->max)
		return _URC_END_OF_STACK;
	w->frames[w->n++] = (void *)(uintptr_t)_Unwind_GetIP(context);
	return _URC_NO_REASON;
}

static int backtrace(void **frames, int max)
{
	struct walk w = { .frames = frames, .max = max };

	if (_Unwind_Backtrace && _Unwind_GetIP)
		_Unwind_Backtrace(walk_one, &w);
	return w.n;
}
#endif

static bool primed, late;
static char program[256] = "?"; /* its file name */

/*
 * A statically linked program registers its frames in a constructor that runs after ours. Until
 * then its unwinder aborts.
 */
const void *_Unwind_Find_FDE(void *pc, void *bases) __attribute__((weak));

static bool frames_known(void)
{
	void *bases[3];

	return !_Unwind_Find_FDE || _Unwind_Find_FDE((void *)(uintptr_t)port_stack_prime, bases);
}

void port_stack_prime(void)
{
	void *frame;
	long n = sys(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", program, sizeof(program) - 1);

	program[n > 0 ? n : 0] = '\0';
	store(&late, !frames_known());
	if (load(&late))
		return;
	backtrace(&frame, 1);
	store(&primed, true);
}

static int text_fd = STDERR_FILENO;

void port_text_to(const char *file)
{
	int fd = file && *file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;

	if (fd >= 0)
		store(&text_fd, fd);
	else if (file && *file)
		port_report("%s cannot be opened; reports go to standard error", file);
}

void port_text(const char *text)
{
	size_t n = strlen(text);

	while (n) {
		long done = write_out(load(&text_fd), text, n);

		if (done <= 0)
			return;
		text += done;
		n -= done;
	}
}

/*
 * Objects and symbols. dladdr() takes the loader's lock. A thread that holds it may wait for the
 * caller, as a constructor in dlopen() may take any lock. _dl_find_object() takes no lock.
 */
#ifdef HAVE_DL_FIND_OBJECT
static const struct link_map *object(const void *address)
{
	struct dl_find_object found;

	return _dl_find_object((void *)(uintptr_t)address, &found) == 0 ? found.dlfo_link_map :
									  NULL;
}

/* The address for @tag in the object's dynamic section. */
static const void *dynamic(const struct link_map *m, ElfW(Sxword) tag)
{
	/* not relocated in the vdso */
	for (const ElfW(Dyn) *d = m->l_ld; d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return (const void *)(d->d_un.d_ptr +
					      (d->d_un.d_ptr < m->l_addr ? m->l_addr : 0));
	return NULL;
}

/* The number of dynamic symbols: one more than the last symbol of the last chain. */
static uint32_t nsymbols(const uint32_t *gnu_hash)
{
	uint32_t nbuckets = gnu_hash[0], first = gnu_hash[1], last = 0;
	const uint32_t *bucket = gnu_hash + 4 + gnu_hash[2] * (sizeof(ElfW(Addr)) / 4),
		       *chain = bucket + nbuckets;

	for (uint32_t i = 0; i < nbuckets; i++)
		last = bucket[i] > last ? bucket[i] : last;
	if (last < first)
		return 0;
	while (!(chain[last - first] & 1))
		last++;
	return last + 1;
}

static void symbol(const struct link_map *m, uintptr_t at, struct port_where *w)
{
	const ElfW(Sym) *symbols = dynamic(m, DT_SYMTAB);
	const char *names = dynamic(m, DT_STRTAB);
	const uint32_t *hash = dynamic(m, DT_GNU_HASH);

	for (uint32_t i = 0, n = symbols && names && hash ? nsymbols(hash) : 0; i < n; i++) {
		const ElfW(Sym) *s = &symbols[i];
		unsigned type = s->st_info & 0xf;

		if (s->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_OBJECT) ||
		    at - s->st_value >= s->st_size)
			continue;
		w->symbol = names + s->st_name;
		w->symbol_offset = at - s->st_value;
		return;
	}
}

bool port_where(const void *address, struct port_where *w)
{
	const struct link_map *m = object(address);

	if (!m)
		return false;
	*w = (struct port_where){ .module = *m->l_name ? m->l_name : program,
				  .module_offset = (uintptr_t)address - m->l_addr };
	symbol(m, w->module_offset, w);
	return true;
}

bool port_in_object(const void *address)
{
	return object(address) != NULL;
}

/*
 * Is it of the library? Never if the library is linked into the program, as then all code would be.
 */
static bool own(const void *address)
{
	const struct link_map *m = object((const void *)port_stack);

	return m && *m->l_name && object(address) == m;
}
#else
bool port_where(const void *address, struct port_where *w)
{
	Dl_info info;

	if (!dladdr(address, &info))
		return false;
	w->module = info.dli_fname;
	w->module_offset = (uintptr_t)address - (uintptr_t)info.dli_fbase;
	w->symbol = info.dli_sname;
	w->symbol_offset = (uintptr_t)address - (uintptr_t)info.dli_saddr;
	return true;
}

bool port_in_object(const void *address)
{
	Dl_info info;

	return dladdr(address, &info) != 0;
}

static bool own(const void *address)
{
	Dl_info a, b, start;

	return dladdr(address, &a) && dladdr((void *)port_stack, &b) &&
	       a.dli_fbase == b.dli_fbase &&
	       (!dladdr((void *)getauxval(AT_ENTRY), &start) || start.dli_fbase != b.dli_fbase);
}
#endif

uint32_t port_stack(void **frames, uint32_t max)
{
	bool can = load(&primed) || (load(&late) && frames_known());
	uint32_t n = can ? backtrace(frames, max) : 0, skip = 1;

	while (skip < n && own(frames[skip]))
		skip++;
	if (skip >= n)
		return 0;
	memmove(frames, frames + skip, (n - skip) * sizeof(*frames));
	return n - skip;
}

/* One byte before, as the call may be the last instruction of a function that does not return. */
static bool returns_to(uintptr_t frame, const void *start, size_t size)
{
	return frame - 1 - (uintptr_t)start < size;
}

/*
 * Without an unwinder, as with musl, every word on the stack is treated as a return address. A
 * stale word of an earlier call may be mistaken for one; but a function that does not return, like
 * exit(), leaves no stale words.
 */
static bool stack_has(const void *start, size_t size)
{
	const uintptr_t *at = __builtin_frame_address(0), *end;
	pthread_attr_t attr;
	size_t bytes;
	void *low;

	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return false;
	pthread_attr_getstack(&attr, &low, &bytes);
	pthread_attr_destroy(&attr);
	end = (const uintptr_t *)low + bytes / sizeof(*end);
	if ((const void *)at < low)
		return false;
	while (at < end)
		if (returns_to(*at++, start, size))
			return true;
	return false;
}

bool port_called_from(const void *start, size_t size)
{
	void *frames[256];
	int n = backtrace(frames, ARRAY_SIZE(frames));

	for (int i = 0; i < n; i++)
		if (returns_to((uintptr_t)frames[i], start, size))
			return true;
	return n == 0 && stack_has(start, size);
}

_Noreturn void port_bug(const char *format, ...)
{
	void *frames[32];
	va_list args;
	int n;

	va_start(args, format);
	report(format, &args);
	va_end(args);
	n = load(&primed) ? backtrace(frames, ARRAY_SIZE(frames)) : 0;
	for (int i = 1; i < n; i++)
		port_report("  #%u %a", (uint64_t)i, frames[i]);
	abort();
}

/*
 * The stack of another thread: SIGURG asks the thread for it. The default action of SIGURG is to
 * ignore it, so a program that uses it has installed a handler, and we then do not use it. Our
 * handler stays once it is installed, so that we never remove a handler that the program installs
 * meanwhile. The unwinder is loaded here, not in the handler. The handler writes the answer to
 * static memory, as a thread that has the signal blocked may answer after we have given up.
 */
static struct {
	uint32_t tid;
	uint32_t answered;
	int n;
	void *frames[64];
} asked;

static void on_asked(int sig)
{
	(void)sig;
	if (load(&asked.tid) != port_tid() || load(&asked.answered))
		return;
	asked.n = backtrace(asked.frames, ARRAY_SIZE(asked.frames));
	store_release(&asked.answered, 1);
	port_wake(&asked.answered);
}

static uint32_t ask(uint32_t tid, void **frames, uint32_t max, uint64_t ns)
{
	const int skip = 2; /* the handler and the kernel's return from it */
	struct sigaction sa = { .sa_handler = on_asked, .sa_flags = SA_RESTART | SA_ONSTACK },
			 former;
	uint64_t give_up = port_now() + ns;
	uint32_t n = 0;

	if (sigaction(SIGURG, NULL, &former) ||
	    (former.sa_handler != SIG_DFL && former.sa_handler != on_asked))
		return 0;
	if (sigaction(SIGURG, &sa, &former))
		return 0;
	/* the program has installed a handler in between */
	if (former.sa_handler != SIG_DFL && former.sa_handler != on_asked) {
		sigaction(SIGURG, &former, NULL);
		return 0;
	}
	store(&asked.answered, 0);
	store_release(&asked.tid, tid);
	if (sys(SYS_tgkill, getpid(), tid, SIGURG) == 0)
		while (!load_acquire(&asked.answered) && port_now() < give_up)
			port_wait(&asked.answered, 0, give_up - port_now());
	store(&asked.tid, 0);
	if (load_acquire(&asked.answered))
		for (int i = skip; i < asked.n && n < max; i++)
			frames[n++] = asked.frames[i];
	return n;
}

/* The place where it sleeps, if it does: the last number in this file is its program counter. */
static uint32_t look(uint32_t tid, void **frames)
{
	struct text path = { .left = sizeof(path.s) - 1 };
	char buf[256], *last;
	long n;
	int fd;

	put(&path, "/proc/self/task/");
	put_number(&path, tid, 10);
	put(&path, "/syscall");
	fd = open(path.s, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	last = strrchr(buf, ' ');
	if (!last || strncmp(last, " 0x", 3))
		return 0;
	frames[0] = (void *)(uintptr_t)strtoull(last + 1, NULL, 16);
	return 1;
}

uint32_t port_stack_of(uint32_t tid, void **frames, uint32_t max, uint64_t ns)
{
	/* the process in which a thread runs this; so it does not block the child of a fork */
	static uint32_t asking;
	uint32_t n, me = getpid();
	int saved = errno, cancel;

	if (xchg(&asking, me) == me)
		return 0;
	cancel = port_cancel_off();
	port_stack_prime();
	n = ask(tid, frames, max, ns);
	if (!n)
		n = look(tid, frames);
	port_cancel_on(cancel);
	store_release(&asking, 0);
	errno = saved;
	return n;
}
