/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The POSIX platform by itself, linked into the program: reports, stacks, memory, and what it tells
 * checkers, whose interfaces the test has in their place. The rest is in test_platform_tasks.c,
 * test_platform_where.c, test_platform_refused.c and test_platform_waits.c.
 *
 * The program is linked with the hash table of System V alone, so its own symbols are not found.
 */
#define _GNU_SOURCE
#include "test_platform.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- what is written ---- */

static char written[4096];

/* What @f writes to file @fd. */
static const char *written_by(int fd, void (*f)(void))
{
	int pipes[2], saved = dup(fd);
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], fd);
	f();
	dup2(saved, fd);
	close(saved);
	close(pipes[1]);
	n = read(pipes[0], written, sizeof(written) - 1);
	close(pipes[0]);
	written[n > 0 ? n : 0] = '\0';
	return written;
}

static void all_conversions(void)
{
	errno = 77;
	port_report("a%sb %u %u %d %d %x %p %", "text", UINT64_MAX, UINT64_C(0), INT64_MIN,
		    INT64_C(17), UINT64_C(0xfedcba9876543210), (void *)0x1f);
	assert_int_equal(errno, 77);
}

static void reports_are_formatted(void **state)
{
	assert_string_equal(written_by(2, all_conversions),
			    "anyrcu: atextb 18446744073709551615 0 -9223372036854775808 17 "
			    "fedcba9876543210 0x1f %\n");
}

static char long_text[1100];

static void report_long(void)
{
	port_report("%s", long_text);
}

static void long_reports_are_cut(void **state)
{
	memset(long_text, 'x', sizeof(long_text) - 1);
	assert_int_equal(strlen(written_by(2, report_long)), 1024);
	assert_int_equal(written[1022], 'x');
	assert_int_equal(written[1023], '\n');
	long_text[1024 - 9] = '\0'; /* with its prefix and the end of its line it just fits */
	assert_int_equal(strlen(written_by(2, report_long)), 1024);
	assert_int_equal(written[1022], 'x');
}

static const void *address;

static void report_address(void)
{
	port_report("%a", address);
}

static void addresses_have_symbols(void **state)
{
	char expected[600];
	Dl_info info;

	address = (const char *)dlsym(RTLD_DEFAULT, "qsort") + 4;
	assert_true(dladdr(address, &info));
	snprintf(expected, sizeof(expected), "anyrcu: %p %s+0x4\n", address, info.dli_sname);
	assert_string_equal(written_by(2, report_address), expected);

	address = (const void *)report_address;
	assert_true(dladdr(address, &info));
	assert_null(info.dli_sname);
	snprintf(expected, sizeof(expected), "anyrcu: %p %s+0x%lx\n", address, info.dli_fname,
		 (uintptr_t)address - (uintptr_t)info.dli_fbase);
	assert_string_equal(written_by(2, report_address), expected);

	address = expected; /* on the stack */
	snprintf(expected, sizeof(expected), "anyrcu: %p\n", address);
	assert_string_equal(written_by(2, report_address), expected);
}

static void no_such_file(void)
{
	port_text_to("/nonexistent/file");
}

static void write_text(void)
{
	port_text("one\ntwo\n");
}

static void text_goes_to_file(void **state)
{
	char name[] = "/tmp/anyrcu-text-XXXXXX", content[32] = "";
	int fd = mkstemp(name);

	assert_string_equal(written_by(2, no_such_file),
			    "anyrcu: /nonexistent/file cannot be opened; reports go to standard "
			    "error\n");
	port_text_to(NULL);
	port_text_to("");
	assert_string_equal(written_by(2, write_text), "one\ntwo\n");
	assert_int_equal(write(fd, "zero\n", 5), 5);
	port_text_to(name);
	assert_string_equal(written_by(2, write_text), "");
	assert_int_equal(pread(fd, content, sizeof(content), 0), 13);
	assert_string_equal(content, "zero\none\ntwo\n");
	close(fd);
	unlink(name);
	if (access("/dev/full", W_OK) == 0) {
		port_text_to("/dev/full");
		port_text("lost");
	}
	port_text_to("/dev/stderr");
}

/* ---- where ---- */

