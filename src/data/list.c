/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The report of the checks in anyrcu/list.h and anyrcu/hlist.h. */
#include <anyrcu/list.h>
#include <port/process.h>

void anyrcu_list_corrupt(const char *what, const void *element)
{
	port_bug("list element %p: %s", element, what);
}
