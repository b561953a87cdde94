/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Symbols and stacks that the test makes up, in place of what the loader and the unwinder say; and
 * text that is written in pieces.
 */
#define _GNU_SOURCE
#include "test_platform.h"
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static char code[64]; /* eight functions of eight bytes */

/* ---- the unwinder ---- */

static void *made_up[8];
static int made_up_frames; /* -1: no frames are made up */

/* As libc's, without its own frame. */
int backtrace(void **frames, int max)
{
	static __typeof__(backtrace) *real;
	void *all[300];
	int n;

	if (made_up_frames >= 0) {
		/* what is behind the last one does not count */
		memcpy(frames, made_up, (made_up_frames + 1) * sizeof(*frames));
		return made_up_frames;
	}
	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "backtrace");
	n = real(all, max + 1 < 300 ? max + 1 : 300) - 1;
	memcpy(frames, all + 1, (n > 0 ? n : 0) * sizeof(*frames));
	return n > 0 ? n : 0;
}

__attribute__((constructor(102))) static void nothing_is_made_up(void)
{
	made_up_frames = -1;
}

static bool called_from_code(int n, uintptr_t last, uintptr_t behind)
{
	bool called;

	memset(made_up, 0, sizeof(made_up));
	made_up[n - 1] = (void *)last;
	made_up[n] = (void *)behind;
	made_up_frames = n;
	called = port_called_from(code, 16);
	made_up_frames = -1;
	return called;
}

/* A return address is behind the call, which may be a function's last instruction. */
static void return_addresses_are_compared(void **state)
{
	uintptr_t start = (uintptr_t)code;

	assert_false(called_from_code(1, start, 0));
	assert_true(called_from_code(1, start + 1, 0));
	assert_true(called_from_code(3, start + 16, 0));
	assert_false(called_from_code(3, start + 17, 0));
	assert_false(called_from_code(3, 0, start + 1));
}

static char nowhere[16];
static volatile bool from_here, from_nowhere;

static void no_unwinder(void **state)
{
	made_up_frames = 0;
	from_here = port_called_from((const void *)no_unwinder, 200);
	from_nowhere = port_called_from(nowhere, sizeof(nowhere));
	made_up_frames = -1;
	assert_true(from_here);
	assert_false(from_nowhere);
}

static void on_other_stack(int sig)
{
	made_up_frames = 0;
	from_nowhere = port_called_from(nowhere, sizeof(nowhere));
	made_up_frames = -1;
}

/* On another stack, whose end is not known, there is nothing to search. */
static void no_unwinder_on_other_stack(void **state)
{
	static char memory[1 << 16];
	stack_t other = { .ss_sp = memory, .ss_size = sizeof(memory) }, former;
	struct sigaction sa = { .sa_handler = on_other_stack, .sa_flags = SA_ONSTACK }, before;

	sigaltstack(&other, &former);
	sigaction(SIGUSR1, &sa, &before);
	from_nowhere = true;
	raise(SIGUSR1);
	assert_false(from_nowhere);
	sigaction(SIGUSR1, &before, NULL);
	sigaltstack(&former, NULL);
}

static uint32_t other_tid, other_goes_on;

static void *other(void *unused)
{
	store_release(&other_tid, port_tid());
	port_wake(&other_tid);
	while (!load_acquire(&other_goes_on))
		port_wait(&other_goes_on, 0, 0);
	return unused;
}

/* Two of another thread's frames are those of the request. */
static void frames_of_request_are_skipped(void **state)
{
	void *frames[8] = { NULL };
	pthread_t thread;
	uint32_t n;

	pthread_create(&thread, NULL, other, NULL);
	while (!load_acquire(&other_tid))
		port_wait(&other_tid, 0, 0);
	port_stack_prime();
	for (uintptr_t i = 0; i < 8; i++)
		made_up[i] = code + i;
	made_up_frames = 4;
	n = port_stack_of(other_tid, frames, 8, UINT64_C(60000000000));
	made_up_frames = -1;
	assert_int_equal(n, 2);
	assert_ptr_equal(frames[0], code + 2);
	assert_ptr_equal(frames[1], code + 3);
	assert_null(frames[2]);
	store_release(&other_goes_on, 1);
	port_wake(&other_goes_on);
	pthread_join(thread, NULL);
}

/* ---- the loader ---- */

#if __GLIBC_PREREQ(2, 35)
static const char names[] = "\0f1\0f2\0f3\0f4\0f5\0f6\0f7";
static ElfW(Sym) symbols[8];
/* buckets, the first symbol, words of the filter, its shift; the filter; buckets; chains */
static uint32_t hash[32];
static ElfW(Dyn) dynamic[] = {
	{ .d_tag = DT_SYMTAB, .d_un.d_ptr = (uintptr_t)symbols },
	{ .d_tag = DT_STRTAB, .d_un.d_ptr = (uintptr_t)names },
	{ .d_tag = DT_GNU_HASH, .d_un.d_ptr = (uintptr_t)hash },
	{ .d_tag = DT_NULL },
};
static struct link_map map = { .l_name = (char *)"made up", .l_ld = dynamic };

static bool library_made_up; /* its code is the made-up functions */

