/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_TLS_COMPAT_H
#define ANYRCU_COMPAT_URCU_TLS_COMPAT_H

#include <urcu/arch.h>
#include <urcu/compiler.h>
#include <urcu/config.h>

#define URCU_TLS_STORAGE_CLASS __thread
#define DECLARE_URCU_TLS(type, name) URCU_TLS_STORAGE_CLASS type name
#define DEFINE_URCU_TLS(type, name) URCU_TLS_STORAGE_CLASS type name
#define DEFINE_URCU_TLS_INIT(type, name, init) URCU_TLS_STORAGE_CLASS type name = (init)
#define URCU_TLS(name) (name)

#endif