static void places_are_found(void **state)
{
	char program[256] = "";
	ElfW(Sym) * entry;
	struct port_where w = { 0 };
	const char *start = dlsym(RTLD_DEFAULT, "qsort");
	Dl_info info;

	assert_true(dladdr1(start, &info, (void **)&entry, RTLD_DL_SYMENT));
	for (size_t at = 0; at < entry->st_size; at += entry->st_size - 1) {
		assert_true(port_where(start + at, &w));
		assert_string_equal(w.module, info.dli_fname);
		assert_int_equal(w.module_offset, start + at - (char *)info.dli_fbase);
		assert_string_equal(w.symbol, "qsort");
		assert_int_equal(w.symbol_offset, at);
	}
	assert_true(port_where(start + entry->st_size, &w));
	assert_true(!w.symbol || strcmp(w.symbol, "qsort") != 0);
	assert_true(port_where(dlsym(RTLD_DEFAULT, "program_invocation_name"), &w));
	assert_non_null(w.symbol);
	assert_int_equal(w.symbol_offset, 0);

	assert_true(port_where((const void *)places_are_found, &w));
	assert_true(dladdr((const void *)places_are_found, &info));
	assert_int_equal(w.module_offset, (char *)places_are_found - (char *)info.dli_fbase);
	assert_null(w.symbol);
	assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
	assert_string_equal(w.module, program);

	assert_false(port_where(program, &w));
	assert_false(port_in_object(program));
	assert_true(port_in_object((const void *)places_are_found));
	assert_true(port_in_object(start));
}

/* ---- stacks ---- */

static bool inside(const void *frame, void (*f)(void **), size_t size)
{
	return (uintptr_t)frame - (uintptr_t)f < size;
}

/* Before port_stack_prime() there is none. The program's own frames are not the library's. */
static void stack_is_of_caller(void **state)
{
	void *frames[64];
	uint32_t n;

	assert_int_equal(port_stack(frames, 64), 0);
	port_stack_prime();
	n = port_stack(frames, 64);
	assert_true(n > 3);
	assert_true(inside(frames[0], stack_is_of_caller, 400));
	assert_int_equal(port_stack(frames, 3), 2);
	assert_true(inside(frames[0], stack_is_of_caller, 400));
	assert_true(port_called_from((const void *)stack_is_of_caller, 400));
	assert_false(port_called_from((const void *)inside, 1));
}

static void make_bug(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		port_bug("%s", "mistake");
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void bug_shows_stack(void **state)
{
	const char *text = written_by(2, make_bug);

	assert_int_equal(strncmp(text, "anyrcu: mistake\nanyrcu:   #1 0x", 31), 0);
	assert_non_null(strstr(text, "\nanyrcu:   #2 0x"));
}

static uint32_t other_tid, other_goes_on;
static sigset_t other_blocks;

static void *other(void *unused)
{
	pthread_sigmask(SIG_BLOCK, &other_blocks, NULL);
	store_release(&other_tid, port_tid());
	port_wake(&other_tid);
	while (!load_acquire(&other_goes_on))
		port_wait(&other_goes_on, 0, 0);
	return unused;
}

static pthread_t other_starts(void)
{
	pthread_t thread;

	store(&other_tid, 0);
	store(&other_goes_on, 0);
	pthread_create(&thread, NULL, other, NULL);
	while (!load_acquire(&other_tid))
		port_wait(&other_tid, 0, 0);
	return thread;
}

static void other_ends(pthread_t thread)
{
	store_release(&other_goes_on, 1);
	port_wake(&other_goes_on);
	pthread_join(thread, NULL);
}

static bool is_of_other(void *const *frames, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if ((uintptr_t)frames[i] - (uintptr_t)other < 400)
			return true;
	return false;
}

static void own_handler(int sig)
{
	(void)sig;
}

/* Another thread's stack; of one that takes no SIGURG, or if it is the program's, where it is. */
static void stack_of_other(void **state)
{
	const uint64_t patience = UINT64_C(60000000000), none = 1000000;
	pthread_t thread = other_starts();
	void *frames[64];
	uint32_t n;

	errno = 78;
	n = port_stack_of(other_tid, frames, 64, patience);
	assert_int_equal(errno, 78);
	assert_true(n > 2);
	assert_true(is_of_other(frames, n));
	assert_int_equal(port_stack_of(other_tid, frames, 1, patience), 1);
	other_ends(thread);
	assert_int_equal(port_stack_of(other_tid, frames, 64, none), 0); /* it has ended */

	sigaddset(&other_blocks, SIGURG);
	thread = other_starts();
	do /* until it sleeps */
		n = port_stack_of(other_tid, frames, 64, none);
	while (n == 0);
	assert_int_equal(n, 1);
	other_ends(thread);

	sigemptyset(&other_blocks);
	signal(SIGURG, own_handler);
	thread = other_starts();
	do
		n = port_stack_of(other_tid, frames, 64, patience);
	while (n == 0);
	assert_int_equal(n, 1);
	assert_ptr_equal(signal(SIGURG, SIG_DFL), own_handler);
	other_ends(thread);
}

/* ---- memory ---- */

static size_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * 4096;
}

