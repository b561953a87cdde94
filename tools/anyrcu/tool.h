/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
int cmd_record(int argc, char **argv);
