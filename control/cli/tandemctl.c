// SPDX-License-Identifier: BSD-3-Clause
#include "control/cli/command.h"

#include <stdio.h>
#include <string.h>

#define SOCKET_DEFAULT "/run/tandem/tandem.sock"

// Takes the options before the noun. Returns the index of the noun, or -1 after a message.
static int globals_parse(int argc, char **argv, struct td_call *call)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			call->json = true;
		} else if (strncmp(argv[i], "--socket=", 9) == 0) {
			call->socket_path = argv[i] + 9;
		} else if ((strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--socket") == 0) && i + 1 < argc) {
			call->socket_path = argv[++i];
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0 ||
		           strcmp(argv[i], "--complete") == 0) {
			return i;
		} else {
			fprintf(stderr,
			    "tandemctl: argument %d: there is no such option, or its value is missing\n", i);
			return -1;
		}
	}
	if (i < argc)
		return i;
	fputs("tandemctl: what should be done? Try \"tandemctl --help\".\n", stderr);
	return -1;
}

// Returns NULL after a message. *used is the number of words that name the command.
static const struct td_command *command_find(int argc, char **argv, int *used)
{
	const struct td_command *command;
	const char *separator = " ";

	for (command = td_commands; command->noun != NULL; command++) {
		if (strcmp(command->noun, argv[0]) != 0)
			continue;
		*used = command->verb != NULL ? 2 : 1;
		if (command->verb == NULL || (argc > 1 && strcmp(command->verb, argv[1]) == 0))
			return command;
	}
	fputs("tandemctl: there is no command", stderr);
	if (td_is_name(argv[0]) && (argc < 2 || td_is_name(argv[1])))
		fprintf(stderr, " \"%s%s%s\"", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	fputs("; try:", stderr);
	// The verbs of a known noun, or all nouns.
	for (command = td_commands; command->noun != NULL; command++) {
		if (strcmp(command->noun, argv[0]) == 0) {
			fprintf(stderr, "%s%s %s", separator, command->noun, command->verb);
			separator = ", ";
		}
	}
	if (strcmp(separator, " ") == 0)
		fputs(" tandemctl --help", stderr);
	fputc('\n', stderr);
	return NULL;
}

static bool wants_help(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
			return true;
	}
	return false;
}

static enum td_exit command_run(struct td_call *call, int argc, char **argv)
{
	enum td_exit code;

	call->params = json_object();
	if (call->params == NULL) {
		fputs("tandemctl: out of memory\n", stderr);
		return TD_EXIT_USAGE;
	}
	code = td_arguments_parse(call, argc, argv);
	if (code == TD_EXIT_OK)
		code = call->command->run(call);
	json_decref(call->params);
	return code;
}

int main(int argc, char **argv)
{
	struct td_call call = {.socket_path = SOCKET_DEFAULT, .local = -1};
	int at, used;

	td_client_init();
	at = globals_parse(argc, argv, &call);
	if (at < 0)
		return TD_EXIT_USAGE;
	if (strcmp(argv[at], "--complete") == 0) {
		td_commands_complete();
		return TD_EXIT_OK;
	}
	if (argv[at][0] == '-' || strcmp(argv[at], "help") == 0) {
		td_commands_help();
		return TD_EXIT_OK;
	}
	call.command = command_find(argc - at, argv + at, &used);
	if (call.command == NULL)
		return TD_EXIT_USAGE;
	if (wants_help(argc - at - used, argv + at + used)) {
		td_command_usage(call.command, true);
		return TD_EXIT_OK;
	}
	return (int)command_run(&call, argc - at - used, argv + at + used);
}
