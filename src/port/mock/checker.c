/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include <port/process.h>

/* No checker of other people's watches a platform of the tests. */
bool port_checked, port_memory_checked;

void port_checker_released(const void *p)
{
}

void port_checker_acquired(const void *p)
{
}

void port_checker_atomic(const void *p, size_t size)
{
}

void *port_checker_block(const void *p)
{
	return NULL;
}

void port_checker_root(const void *p, size_t size, bool add)
{
}

void port_checker_access(const void *p, size_t size, bool may)
{
}

void port_checker_pool(const void *pool, bool begins)
{
}

void port_checker_alloc(const void *pool, const void *p, size_t size)
{
}

void port_checker_free(const void *pool, const void *p, size_t size)
{
}
