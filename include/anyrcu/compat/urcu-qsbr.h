/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef URCU_API_MAP
#define URCU_API_MAP
#endif
#include <urcu/urcu-qsbr.h>
