/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A program that is run with something preloaded. */
#ifndef ANYRCU_TOOL_PROGRAM_H
#define ANYRCU_TOOL_PROGRAM_H

#include <limits.h>
#include <signal.h>

/* As env(1) and nohup(1) have it; the program may exit with whatever it likes. */
/*
 * DEADLOCK: of what the validator ends because it is in one. INCOMPLETE: of a validator that could
 * not check everything.
 */
enum {
	EXIT_DEADLOCK = 123,
	EXIT_INCOMPLETE = 124,
	EXIT_OURS = 125,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_KILLED = 128
};

struct program {
	char **argv;
	char preload[PATH_MAX];
	pid_t pid;
	sigset_t mask; /* that the program has to get */
	/* to wait for: the end of a child, and what is sent to us but meant for the program */
	sigset_t signals;
	void (*on_child)(int);
	void (*on_too_large)(int);
};

/* Say what is wrong with @name, and exit. */
_Noreturn void program_die(const char *name, const char *what);
/*
 * Find what is preloaded: in the build @name lies beside the tool, installed it is at @from_bindir.
 * From here on a file that is too large is an error and kills nobody.
 */
void program_prepare(struct program *p, const char *name, const char *from_bindir);
/*
 * Start it. Variables that it is to find are in the environment. Signals are waited for rather than
 * handled: those from the terminal reach the program too, and it decides what comes of them.
 * Returns when it has been executed; exits when it cannot be.
 */
void program_start(struct program *p);
/* What waitpid() said, as a shell says it. */
int program_status(int status);
/* Signals do again what they did before it was started. */
void program_over(struct program *p);

#endif
