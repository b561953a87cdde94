/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "tool.h"

int main(int argc, char **argv)
{
	argv[1] = "anyrcu record";
	return cmd_record(argc - 1, argv + 1);
}
