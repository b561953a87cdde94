/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * liburcu 0.15's annotations of fences for ThreadSanitizer, by its names. One fence orders a group
 * of accesses: loads before an acquire fence, stores behind a release fence. They tell the
 * sanitizer, if it is in use; the order of the calls, which liburcu also checks, is not checked.
 */
#ifndef ANYRCU_COMPAT_URCU_ANNOTATE_H
#define ANYRCU_COMPAT_URCU_ANNOTATE_H

#include <urcu/compiler.h>

enum cmm_annotate { CMM_ANNOTATE_VOID, CMM_ANNOTATE_LOAD, CMM_ANNOTATE_STORE, CMM_ANNOTATE_MB };

typedef enum cmm_annotate cmm_annotate_t __attribute__((unused));

#define cmm_annotate_define(name) cmm_annotate_t name = CMM_ANNOTATE_VOID

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ANYRCU_COMPAT_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(ANYRCU_COMPAT_TSAN)
#ifdef __cplusplus
extern "C" {
#endif
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#ifdef __cplusplus
}
#endif
#define cmm_annotate_mem_acquire(mem) __tsan_acquire((void *)(mem))
#define cmm_annotate_mem_release(mem) __tsan_release((void *)(mem))
#else
#define cmm_annotate_mem_acquire(mem) ((void)0)
#define cmm_annotate_mem_release(mem) ((void)0)
#endif

#define cmm_annotate_group_mb_acquire(group) ((void)(*(group) = CMM_ANNOTATE_MB))
#define cmm_annotate_group_mb_release(group) ((void)(*(group) = CMM_ANNOTATE_MB))
#define cmm_annotate_group_mem_acquire(group, mem) ((void)(group), cmm_annotate_mem_acquire(mem))
#define cmm_annotate_group_mem_release(group, mem) ((void)(group), cmm_annotate_mem_release(mem))

#endif
