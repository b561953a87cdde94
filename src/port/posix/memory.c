/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include <port/port.h>
#include <port/posix/sys.h>
#include <stdlib.h>
#include <sys/mman.h>

static void *map(size_t size)
{
	int saved = errno;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = saved;
	return p == MAP_FAILED ? NULL : p;
}

void *port_map(size_t size, size_t align)
{
	char *p, *aligned;

	if (align <= 4096)
		return map(size);
	p = map(size + align);
	if (!p)
		return NULL;
	aligned = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	if (aligned > p)
		port_unmap(p, aligned - p);
	port_unmap(aligned + size, p + align - aligned);
	return aligned;
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
