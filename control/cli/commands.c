// SPDX-License-Identifier: BSD-3-Clause
#include "control/cli/command.h"

#include <stdio.h>
#include <string.h>

#define DIRECTION(is_required)                                                                               \
	{                                                                                                    \
		"direction", TD_OPTION_TEXT, is_required, "in|out", "direction of the SA"                    \
	}
#define TUNNEL(is_required)                                                                                  \
	{                                                                                                    \
		"tunnel", TD_OPTION_TEXT, is_required, "TUNNEL", "tunnel of the SA"                          \
	}

static const struct td_option sa_add_options[] = {
    {"spi", TD_OPTION_NUMBER, true, "SPI", "256 to 4294967295, decimal or 0x"},
    DIRECTION(true),
    TUNNEL(true),
    {"protocol", TD_OPTION_TEXT, false, "esp|ah", "protocol of the SA (default esp)"},
    {"suite", TD_OPTION_TEXT, true, "SUITE", "see \"tandemctl suite list\""},
    {"key-file", TD_OPTION_KEY_FILE, false, "FILE", "file of mode 0600 with the key in hexadecimal"},
    {"key", TD_OPTION_KEY, false, "-", "read the key from standard input"},
    {"worker", TD_OPTION_NUMBER, false, "N", "worker that owns the SA (default 0)"},
    {"activate", TD_OPTION_FLAG, false, NULL, "outbound: switch to it in the same step"},
    {"esn", TD_OPTION_FLAG, false, NULL, "64-bit sequence numbers"},
    {"replay-window", TD_OPTION_NUMBER, false, "PACKETS", "inbound: 64 to 8192 (default: the tunnel's)"},
    {"soft-bytes", TD_OPTION_NUMBER, false, "BYTES", "raise an event after so many payload bytes"},
    {"hard-bytes", TD_OPTION_NUMBER, false, "BYTES", "stop the SA after so many payload bytes"},
    {"soft-packets", TD_OPTION_NUMBER, false, "N", "raise an event after so many packets"},
    {"hard-packets", TD_OPTION_NUMBER, false, "N", "stop the SA after so many packets"},
    {"soft-ms", TD_OPTION_NUMBER, false, "MS", "raise an event after this time"},
    {"hard-ms", TD_OPTION_NUMBER, false, "MS", "stop the SA after this time"},
    {0},
};
static const struct td_option sa_spi_options[] = {
    TUNNEL(false),
    {"worker", TD_OPTION_NUMBER, false, "N", "worker that is to own the SA (default 0)"},
    {0},
};
static const struct td_option sa_switch_options[] = {
    TUNNEL(true),
    DIRECTION(false),
    {0},
};
static const struct td_option sa_drain_options[] = {
    TUNNEL(false),
    DIRECTION(false),
    {"drain-ms", TD_OPTION_NUMBER, false, "MS", "how long it still decrypts (default: the tunnel's)"},
    {0},
};
static const struct td_option sa_delete_options[] = {
    TUNNEL(false),
    DIRECTION(true),
    {"force", TD_OPTION_FLAG, false, NULL, "even if it is the current outbound SA"},
    {0},
};
static const struct td_option sa_list_options[] = {
    {"tunnel", TD_OPTION_TEXT, false, "TUNNEL", "only those of this tunnel"},
    {0},
};
static const struct td_option tunnel_rekey_options[] = {
    {"ike", TD_OPTION_FLAG, false, NULL, "the IKE SA instead of the SAs of the tunnel"},
    {0},
};
static const struct td_option tunnel_wait_options[] = {
    {"established", TD_OPTION_FLAG, false, NULL, "until it has keys (what is waited for anyway)"},
    {"timeout", TD_OPTION_LOCAL, false, "SECONDS", "give up after so long (default: never)"},
    {0},
};
static const struct td_option policy_add_options[] = {
    {"action", TD_OPTION_TEXT, true, "protect|bypass|discard", "what happens to packets that match"},
    {"direction", TD_OPTION_TEXT, false, "in|out|both", "default both"},
    {"local", TD_OPTION_TEXT, false, "PREFIX", "addresses on our side, also FIRST-LAST (default any)"},
    {"remote", TD_OPTION_TEXT, false, "PREFIX", "addresses on the other side"},
    {"protocol", TD_OPTION_TEXT, false, "NAME", "tcp, udp, icmp, ... or a number (default any)"},
    {"local-port", TD_OPTION_TEXT, false, "PORT", "port on our side, also FIRST-LAST"},
    {"remote-port", TD_OPTION_TEXT, false, "PORT", "port on the other side, also FIRST-LAST"},
    {"icmp-type", TD_OPTION_TEXT, false, "TYPE", "type, TYPE/CODE or FIRST-LAST of icmp or icmpv6"},
    {"tunnel", TD_OPTION_TEXT, false, "TUNNEL", "of a protect policy"},
    {"before", TD_OPTION_NUMBER, false, "ID", "tried before this policy (default: behind all)"},
    {0},
};
static const struct td_option drops_options[] = {
    {"all", TD_OPTION_FLAG, false, NULL, "also reasons without a drop"},
    {0},
};
static const struct td_option events_options[] = {
    {"count", TD_OPTION_LOCAL, false, "N", "end after so many events"},
    {0},
};
static const struct td_option ping_options[] = {
    {"wait", TD_OPTION_LOCAL, false, "SECONDS", "keep trying for so long"},
    {0},
};
static const struct td_option trace_start_options[] = {
    {"count", TD_OPTION_NUMBER, false, "N", "packets to trace, 1 to 1000 (default 10)"},
    {"filter", TD_OPTION_TEXT, false, "FILTER",
        "\"src=PREFIX dst=PREFIX proto=NAME spi=N port=NAME drop=REASON\""},
    {"worker", TD_OPTION_NUMBER, false, "N", "only packets that this worker receives"},
    {0},
};
static const struct td_option trace_show_options[] = {
    {"follow", TD_OPTION_FLAG, false, NULL, "show packets as they are done, until the trace ends"},
    {0},
};
static const struct td_option capture_start_options[] = {
    {"count", TD_OPTION_NUMBER, false, "N", "end after so many frames (default 100000)"},
    {"snaplen", TD_OPTION_NUMBER, false, "BYTES", "keep so much of each, 64 to 9216 (default: all)"},
    {"side", TD_OPTION_TEXT, false, "SIDE", "plain, protected or both (default)"},
    {"filter", TD_OPTION_TEXT, false, "FILTER", "\"src=PREFIX dst=PREFIX proto=NAME spi=N port=NAME\""},
    {0},
};
static const struct td_option key_gen_options[] = {
    {"type", TD_OPTION_TEXT, false, "x25519|ed25519|ecdsa-p256", "kind of key (default x25519)"},
    {0},
};
static const struct td_option key_pub_options[] = {
    {"out", TD_OPTION_TEXT, false, "FILE", "new file for it (default: print it)"},
    {0},
};
static const struct td_option key_cert_options[] = {
    {"id", TD_OPTION_TEXT, true, "ID", "whom it is for: host name, mail address, address or DN"},
    {"out", TD_OPTION_TEXT, true, "FILE", "new file for the certificate"},
    {"ca-key", TD_OPTION_TEXT, false, "FILE", "private key of the authority that signs"},
    {"ca-cert", TD_OPTION_TEXT, false, "FILE", "certificate of that authority"},
    {"days", TD_OPTION_LOCAL, false, "N", "valid from now for so long (default 3650)"},
    {0},
};
static const struct td_option key_register_options[] = {
    {"out", TD_OPTION_TEXT, true, "FILE", "new file for the secret, of mode 0600"},
    {0},
};
static const struct td_option no_options[] = {{0}};

