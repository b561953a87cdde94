/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/posix/sys.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

static void *map(size_t size, int prot)
{
	int saved = errno;
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = saved;
	if (p == MAP_FAILED)
		return NULL;
	port_checker_atomic(p, size);
	return p;
}

/*
 * Reserved memory is not writable, so RLIMIT_DATA does not count it, and mlockall() does not
 * allocate it.
 */
void *port_reserve(size_t size, size_t align)
{
	char *p = map(size + align, PROT_NONE), *aligned;

	if (!p)
		return NULL;
	aligned = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	if (aligned > p)
		port_unmap(p, aligned - p);
	port_unmap(aligned + size, p + align - aligned);
	return aligned;
}

uint64_t port_address_space(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ?
		       limit.rlim_cur :
		       UINT64_MAX;
}

bool port_commit(void *p, size_t size)
{
	return sys(SYS_mprotect, p, size, PROT_READ | PROT_WRITE) == 0;
}

void port_discard(void *p, size_t size)
{
	sys(SYS_madvise, p, size, MADV_DONTNEED);
}

void *port_map(size_t size, size_t align)
{
	void *p;

	if (align <= 4096)
		return map(size, PROT_READ | PROT_WRITE);
	p = port_reserve(size, align);
	if (!p || port_commit(p, size))
		return p;
	port_unmap(p, size);
	return NULL;
}

void port_unmap(void *p, size_t size)
{
	if (size)
		sys(SYS_munmap, p, size);
}

void port_free(void *p)
{
	free(p);
}
