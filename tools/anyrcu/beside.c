/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "beside.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int beside(const char *name, const char *installed, char path[PATH_MAX])
{
	const char *const places[] = { name, installed };
	char exe[PATH_MAX], candidate[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return errno;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(candidate, sizeof(candidate), "%s/%s", exe, places[i]);
		if (realpath(candidate, path))
			return 0;
	}
	return errno;
}
