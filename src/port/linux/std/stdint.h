/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The core's <stdint.h> in the kernel, whose own types these are: it has no such header. */
#ifndef ANYRCU_PORT_LINUX_STDINT_H
#define ANYRCU_PORT_LINUX_STDINT_H

typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned long uintptr_t;

#ifndef UINT64_C
#define UINT64_C(c) c##ULL
#endif
#ifndef SIZE_MAX
#define SIZE_MAX (~0UL)
#endif
#ifndef UINT32_MAX
#define UINT32_MAX (~0U)
#endif
#ifndef UINT64_MAX
#define UINT64_MAX (~0ULL)
#endif

#endif
