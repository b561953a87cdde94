/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What every public header needs: linkage for C++, and the mark of an exported symbol. */
#ifndef ANYRCU_INLINE_API_H
#define ANYRCU_INLINE_API_H

#ifdef __cplusplus
#define ANYRCU_BEGIN_DECLS extern "C" {
#define ANYRCU_END_DECLS }
#else
#define ANYRCU_BEGIN_DECLS
#define ANYRCU_END_DECLS
#endif

#define ANYRCU_API __attribute__((visibility("default")))

#endif
