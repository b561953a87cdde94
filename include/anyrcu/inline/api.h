/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* For every public header: linkage for C++, and the attributes of exported symbols. */
#ifndef ANYRCU_INLINE_API_H
#define ANYRCU_INLINE_API_H

#if !defined(__SIZEOF_POINTER__) || __SIZEOF_POINTER__ != 8
#error "anyrcu needs a 64-bit platform: its readers and its pages are made of 64-bit words"
#endif

#ifdef __cplusplus
#define ANYRCU_BEGIN_DECLS extern "C" {
#define ANYRCU_END_DECLS }
#else
#define ANYRCU_BEGIN_DECLS
#define ANYRCU_END_DECLS
#endif

/*
 * If the compiler supports it, functions are bound when the program is loaded: the first call may
 * be in a handler on a small stack, which the loader's lookup might overflow.
 */
#define ANYRCU_DATA __attribute__((visibility("default")))
#if defined(__GNUC__) && !defined(__clang__)
#define ANYRCU_API __attribute__((visibility("default"), noplt))
#else
#define ANYRCU_API __attribute__((visibility("default")))
#endif

#endif
