/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "tool.h"
int command_replay(int argc, char **argv)
{
	return 1;
}
