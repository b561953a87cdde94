/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Memory that the tool shares with the programs that it has something preloaded into. Its first
 * word says what it is.
 */
#ifndef ANYRCU_PRELOAD_SHARED_H
#define ANYRCU_PRELOAD_SHARED_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The pages in use of the mapped file @map lie scattered. By default the first access of each
 * process reads the file megabytes ahead, which takes milliseconds.
 */
static inline void shared_scattered(void *map, size_t size)
{
	syscall(SYS_madvise, map, size, MADV_RANDOM);
}

/*
 * NULL when it is not there. @flags: for open(), beside what is always asked for. Raw calls, as
 * open() and close() are cancellation points and what is preloaded stands in for functions that are
 * none.
 */
static inline void *shared_map(const char *path, size_t size, uint64_t magic, int flags)
{
	int fd = syscall(SYS_openat, AT_FDCWD, path,
			 O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags, 0);
	void *map = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (map == MAP_FAILED)
		return NULL;
	shared_scattered(map, size);
	/* The tool may be gone, and its number another's, whose file this then is. */
	if (*(uint64_t *)map == magic)
		return map;
	syscall(SYS_munmap, map, size);
	return NULL;
}

#endif