#define LIST(noun, method, help, print)                                                                      \
	{                                                                                                    \
		noun, "list", method, help, TD_OPERAND_NONE, no_options, td_call_run, print                  \
	}

const struct td_command td_commands[] = {
    {"sa", "spi", "sa.spi", "choose an unused SPI for an inbound SA of a worker", TD_OPERAND_NONE,
        sa_spi_options, td_call_run, td_print_spi},
    {"sa", "add", "sa.add", "install an SA", TD_OPERAND_NONE, sa_add_options, td_call_run, td_print_done},
    {"sa", "switch", "sa.switch", "make an outbound SA the current one of its tunnel", TD_OPERAND_SPI,
        sa_switch_options, td_call_run, td_print_done},
    {"sa", "drain", "sa.drain", "let an inbound SA decrypt a while longer, then remove it", TD_OPERAND_SPI,
        sa_drain_options, td_call_run, td_print_done},
    {"sa", "delete", "sa.delete", "remove an SA now", TD_OPERAND_SPI, sa_delete_options, td_call_run,
        td_print_done},
    {"sa", "list", "sa.list", "list the SAs", TD_OPERAND_NONE, sa_list_options, td_call_run, td_print_sas},
    {"sa", "load", "sa.add", "install a JSON list of SA objects, all or none of them", TD_OPERAND_FILE,
        no_options, td_run_sa_load, td_print_done},
    {"tunnel", "list", "tunnel.list", "list the tunnels", TD_OPERAND_NONE, sa_list_options, td_call_run,
        td_print_tunnels},
    {"tunnel", "up", "tunnel.up", "negotiate the keys of a tunnel", TD_OPERAND_TUNNEL, no_options,
        td_call_run, td_print_done},
    {"tunnel", "down", "tunnel.down", "delete the SAs of a negotiated tunnel, at the peer too",
        TD_OPERAND_TUNNEL, no_options, td_call_run, td_print_done},
    {"tunnel", "rekey", "tunnel.rekey", "negotiate new keys now", TD_OPERAND_TUNNEL, tunnel_rekey_options,
        td_call_run, td_print_done},
    {"tunnel", "wait", "tunnel.list", "wait until a tunnel has keys", TD_OPERAND_TUNNEL, tunnel_wait_options,
        td_run_tunnel_wait, NULL},
    LIST("ike", "ike.list", "list the IKE SAs", td_print_ike_sas),
    {"ike", "stats", "ike.stats", "counters of IKE", TD_OPERAND_NONE, no_options, td_call_run, td_print_done},
    {"config", "diff", "config.diff", "what a reload of the configuration file would change", TD_OPERAND_NONE,
        no_options, td_call_run, td_print_config},
    {"reload", NULL, "config.reload", "read the configuration file again and do what it says",
        TD_OPERAND_NONE, no_options, td_call_run, td_print_config},
    LIST(
        "policy", "policy.list", "list the policies in the order in which they are tried", td_print_policies),
    {"policy", "add", "policy.add", "put a policy into the list", TD_OPERAND_NONE, policy_add_options,
        td_call_run, td_print_done},
    {"policy", "remove", "policy.remove", "take a policy out of the list", TD_OPERAND_ID, no_options,
        td_call_run, td_print_done},
    LIST("worker", "worker.list", "list the workers", td_print_workers),
    {"loop", "stats", "loop.stats", "how long the control thread was busy at once", TD_OPERAND_NONE,
        no_options, td_call_run, td_print_done},
    LIST("port", "port.list", "list the ports", td_print_ports),
    LIST("suite", "suite.list", "list the cipher suites", td_print_suites),
    {"drops", NULL, "drop.list", "why packets were dropped", TD_OPERAND_NONE, drops_options, td_call_run,
        td_print_drops},
    {"events", NULL, "events.subscribe", "follow events", TD_OPERAND_NONE, events_options, td_run_events,
        NULL},
    {"trace", "start", "trace.start", "show what is decided about the next packets", TD_OPERAND_NONE,
        trace_start_options, td_call_run, td_print_done},
    {"trace", "show", "trace.show", "what was decided about the traced packets", TD_OPERAND_NONE,
        trace_show_options, td_run_trace_show, NULL},
    {"trace", "stop", "trace.stop", "end the trace; it can still be shown", TD_OPERAND_NONE, no_options,
        td_call_run, td_print_done},
    {"capture", "start", "capture.start", "write packets to a new file for Wireshark", TD_OPERAND_FILE,
        capture_start_options, td_run_capture_start, td_print_done},
    {"capture", "show", "capture.show", "how far the capture is", TD_OPERAND_NONE, no_options, td_call_run,
        td_print_capture},
    {"capture", "stop", "capture.stop", "end the capture", TD_OPERAND_NONE, no_options, td_run_capture_stop,
        td_print_capture},
    {"key", "gen", NULL, "make a private key in a new file", TD_OPERAND_FILE, key_gen_options, td_run_key_gen,
        td_print_key},
    {"key", "pub", NULL, "the public key of a private key", TD_OPERAND_FILE, key_pub_options, td_run_key_pub,
        td_print_key},
    {"key", "cert", NULL, "make a certificate for a key", TD_OPERAND_FILE, key_cert_options, td_run_key_cert,
        td_print_key},
    {"key", "register", NULL, "make the secret of a peer that has no key of its own", TD_OPERAND_NAME,
        key_register_options, td_run_key_register, td_print_key},
    {"call", NULL, NULL, "call a method of the control protocol", TD_OPERAND_CALL, no_options, td_run_method,
        td_print_json},
    {"version", NULL, "version", "version of the daemon", TD_OPERAND_NONE, no_options, td_call_run,
        td_print_version},
    {"ping", NULL, "version", "check that the daemon answers", TD_OPERAND_NONE, ping_options, td_run_ping,
        NULL},
    {0},
};

