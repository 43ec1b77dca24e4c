// SPDX-License-Identifier: BSD-3-Clause
#include "common/secret.h"
#include "control/cli/command.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 1024 // bytes; the longest key has 256 digits

bool td_is_name(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return length > 0 && length < TD_NAME_MAX && text[length] == '\0';
}

// which is shown only if it is a name.
static enum td_exit wrong(const struct td_call *call, const char *what, const char *which)
{
	const struct td_command *command = call->command;

	if (which != NULL && !td_is_name(which))
		which = NULL;
	fprintf(stderr, "tandemctl: %s%s%s%s\n", what, which != NULL ? " \"" : "", which != NULL ? which : "",
	    which != NULL ? "\"" : "");
	fprintf(stderr, "Try \"tandemctl %s%s%s --help\".\n", command->noun, command->verb != NULL ? " " : "",
	    command->verb != NULL ? command->verb : "");
	return TD_EXIT_USAGE;
}

bool td_number_parse(const char *text, unsigned long long max, unsigned long long *value)
{
	bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned long long number;
	char *end;

	// strtoull takes signs, spaces and octal too.
	if (hexadecimal ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	number = strtoull(text, &end, hexadecimal ? 16 : 10);
	if (errno != 0 || *end != '\0' || number > max)
		return false;
	*value = number;
	return true;
}

// ---- files ------------------------------------------------------------------------------------

static int secret_open(const char *path)
{
	struct stat status;
	int fd;

	if (strcmp(path, "-") == 0)
		return dup(STDIN_FILENO);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0) {
		fprintf(stderr, "tandemctl: cannot read %s: %s\n", path, strerror(errno));
	} else if (S_ISREG(status.st_mode) && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		fprintf(stderr, "tandemctl: %s holds keys, but others may use it; run \"chmod 600 %s\"\n",
		    path, path);
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

char *td_input_read(const char *path, size_t max, size_t *length)
{
	int fd = secret_open(path);
	char *text = fd >= 0 ? calloc(1, max + 2) : NULL;
	size_t used = 0;
	ssize_t got;

	if (text == NULL) {
		if (fd >= 0) {
			fprintf(stderr, "tandemctl: out of memory\n");
			close(fd);
		}
		return NULL;
	}
	do {
		got = read(fd, text + used, max + 1 - used);
		if (got > 0)
			used += (size_t)got;
	} while (used <= max && (got > 0 || (got < 0 && errno == EINTR)));
	if (got >= 0 && used <= max) {
		close(fd);
		*length = used;
		return text;
	}
	if (got < 0)
		fprintf(stderr, "tandemctl: cannot read %s: %s\n", path, strerror(errno));
	else
		fprintf(stderr, "tandemctl: %s is longer than %zu bytes\n", path, max);
	close(fd);
	td_wipe(text, max + 2);
	free(text);
	return NULL;
}

static enum td_exit key_read(struct td_call *call, const char *path)
{
	size_t length;
	char *text;
	int ret;

	if (json_object_get(call->params, "key") != NULL)
		return wrong(call, "give one of --key-file and --key, once", NULL);
	text = td_input_read(path, KEY_FILE_MAX, &length);
	if (text == NULL)
		return TD_EXIT_USAGE;
	while (length > 0 && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	ret = json_object_set_new(call->params, "key", json_stringn(text, length));
	td_wipe(text, KEY_FILE_MAX);
	free(text);
	return ret == 0 ? TD_EXIT_OK : wrong(call, "the key is not hexadecimal text", NULL);
}

// ---- options ----------------------------------------------------------------------------------

static void parameter_name(const char *option, char *name, size_t size)
{
	char *at;

	snprintf(name, size, "%s", option);
	for (at = name; *at != '\0'; at++) {
		if (*at == '-')
			*at = '_';
	}
}

// "in|out" lists what is allowed; a single word is only the value's name.
static bool value_is_allowed(const char *allowed, const char *value)
{
	size_t length = strlen(value);
	const char *at = allowed;

	if (strchr(allowed, '|') == NULL)
		return true;
	while (at != NULL) {
		if (strncmp(at, value, length) == 0 && (at[length] == '|' || at[length] == '\0'))
			return true;
		at = strchr(at, '|');
		if (at != NULL)
			at++;
	}
	return false;
}

static enum td_exit option_apply(struct td_call *call, const struct td_option *option, const char *value)
{
	unsigned long long number = 0;
	json_t *json = NULL;
	char name[32];

	switch (option->kind) {
	case TD_OPTION_FLAG:
		json = json_true();
		break;
	case TD_OPTION_NUMBER:
		if (!td_number_parse(value, LLONG_MAX, &number))
			return wrong(call, "this is not a number", value);
		json = json_integer((json_int_t)number);
		break;
	case TD_OPTION_TEXT:
		if (!value_is_allowed(option->value, value))
			return wrong(call, "this option takes one of the words in its help:", option->name);
		json = json_string(value);
		if (json == NULL)
			return wrong(call, "a value is not UTF-8 text", NULL);
		break;
	case TD_OPTION_LOCAL:
		if (!td_number_parse(value, INT_MAX, &number))
			return wrong(call, "this is not a number", value);
		call->local = (long)number;
		return TD_EXIT_OK;
	case TD_OPTION_KEY:
		// Arguments are visible to every user of the machine.
		if (strcmp(value, "-") != 0)
			return wrong(call,
			    "a key is not taken from the command line: use --key - or --key-file", NULL);
		return key_read(call, "-");
	case TD_OPTION_KEY_FILE:
		return key_read(call, value);
	}
	parameter_name(option->name, name, sizeof(name));
	return json_object_set_new(call->params, name, json) == 0 ? TD_EXIT_OK
	                                                          : wrong(call, "out of memory", NULL);
}

// An option as "--name value" or "--name=value". *used is 2 if the next argument was its value.
static enum td_exit option_parse(struct td_call *call, const char *argument, const char *next, int *used)
{
	const struct td_option *option;
	const char *equals = strchr(argument, '=');
	size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);

	*used = 1;
	for (option = call->command->options; option->name != NULL; option++) {
		if (strlen(option->name) == length - 2 &&
		    strncmp(option->name, argument + 2, length - 2) == 0)
			break;
	}
	if (option->name == NULL)
		return wrong(call, "there is no option", argument);
	if (option->kind == TD_OPTION_FLAG)
		return equals == NULL ? option_apply(call, option, NULL)
		                      : wrong(call, "this option takes no value:", option->name);
	if (equals != NULL)
		return option_apply(call, option, equals + 1);
	if (next == NULL)
		return wrong(call, "this option needs a value:", option->name);
	*used = 2;
	return option_apply(call, option, next);
}

static enum td_exit operand_take(struct td_call *call, const char *argument)
{
	unsigned limit = call->command->operand == TD_OPERAND_CALL ? 2 : 1, i;
	enum td_operand_kind kind = call->command->operand;
	unsigned long long number;

	if (kind == TD_OPERAND_NONE)
		return wrong(call, "unexpected argument", argument);
	for (i = 0; i < limit && call->operands[i] != NULL; i++)
		;
	if (i == limit)
		return wrong(call, "unexpected argument", argument);
	call->operands[i] = argument;
	if (kind == TD_OPERAND_TUNNEL)
		return json_object_set_new(call->params, "tunnel", json_string(argument)) == 0
		           ? TD_EXIT_OK
		           : wrong(call, "the name is not UTF-8 text", NULL);
	if (kind != TD_OPERAND_SPI && kind != TD_OPERAND_ID)
		return TD_EXIT_OK;
	if (!td_number_parse(argument, UINT32_MAX, &number))
		return wrong(call,
		    kind == TD_OPERAND_SPI ? "this is not an SPI (decimal or 0x)"
		                           : "this is not an id (\"policy list\" shows them)",
		    argument);
	return json_object_set_new(
	           call->params, kind == TD_OPERAND_SPI ? "spi" : "id", json_integer((json_int_t)number)) == 0
	           ? TD_EXIT_OK
	           : wrong(call, "out of memory", NULL);
}

static enum td_exit required_check(const struct td_call *call)
{
	const struct td_option *option;
	char name[32];

	if (call->command->operand != TD_OPERAND_NONE && call->operands[0] == NULL) {
		static const char *const names[] = {
		    [TD_OPERAND_SPI] = "SPI",
		    [TD_OPERAND_ID] = "ID",
		    [TD_OPERAND_FILE] = "FILE",
		    [TD_OPERAND_TUNNEL] = "TUNNEL",
		    [TD_OPERAND_CALL] = "METHOD",
		    [TD_OPERAND_NAME] = "NAME",
		};
		return wrong(call, "missing argument", names[call->command->operand]);
	}
	for (option = call->command->options; option->name != NULL; option++) {
		parameter_name(option->name, name, sizeof(name));
		if (option->required && json_object_get(call->params, name) == NULL)
			return wrong(call, "this option is missing:", option->name);
		if (option->kind == TD_OPTION_KEY && json_object_get(call->params, "key") == NULL)
			return wrong(call, "missing key: use --key-file FILE or --key -", NULL);
	}
	return TD_EXIT_OK;
}

enum td_exit td_arguments_parse(struct td_call *call, int argc, char **argv)
{
	enum td_exit code = TD_EXIT_OK;
	int i = 0, used;

	while (i < argc && code == TD_EXIT_OK) {
		used = 1;
		if (strcmp(argv[i], "--json") == 0)
			call->json = true;
		else if (strncmp(argv[i], "--", 2) == 0)
			code = option_parse(call, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
		else
			code = operand_take(call, argv[i]);
		i += used;
	}
	return code == TD_EXIT_OK ? required_check(call) : code;
}
