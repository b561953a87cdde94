/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The functions of liburcu's defer_rcu() are declared by a flavour's header; this header includes
 * what liburcu's includes.
 */
#ifndef ANYRCU_COMPAT_URCU_DEFER_H
#define ANYRCU_COMPAT_URCU_DEFER_H

#include <pthread.h>
#include <stdlib.h>

#endif
