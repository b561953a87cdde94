/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Say which of the ways there are the library goes. */
#include <anyrcu/anyrcu.h>
#include <stdio.h>

int main(void)
{
	printf("readers %s\n",
	       anyrcu_gp.ctr & ANYRCU_READER_FENCE ? "fence" : "leave the fence to membarrier");
	return 0;
}
