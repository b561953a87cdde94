/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The processes that the tool starts for itself end within their time limit, and their output comes
 * back.
 */
#include "test.h"
#include "../tools/anyrcu/child.h"

static void waited_for(void)
{
	bool late = true;
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(7);
	status = child_wait(pid, 600, &late);
	CHECK(!late && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(child_wait(pid, 1, &late) == -1);
}

static void killed_when_late(void)
{
	bool late = false;
	pid_t pid = fork();
	int status;

	if (!pid) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL); /* an alarm would not end it */
		for (;;)
			pause();
	}
	status = child_wait(pid, 1, &late);
	CHECK(late && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void output(void)
{
	char *echo[] = { "/bin/sh", "-c", "echo $LD_PRELOAD:$LEFT_OUT", NULL },
	     *fails[] = { "/bin/sh", "-c", "echo part; exit 3", NULL };
	char *hangs[] = { "/bin/sh", "-c", "echo begun; exec sleep 100000", NULL },
	     *none[] = { "/none", NULL };
	char out[64], small[4];
	bool late;

	setenv("LEFT_OUT", "x", 1);
	setenv("LD_PRELOAD", "", 1);
	CHECK(child_output(echo, NULL, "LEFT_OUT", 600, &late, out, sizeof(out)) == 0 && !late &&
	      !strcmp(out, ":\n"));
	CHECK(child_output(echo, "", "LEFT_OUT", 600, &late, small, sizeof(small)) == 0 &&
	      !strcmp(small, ":\n"));
	CHECK(WEXITSTATUS(child_output(fails, NULL, "LEFT_OUT", 600, &late, out, sizeof(out))) ==
		      3 &&
	      !strcmp(out, "part\n"));
	CHECK(WIFSIGNALED(child_output(hangs, NULL, "LEFT_OUT", 3, &late, out, sizeof(out))) &&
	      late);
	CHECK(WEXITSTATUS(child_output(none, NULL, "LEFT_OUT", 600, &late, out, sizeof(out))) ==
		      127 &&
	      !late && !*out);
}

static const struct test_case cases[] = {
	CASE(waited_for),
	CASE(killed_when_late),
	CASE(output),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
