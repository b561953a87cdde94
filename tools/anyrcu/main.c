/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* anyrcu: the command line tool. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

const char *argp_program_version = "anyrcu " TOOL_VERSION;

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "contexts", cmd_contexts },
	{ "lockdep", cmd_lockdep },
	{ "policies", cmd_policies },
	{ "record", cmd_record },
	{ "replay", cmd_replay },
	{ "scale", cmd_scale },
	{ "torture", cmd_torture },
	{ "urcu", cmd_urcu },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const struct command **command = state->input;
	const size_t n = sizeof(commands) / sizeof(*commands);

	switch (key) {
	case ARGP_KEY_ARG:
		for (size_t i = 0; i < n && !*command; i++)
			if (!strcmp(arg, commands[i].name))
				*command = &commands[i];
		if (!*command)
			argp_error(state, "there is no command '%s'", arg);
		/* All that follows is for the command. */
		state->quoted = state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "COMMAND [OPTION...]",
	.doc = "Measure, attack and use deferred reclamation, and watch locks.\v"
	       "Commands:\n"
	       "  contexts  call each entry point from each context, and print what happens\n"
	       "  lockdep   run a program and report what its locks could come to\n"
	       "  policies  compare the ways in which a deferral can come by a page\n"
	       "  record    run a program and write down what it allocates and frees\n"
	       "  replay    do what a trace says again, with every free deferred, once for each scheme\n"
	       "  scale     measure synthetic loads\n"
	       "  torture   attack the library, and see whether it holds\n"
	       "  urcu      run a program built for liburcu with its deferral on anyrcu\n\n"
	       "'anyrcu COMMAND --help' says more. The manual is anyrcu(1).",
};

int main(int argc, char **argv)
{
	const struct command *command = NULL;
	char name[40];
	int at = 1;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &command);
	while (strcmp(argv[at], command->name))
		at++;
	snprintf(name, sizeof(name), "anyrcu %s", command->name);
	argv[at] = name;
	return command->run(argc - at, argv + at);
}