static void mappings_are_aligned(void **state)
{
	size_t before;

	address_space(); /* stdio has its buffers now */
	before = address_space();
	for (size_t align = 4096; align <= 1 << 21; align *= 2) {
		for (unsigned i = 0; i < 4; i++) {
			size_t size = 4096 + 8192 * i;
			char *p = port_map(size, align);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_int_equal(address_space(), before + size);
			for (size_t at = 0; at < size; at += 512)
				assert_int_equal(p[at], 0);
			memset(p, 1, size);
			port_discard(p, 4096);
			assert_int_equal(p[0], 0);
			assert_int_equal(p[4095], 0);
			assert_true(size == 4096 || p[4096] == 1);
			port_unmap(p, size);
			assert_int_equal(address_space(), before);
		}
	}
	port_unmap(NULL, 0);
}

/* An object so large that malloc() maps it. */
static void freed_memory_goes_back(void **state)
{
	size_t before = address_space();
	void *p = malloc(64 << 20);

	assert_non_null(p);
	assert_true(address_space() >= before + (64 << 20));
	port_free(p);
	assert_int_equal(address_space(), before);
}

static void refused(struct rlimit limit, int what)
{
	struct rlimit former;
	size_t before = address_space();

	getrlimit(what, &former);
	limit.rlim_max = former.rlim_max;
	setrlimit(what, &limit);
	errno = 79;
	assert_null(port_map(1 << 20, 4096));
	assert_null(port_map(1 << 20, 1 << 21));
	assert_int_equal(errno, 79);
	setrlimit(what, &former);
	assert_int_equal(address_space(), before);
}

static void refusals_leave_nothing(void **state)
{
	/* Of a program that is not position-independent. */
	char *p, *low = mmap((void *)0x80000, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	refused((struct rlimit){ .rlim_cur = 4096 }, RLIMIT_DATA);
	refused((struct rlimit){ .rlim_cur = 4096 }, RLIMIT_AS);
	if (low != MAP_FAILED)
		munmap(low, 4096);
	p = port_reserve(8192, 4096);
	assert_non_null(p);
	assert_true(port_commit(p + 4096, 4096));
	p[4096] = 1;
	port_unmap(p, 8192);
	assert_false(port_commit(p, 8192));
}

/* ---- checkers ---- */

static struct {
	const volatile void *p;
	size_t size;
	char what; /* acquire, release, root, no root, poison, unpoison */
	unsigned calls;
} told;

static void tell(char what, const volatile void *p, size_t size)
{
	told.what = what;
	told.p = p;
	told.size = size;
	told.calls++;
}

void __tsan_acquire(void *p)
{
	tell('a', p, 0);
}

void __tsan_release(void *p)
{
	tell('r', p, 0);
}

void __lsan_register_root_region(const void *p, size_t size)
{
	tell('+', p, size);
}

void __lsan_unregister_root_region(const void *p, size_t size)
{
	tell('-', p, size);
}

void __asan_poison_memory_region(const volatile void *p, size_t size)
{
	tell('p', p, size);
}

void __asan_unpoison_memory_region(const volatile void *p, size_t size)
{
	tell('u', p, size);
}

static void was_told(char what, const void *p, size_t size)
{
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.what, what);
	assert_ptr_equal(told.p, p);
	assert_int_equal(told.size, size);
	told.calls = 0;
}

static void checkers_are_told(void **state)
{
	char object[64], pool;

	assert_true(port_checked);
	assert_true(port_memory_checked);
	told.calls = 0;
	port_acquire(object);
	was_told('a', object, 0);
	port_release(object);
	was_told('r', object, 0);
	port_checker_root(object, 64, true);
	was_told('+', object, 64);
	port_checker_root(object, 64, false);
	was_told('-', object, 64);
	port_checker_access(object, 64, true);
	was_told('u', object, 64);
	port_checker_access(object, 64, false);
	was_told('p', object, 64);
	port_checker_alloc(&pool, object, 32);
	was_told('u', object, 32);
	port_checker_free(&pool, object, 32);
	was_told('p', object, 32);
	port_checker_pool(&pool, true);
	port_checker_pool(&pool, false);
	assert_int_equal(told.calls, 0);
	assert_null(port_checker_block(object + 8)); /* memcheck does not watch */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stack_is_of_caller),	  cmocka_unit_test(reports_are_formatted),
		cmocka_unit_test(long_reports_are_cut),	  cmocka_unit_test(addresses_have_symbols),
		cmocka_unit_test(text_goes_to_file),	  cmocka_unit_test(places_are_found),
		cmocka_unit_test(bug_shows_stack),	  cmocka_unit_test(stack_of_other),
		cmocka_unit_test(mappings_are_aligned),	  cmocka_unit_test(freed_memory_goes_back),
		cmocka_unit_test(refusals_leave_nothing), cmocka_unit_test(checkers_are_told),
	};

	if (platform_runs_again(argc, argv))
		return 0;
	return platform_tasks() + cmocka_run_group_tests(tests, NULL, NULL) + platform_where() +
	       platform_refused() + platform_waits();
}
