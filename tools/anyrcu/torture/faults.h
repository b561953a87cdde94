/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The kinds of trouble that torture can make, for the tool and for the program that it runs. */
#ifndef ANYRCU_TORTURE_FAULTS_H
#define ANYRCU_TORTURE_FAULTS_H

#define FAULTS_LIST(X)                                                                        \
	X(REFUSE, "refuse", "pages and readers' records are refused")                         \
	X(STALL, "stall", "readers take milliseconds")                                        \
	X(STOP, "stop", "threads stop for a while inside the library")                        \
	X(EXIT, "exit", "threads end, also in callbacks and inside sections")                 \
	X(FORK, "fork", "the process forks, and the child looks after what it has inherited") \
	X(RESTART, "restart", "the configuration changes, and the workers with it")

#define FAULTS_ENUM(name, ...) FAULT_##name,
enum { FAULTS_LIST(FAULTS_ENUM) FAULTS };

#endif
