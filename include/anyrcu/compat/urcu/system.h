/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Accesses that the compiler neither splits nor repeats. */
#ifndef ANYRCU_COMPAT_URCU_SYSTEM_H
#define ANYRCU_COMPAT_URCU_SYSTEM_H

#include <urcu/arch.h>
#include <urcu/compiler.h>

#define _CMM_LOAD_SHARED(p) CMM_ACCESS_ONCE(p)
#define _CMM_STORE_SHARED(x, v) __extension__({ CMM_ACCESS_ONCE(x) = (v); })

#define CMM_LOAD_SHARED(p)                                                                                             \
	__extension__({                                                                                                \
		cmm_smp_rmc();                                                                                         \
		_CMM_LOAD_SHARED(p);                                                                                   \
	})
#define CMM_STORE_SHARED(x, v)                                                                                         \
	__extension__({                                                                                                \
		__typeof__(x) anyrcu_v_ = _CMM_STORE_SHARED(x, v);                                                     \
		cmm_smp_wmc();                                                                                         \
		(void)anyrcu_v_;                                                                                       \
		anyrcu_v_;                                                                                             \
	})

#endif