int _dl_find_object(void *address, struct dl_find_object *found)
{
	static __typeof__(_dl_find_object) *real;

	if (((char *)address >= code && (char *)address < code + sizeof(code)) ||
	    (library_made_up && address == (void *)port_stack)) {
		found->dlfo_link_map = &map;
		return 0;
	}
	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "_dl_find_object");
	return real(address, found);
}

/* The table's buckets, and for each symbol whether it is the last of its chain. */
static void make_table(uint32_t nbuckets, const uint32_t *buckets, const uint32_t *last)
{
	for (unsigned i = 1; i < 8; i++)
		symbols[i] = (ElfW(Sym)){ .st_name = 3 * i - 2,
					  .st_value = (uintptr_t)&code[8 * i],
					  .st_size = 8,
					  .st_info = STT_FUNC,
					  .st_shndx = 1 };
	memset(hash, 0, sizeof(hash));
	hash[0] = nbuckets;
	hash[1] = hash[2] = 1;
	memcpy(hash + 4 + sizeof(ElfW(Addr)) / 4, buckets, nbuckets * sizeof(*buckets));
	memcpy(hash + 4 + sizeof(ElfW(Addr)) / 4 + nbuckets, last, 7 * sizeof(*last));
}

/* The symbols from the first to this are found, and none behind, of which the table has none. */
static void symbols_until(unsigned n)
{
	for (unsigned i = 1; i < 8; i++) {
		struct port_where w = { 0 };
		char name[3] = { 'f', (char)('0' + i) };

		assert_true(port_where(&code[8 * i + 3], &w));
		assert_string_equal(w.module, "made up");
		if (i > n) {
			assert_null(w.symbol);
			continue;
		}
		assert_string_equal(w.symbol, name);
		assert_int_equal(w.symbol_offset, 3);
	}
}

/* How many symbols there are is known from the last chain of the hash table. */
static void last_symbol_is_found(void **state)
{
	make_table(2, (uint32_t[]){ 1, 3 }, (uint32_t[]){ 2, 3, 8, 6, 5, 0, 1 });
	symbols_until(5);
	make_table(3, (uint32_t[]){ 3, 1, 0 }, (uint32_t[]){ 2, 3, 8, 6, 5, 0, 1 });
	symbols_until(5);
	make_table(1, (uint32_t[]){ 1 }, (uint32_t[]){ 1, 1, 1, 1, 1, 1, 1 });
	symbols_until(1);
	make_table(2, (uint32_t[]){ 0, 0 }, (uint32_t[]){ 1, 1, 1, 1, 1, 1, 1 });
	symbols_until(0);
}

/* If all frames are the library's, no more are looked at than there are. */
static void no_frame_behind_last(void **state)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	char *memory =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void **frames = (void **)(void *)(memory + page) - 4; /* and one that is made up behind */
	uint32_t n;

	assert_true(memory != MAP_FAILED);
	assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
	port_stack_prime();
	for (unsigned i = 0; i < 4; i++)
		made_up[i] = code + i;
	library_made_up = true;
	made_up_frames = 3;
	n = port_stack(frames, 3);
	made_up_frames = -1;
	library_made_up = false;
	assert_int_equal(n, 0);
	munmap(memory, 2 * page);
}
#endif

/* ---- text in pieces ---- */

static char text[200000];
static uint32_t written;

static void interrupts(int sig)
{
}

static void *writes(void *unused)
{
	port_text(text);
	store_release(&written, 1);
	return unused;
}

/* A signal interrupts the call when the pipe is full: the rest is written by another. */
static void text_is_written_in_pieces(void **state)
{
	struct sigaction sa = { .sa_handler = interrupts }, before;
	int pipes[2], pending = 0, capacity;
	static char buffer[4096];
	char file[32];
	size_t n = 0;
	pthread_t thread;

	sigaction(SIGUSR1, &sa, &before);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(pipe(pipes), 0);
	capacity = fcntl(pipes[1], F_GETPIPE_SZ);
	assert_true(capacity > 0 && capacity < (int)sizeof(text));
	snprintf(file, sizeof(file), "/proc/self/fd/%d", pipes[1]);
	port_text_to(file);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	pthread_create(&thread, NULL, writes, NULL);
	while (pending < capacity) {
		sched_yield();
		ioctl(pipes[0], FIONREAD, &pending);
	}
	pthread_kill(thread, SIGUSR1);
	for (;;) {
		bool over = load_acquire(&written);
		ssize_t got = read(pipes[0], buffer, sizeof(buffer));

		n += got > 0 ? got : 0;
		if (got <= 0 && over)
			break;
		if (got <= 0)
			sched_yield();
	}
	pthread_join(thread, NULL);
	assert_int_equal(n, sizeof(text) - 1);
	port_text_to("/dev/stderr");
	close(pipes[0]);
	close(pipes[1]);
	sigaction(SIGUSR1, &before, NULL);
}

int platform_where(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(return_addresses_are_compared),
		cmocka_unit_test(no_unwinder),
		cmocka_unit_test(no_unwinder_on_other_stack),
		cmocka_unit_test(frames_of_request_are_skipped),
#if __GLIBC_PREREQ(2, 35)
		cmocka_unit_test(last_symbol_is_found),
		cmocka_unit_test(no_frame_behind_last),
#endif
		cmocka_unit_test(text_is_written_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
