/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The core's base/compiler.h in the kernel. Kernel builds define noinline for every file; and the
 * port's own files include the kernel's headers before the core's, and use the core's words from
 * here on.
 */
#ifndef ANYRCU_PORT_LINUX_COMPILER_H
#define ANYRCU_PORT_LINUX_COMPILER_H

#undef likely
#undef unlikely
#undef noinline
#undef ARRAY_SIZE
#undef xchg
#undef cmpxchg
/* The kernel's may be macros, which check sizes. */
#pragma push_macro("memset")
#pragma push_macro("memcpy")
#undef memset
#undef memcpy
#include_next <base/compiler.h>
#pragma pop_macro("memset")
#pragma pop_macro("memcpy")

#endif
