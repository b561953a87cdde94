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
	{ "contexts", cmd_contexts }, { "lockdep", cmd_lockdep }, { "lockstat", cmd_lockstat },
	{ "policies", cmd_policies }, { "record", cmd_record },	  { "replay", cmd_replay },
	{ "scale", cmd_scale },	      { "torture", cmd_torture }, { "urcu", cmd_urcu },
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
	       "  lockdep   run a program and report locking bugs that another run could hit\n"
	       "  lockstat  run a program and print what its locks cost\n"
	       "  policies  compare the ways in which a deferral can obtain a page\n"
	       "  record    run a program and write down what it allocates and frees\n"
	       "  replay    do what a trace says again, with every free deferred, once for each scheme\n"
	       "  scale     measure synthetic loads\n"
	       "  torture   attack the library, and see whether it holds\n"
	       "  urcu      run a program built for liburcu with its deferral on anyrcu\n\n"
	       "'anyrcu help COMMAND' says more. The manual is anyrcu(1).",
};

/* "anyrcu help [COMMAND]" and "anyrcu [COMMAND] -h", as many tools have it. */
static void accept_help(int argc, char **argv)
{
	static char help[] = "--help";

	if (argc > 1 && !strcmp(argv[1], "help")) {
		argv[1] = argc > 2 ? argv[2] : help;
		if (argc > 2)
			argv[2] = help;
	}
	for (int i = 1; i < argc && i <= 2; i++)
		if (!strcmp(argv[i], "-h"))
			argv[i] = help;
}

int main(int argc, char **argv)
{
	const struct command *command = NULL;
	char name[40];
	int at = 1;

	accept_help(argc, argv);
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &command);
	while (strcmp(argv[at], command->name))
		at++;
	snprintf(name, sizeof(name), "anyrcu %s", command->name);
	argv[at] = name;
	return command->run(argc - at, argv + at);
}
