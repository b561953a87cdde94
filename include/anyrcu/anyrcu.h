/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu: RCU for Linux programs, with a deferred free and a deferred call for any context.
 * This header brings all the others; each of them also stands alone.
 */
#ifndef ANYRCU_ANYRCU_H
#define ANYRCU_ANYRCU_H

#include <anyrcu/cache.h>
#include <anyrcu/config.h>
#include <anyrcu/context.h>
#include <anyrcu/defer.h>
#include <anyrcu/domain.h>
#include <anyrcu/hash.h>
#include <anyrcu/hlist.h>
#include <anyrcu/list.h>
#include <anyrcu/lock.h>
#include <anyrcu/lockdep.h>
#include <anyrcu/page.h>
#include <anyrcu/rcu.h>
#include <anyrcu/stats.h>

#endif
