// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The table of tandemctl's commands: dispatch, help and completion all come from it.

#include "common/limits.h"
#include "control/cli/client.h"

#include <stdbool.h>

enum td_option_kind {
	TD_OPTION_FLAG,
	TD_OPTION_NUMBER, // decimal or 0x
	TD_OPTION_TEXT,
	TD_OPTION_KEY, // "-": a key from standard input
	TD_OPTION_KEY_FILE, // a file of mode 0600 with a key
	TD_OPTION_LOCAL, // a number for tandemctl itself, not sent
};

struct td_option {
	const char *name; // without "--"; with "_" for "-" it is the parameter of the method
	enum td_option_kind kind;
	bool required;
	const char *value; // name of the value in help; "in|out" lists the allowed ones
	const char *help;
};

enum td_operand_kind {
	TD_OPERAND_NONE,
	TD_OPERAND_SPI,
	TD_OPERAND_ID,
	TD_OPERAND_FILE,
	TD_OPERAND_TUNNEL,
	TD_OPERAND_CALL,
	TD_OPERAND_NAME
};

struct td_call {
	const struct td_command *command;
	const char *socket_path;
	bool json;
	json_t *params;
	long local; // value of the command's TD_OPTION_LOCAL, or -1
	const char *operands[2]; // NULL: not given
};

struct td_command {
	const char *noun, *verb; // verb may be NULL
	const char *method;
	const char *help;
	enum td_operand_kind operand;
	const struct td_option *options; // ended by a NULL name
	enum td_exit (*run)(struct td_call *call);
	void (*print)(const json_t *result); // for people
};

extern const struct td_command td_commands[]; // ended by a NULL noun

// Reads the arguments behind noun and verb into *call. Returns TD_EXIT_OK or, after a message, TD_EXIT_USAGE.
enum td_exit td_arguments_parse(struct td_call *call, int argc, char **argv);
// True for what can be a name. Other arguments are not repeated in messages: one of them may be a key, and
// the shortest key has more digits than a name may have.
bool td_is_name(const char *text);
// An SPI or another number, decimal or 0x. Returns false if it is none or above max.
bool td_number_parse(const char *text, unsigned long long max, unsigned long long *value);
// The path's contents, at most max bytes, with terminator; "-" is standard input. A file must not be readable
// by group or others when it is secret. Returns NULL after a message. The caller wipes and frees *length
// bytes.
char *td_input_read(const char *path, size_t max, size_t *length);

// Prints how a command is used.
void td_command_usage(const struct td_command *command, bool long_form);
void td_commands_help(void);
// One line per command, "noun verb --option ...", for the shell's completion.
void td_commands_complete(void);

// Connects, calls the command's method with call->params, prints the result.
enum td_exit td_call_run(struct td_call *call);
// Prints a response: the result, or the error. Takes the reference.
enum td_exit td_response_print(const struct td_call *call, json_t *response);

// Ways to run that are not a single call.
enum td_exit td_run_sa_load(struct td_call *call);
enum td_exit td_run_events(struct td_call *call);
enum td_exit td_run_method(struct td_call *call);
enum td_exit td_run_trace_show(struct td_call *call);
enum td_exit td_run_capture_start(struct td_call *call);
enum td_exit td_run_capture_stop(struct td_call *call);
enum td_exit td_run_ping(struct td_call *call);
enum td_exit td_run_tunnel_wait(struct td_call *call);
enum td_exit td_run_key_gen(struct td_call *call);
enum td_exit td_run_key_pub(struct td_call *call);
enum td_exit td_run_key_cert(struct td_call *call);
enum td_exit td_run_key_register(struct td_call *call);

// What people see.
void td_print_done(const json_t *result);
void td_print_spi(const json_t *result);
void td_print_sas(const json_t *result);
void td_print_tunnels(const json_t *result);
void td_print_ike_sas(const json_t *result);
void td_print_policies(const json_t *result);
void td_print_workers(const json_t *result);
void td_print_ports(const json_t *result);
void td_print_suites(const json_t *result);
void td_print_drops(const json_t *result);
void td_print_capture(const json_t *result);
void td_print_config(const json_t *result);
void td_print_key(const json_t *result);
void td_print_version(const json_t *result);
void td_print_json(const json_t *result);
