/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Accesses that the compiler neither splits nor repeats. */
#ifndef ANYRCU_COMPAT_URCU_SYSTEM_H
#define ANYRCU_COMPAT_URCU_SYSTEM_H

#include <urcu/arch.h>
#include <urcu/compiler.h>

#define _CMM_LOAD_SHARED(p) CMM_ACCESS_ONCE(p)
/*
 * The value is read from the variable: C++ deprecates the value of an assignment to a volatile
 * object.
 */
#define _CMM_STORE_SHARED(x, v)                      \
	__extension__({                              \
		__typeof__(x) anyrcu_stored_ = (v);  \
		CMM_ACCESS_ONCE(x) = anyrcu_stored_; \
		anyrcu_stored_;                      \
	})

#define CMM_LOAD_SHARED(p)           \
	__extension__({              \
		cmm_smp_rmc();       \
		_CMM_LOAD_SHARED(p); \
	})
#define CMM_STORE_SHARED(x, v)                                     \
	__extension__({                                            \
		__typeof__(x) anyrcu_v_ = _CMM_STORE_SHARED(x, v); \
		cmm_smp_wmc();                                     \
		anyrcu_v_;                                         \
	})

#endif