static void option_print(const struct td_option *option, const char *start)
{
	printf("%s%s--%s%s%s%s", start, option->required ? "" : "[", option->name,
	    option->value != NULL ? " " : "", option->value != NULL ? option->value : "",
	    option->required ? "" : "]");
}

void td_command_usage(const struct td_command *command, bool long_form)
{
	static const char *const operands[] = {
	    [TD_OPERAND_NONE] = "",
	    [TD_OPERAND_SPI] = " SPI",
	    [TD_OPERAND_ID] = " ID",
	    [TD_OPERAND_FILE] = " FILE",
	    [TD_OPERAND_TUNNEL] = " TUNNEL",
	    [TD_OPERAND_CALL] = " METHOD [JSON]",
	    [TD_OPERAND_NAME] = " NAME",
	};
	const struct td_option *option;
	char text[80];

	printf("%s%s%s%s%s", long_form ? "Usage: tandemctl [-s SOCKET] [--json] " : "  ", command->noun,
	    command->verb != NULL ? " " : "", command->verb != NULL ? command->verb : "",
	    operands[command->operand]);
	for (option = command->options; option->name != NULL; option++) {
		if (long_form || option->required)
			option_print(option, " ");
	}
	if (!long_form) {
		printf("%s\n      %s\n", command->options[0].name != NULL ? " ..." : "", command->help);
		return;
	}
	printf("\n%s\n\n", command->help);
	for (option = command->options; option->name != NULL; option++) {
		snprintf(
		    text, sizeof(text), "%s %s", option->name, option->value != NULL ? option->value : "");
		printf("  --%-24s %s\n", text, option->help);
	}
}

void td_commands_help(void)
{
	const struct td_command *command;

	puts("Usage: tandemctl [-s SOCKET] [--json] NOUN VERB ...\n\n"
	     "  -s, --socket SOCKET  tandemd's control socket (default /run/tandem/tandem.sock)\n"
	     "      --json           print the result as one line of JSON\n"
	     "  -h, --help           print this, or behind a command its options\n"
	     "\n"
	     "Commands:");
	for (command = td_commands; command->noun != NULL; command++)
		td_command_usage(command, false);
	puts("\nExit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the daemon cannot be reached.");
}

void td_commands_complete(void)
{
	const struct td_command *command;
	const struct td_option *option;

	for (command = td_commands; command->noun != NULL; command++) {
		printf("%s %s", command->noun, command->verb != NULL ? command->verb : "-");
		for (option = command->options; option->name != NULL; option++)
			printf(" --%s", option->name);
		putchar('\n');
	}
}
