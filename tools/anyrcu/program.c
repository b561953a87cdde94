/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "program.h"

#include "beside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn void program_die(const char *name, const char *what)
{
	fprintf(stderr, "anyrcu: %s: %s\n", name, what);
	exit(EXIT_OURS);
}

void program_prepare(struct program *p, const char *name, const char *from_bindir)
{
	int err = beside(name, from_bindir, p->preload);

	p->on_too_large = signal(SIGXFSZ, SIG_IGN);
	if (err)
		program_die(name, strerror(err));
	/* The dynamic linker splits the variable there, and knows no way to quote. */
	if (strpbrk(p->preload, ": "))
		program_die(p->preload,
			    "cannot be preloaded from a path with a colon or a space in it");
}

static _Noreturn void run(struct program *p, int report)
{
	const char *others = getenv("LD_PRELOAD"), *asan = getenv("ASAN_OPTIONS");
	char *preload, *asan_options;
	int error;

	/*
	 * AddressSanitizer would rather end than not be the first; what we preload calls what it
	 * stands for, and does no harm before it.
	 */
	if (asprintf(&asan_options, "verify_asan_link_order=0%s%s", asan && *asan ? ":" : "",
		     asan ? asan : "") >= 0 &&
	    setenv("ASAN_OPTIONS", asan_options, 1) == 0 &&
	    asprintf(&preload, "%s%s%s", p->preload, others && *others ? ":" : "",
		     others ? others : "") >= 0 &&
	    setenv("LD_PRELOAD", preload, 1) == 0) {
		signal(SIGCHLD, p->on_child);
		signal(SIGXFSZ, p->on_too_large);
		sigprocmask(SIG_SETMASK, &p->mask, NULL);
		execvp(p->argv[0], p->argv);
	}
	error = errno;
	_exit(write(report, &error, sizeof(error)) == sizeof(error) ? 0 : EXIT_OURS);
}

void program_start(struct program *p)
{
	int report[2], error;

	sigemptyset(&p->signals);
	sigaddset(&p->signals, SIGCHLD);
	sigaddset(&p->signals, SIGTERM);
	sigaddset(&p->signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &p->signals, &p->mask);
	p->on_child = signal(SIGCHLD, SIG_DFL);
	if (pipe2(report, O_CLOEXEC) != 0 || (p->pid = fork()) < 0)
		program_die(p->argv[0], strerror(errno));
	if (p->pid == 0)
		run(p, report[1]);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	close(report[1]);
	if (read(report[0], &error, sizeof(error)) == sizeof(error)) {
		fprintf(stderr, "anyrcu: %s: %s\n", p->argv[0], strerror(error));
		exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
	}
	close(report[0]);
}

int program_status(int status)
{
	return WIFSIGNALED(status) ? EXIT_KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

void program_over(struct program *p)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	sigprocmask(SIG_SETMASK, &p->mask, NULL);
}
