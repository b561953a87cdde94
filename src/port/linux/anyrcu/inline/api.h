/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the core's headers need, in the kernel, where EXPORT_SYMBOL_GPL() exports. */
#ifndef ANYRCU_INLINE_API_H
#define ANYRCU_INLINE_API_H

#define ANYRCU_BEGIN_DECLS
#define ANYRCU_END_DECLS
#define ANYRCU_DATA
#define ANYRCU_API

#endif
