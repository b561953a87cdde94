/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What this library tells external checkers that watch a program: ThreadSanitizer, helgrind,
 * LeakSanitizer, AddressSanitizer, memcheck.
 *
 * A program may be built with -fsanitize=thread while this library is not, and helgrind does not
 * support atomics at all. They then see the program's accesses, but not the library's atomics that
 * order them, and report races where there are none. So wherever the library's atomics order
 * earlier accesses of the program before later ones, both sides call a function here with a common
 * address. ThreadSanitizer's runtime is found by weak symbols of its public interface; valgrind by
 * its client requests, if its header was present when the library was built.
 */
#define _GNU_SOURCE
#include <link.h>
#include <port/process.h>
#include <port/posix/init.h>

#if defined(PORT_VALGRIND)
#include <valgrind/helgrind.h>
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define ANNOTATE_HAPPENS_BEFORE(p) ((void)(p))
#define ANNOTATE_HAPPENS_AFTER(p) ((void)(p))
#define VALGRIND_HG_DISABLE_CHECKING(p, size) ((void)(p))
#define VALGRIND_GET_VBITS(p, bits, size) ((void)(p), (void)(bits), 0)
#define VALGRIND_MAKE_MEM_NOACCESS(p, size) ((void)(p))
#define VALGRIND_MAKE_MEM_UNDEFINED(p, size) ((void)(p))
#define VALGRIND_CREATE_MEMPOOL(pool, zone, zeroed) ((void)(pool))
#define VALGRIND_DESTROY_MEMPOOL(pool) ((void)(pool))
#define VALGRIND_MEMPOOL_ALLOC(pool, p, size) ((void)(pool))
#define VALGRIND_MEMPOOL_FREE(pool, p) ((void)(pool))
#endif

void __tsan_acquire(void *p) __attribute__((weak));
void __tsan_release(void *p) __attribute__((weak));
void __lsan_register_root_region(const void *p, size_t size) __attribute__((weak));
void __lsan_unregister_root_region(const void *p, size_t size) __attribute__((weak));
void __asan_poison_memory_region(const volatile void *p, size_t size) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *p, size_t size) __attribute__((weak));

bool port_checked, port_memory_checked;

/* Of the static library; the linker defines them. See scripts/archive.sh. */
extern char __start_anyrcu_data[] __attribute__((weak, visibility("hidden")));
extern char __stop_anyrcu_data[] __attribute__((weak, visibility("hidden")));
extern char __start_anyrcu_bss[] __attribute__((weak, visibility("hidden")));
extern char __stop_anyrcu_bss[] __attribute__((weak, visibility("hidden")));

/*
 * The library accesses its variables by atomics, which helgrind reports as races; so checking is
 * turned off for them. Those of the shared library are all that its segment has.
 */
static int library_atomic(struct dl_phdr_info *info, size_t size, void *unused)
{
	uintptr_t here = (uintptr_t)&port_checked - info->dlpi_addr;

	for (const ElfW(Phdr) *p = info->dlpi_phdr; p < info->dlpi_phdr + info->dlpi_phnum; p++) {
		if (p->p_type == PT_LOAD && here - p->p_vaddr < p->p_memsz) {
			if (info->dlpi_name[0])
				port_checker_atomic((void *)(info->dlpi_addr + p->p_vaddr),
						    p->p_memsz);
			return 1;
		}
	}
	return 0;
}

__attribute__((constructor(101))) static void checker_find(void)
{
	bool valgrind = RUNNING_ON_VALGRIND;

	if (valgrind && __start_anyrcu_bss) {
		port_checker_atomic(__start_anyrcu_data, __stop_anyrcu_data - __start_anyrcu_data);
		port_checker_atomic(__start_anyrcu_bss, __stop_anyrcu_bss - __start_anyrcu_bss);
	} else if (valgrind) {
		dl_iterate_phdr(library_atomic, NULL);
	}
	port_checked = __tsan_acquire || valgrind;
	port_memory_checked =
		(__asan_poison_memory_region && __asan_unpoison_memory_region) || valgrind;
}

void port_checker_atomic(const void *p, size_t size)
{
	VALGRIND_HG_DISABLE_CHECKING(p, size);
}

void port_checker_released(const void *p)
{
	port_checker_atomic(p, sizeof(uint32_t));
	if (__tsan_release)
		__tsan_release((void *)p);
	ANNOTATE_HAPPENS_BEFORE(p);
}

void port_checker_acquired(const void *p)
{
	if (__tsan_acquire)
		__tsan_acquire((void *)p);
	ANNOTATE_HAPPENS_AFTER(p);
}

#define BLOCK_MAX 4096

/*
 * memcheck treats an object as possibly lost if there are only pointers into its middle. Its blocks
 * begin at multiples of 16, and the bytes before a block cannot be accessed. An object that is not
 * of malloc() may have many accessible bytes before it, and is never reported as lost.
 */
void *port_checker_block(const void *p)
{
	const char *begin = (const char *)((uintptr_t)p & ~(uintptr_t)15);
	unsigned char bits __attribute__((unused)); /* used if valgrind supports the machine */

	if (VALGRIND_GET_VBITS(begin, &bits, 1) != 1)
		return NULL;
	for (unsigned i = 0; VALGRIND_GET_VBITS(begin - 1, &bits, 1) == 1; i++, begin -= 16)
		if (i == BLOCK_MAX / 16)
			return NULL;
	return begin == p ? NULL : (void *)begin;
}

/*
 * The thread's vector of TLS blocks: the ABI stores its address in the thread's control block; in
 * glibc this points to the second element of the allocated memory.
 */
void *port_checker_thread(void)
{
	char *vector = NULL;

	if (!port_checked)
		return NULL;
#if defined(__GLIBC__) && defined(__x86_64__)
	__asm__("movq %%fs:8, %0" : "=r"(vector));
#elif defined(__GLIBC__) && defined(__aarch64__)
	vector = *(char **)__builtin_thread_pointer();
#endif
	return vector ? vector - 2 * sizeof(void *) : NULL;
}

void port_checker_root(const void *p, size_t size, bool add)
{
	if (add && __lsan_register_root_region)
		__lsan_register_root_region(p, size);
	else if (!add && __lsan_unregister_root_region)
		__lsan_unregister_root_region(p, size);
}

void port_checker_access(const void *p, size_t size, bool may)
{
	if (may) {
		if (__asan_unpoison_memory_region)
			__asan_unpoison_memory_region(p, size);
		VALGRIND_MAKE_MEM_UNDEFINED(p, size);
	} else {
		if (__asan_poison_memory_region)
			__asan_poison_memory_region(p, size);
		VALGRIND_MAKE_MEM_NOACCESS(p, size);
	}
}

/* For each object of a pool, memcheck records where it was allocated and freed. */
void port_checker_pool(const void *pool, bool begins)
{
	if (begins)
		VALGRIND_CREATE_MEMPOOL(pool, 0, 0);
	else
		VALGRIND_DESTROY_MEMPOOL(pool);
}

void port_checker_alloc(const void *pool, const void *p, size_t size)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(p, size);
	VALGRIND_MEMPOOL_ALLOC(pool, p, size);
}

void port_checker_free(const void *pool, const void *p, size_t size)
{
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(p, size);
	VALGRIND_MEMPOOL_FREE(pool, p);
}
