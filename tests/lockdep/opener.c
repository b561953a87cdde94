/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A library that opens another one when it is loaded, and closes it at the end, as libEGL does. */
#include <dlfcn.h>
#include <stddef.h>

static void *opened;

static __attribute__((constructor)) void opens(void)
{
	opened = dlopen(NULL, RTLD_LAZY);
}

/* So that the linker sees that the library is needed. */
int opener_has_opened(void);
int opener_has_opened(void)
{
	return opened != NULL;
}

static __attribute__((destructor)) void closes(void)
{
	if (opened)
		dlclose(opened);
}
