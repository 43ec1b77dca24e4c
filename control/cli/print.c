// SPDX-License-Identifier: BSD-3-Clause
#include "control/cli/command.h"
#include "control/cli/table.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void td_print_json(const json_t *result)
{
	json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

// {"added": 3} and its like: "added 3". "draining 1" and "switched 1" read as well.
void td_print_done(const json_t *result)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)result, key, value)
		printf("%s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
}

void td_print_version(const json_t *result)
{
	const char *program = json_string_value(json_object_get(result, "program"));
	const char *version = json_string_value(json_object_get(result, "version"));

	printf("%s %s, protocol %" JSON_INTEGER_FORMAT "\n", program != NULL ? program : "?",
	    version != NULL ? version : "?", json_integer_value(json_object_get(result, "protocol")));
}

void td_print_spi(const json_t *result)
{
	printf("0x%08x\n", (unsigned)json_integer_value(json_object_get(result, "spi")));
}

void td_print_sas(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"SPI", "spi", TD_CELL_SPI},
	    {"DIRECTION", "direction", TD_CELL_TEXT},
	    {"TUNNEL", "tunnel", TD_CELL_TEXT},
	    {"PROTOCOL", "protocol", TD_CELL_TEXT},
	    {"SUITE", "suite", TD_CELL_TEXT},
	    {"WORKER", "worker", TD_CELL_NUMBER},
	    {"STATE", "state", TD_CELL_TEXT},
	    {"CURRENT", "current", TD_CELL_TEXT},
	    {"AGE-MS", "age_ms", TD_CELL_NUMBER},
	    {"PACKETS", "packets", TD_CELL_NUMBER},
	    {"BYTES", "bytes", TD_CELL_NUMBER},
	    {"SEQUENCE", "sequence", TD_CELL_NUMBER},
	    {"AUTH-FAILED", "auth_failed", TD_CELL_NUMBER},
	    {"REPLAYED", "replayed", TD_CELL_NUMBER},
	};

	td_table_print(json_object_get(result, "sas"), columns, COUNT(columns));
}

// Where the peer is now, with its UDP port if it has one.
static void peer_merge(json_t *tunnel)
{
	const char *address = json_string_value(json_object_get(tunnel, "peer_address"));
	json_int_t port = json_integer_value(json_object_get(tunnel, "peer_port"));
	bool ipv6 = address != NULL && strchr(address, ':') != NULL;
	char text[64];

	if (address == NULL)
		return;
	if (port != 0)
		snprintf(text, sizeof(text), ipv6 ? "[%s]:%" JSON_INTEGER_FORMAT : "%s:%" JSON_INTEGER_FORMAT,
		    address, port);
	else
		snprintf(text, sizeof(text), "%s", address);
	json_object_set_new(tunnel, "peer", json_string(text));
}

void td_print_tunnels(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"NAME", "name", TD_CELL_TEXT},
	    {"MODE", "mode", TD_CELL_TEXT},
	    {"LOCAL", "local_address", TD_CELL_TEXT},
	    {"PEER", "peer", TD_CELL_TEXT},
	    {"PMTU", "pmtu", TD_CELL_TEXT},
	    {"LOCAL-NETS", "local", TD_CELL_TEXT},
	    {"REMOTE-NETS", "remote", TD_CELL_TEXT},
	    {"ESTABLISHED", "established", TD_CELL_TEXT},
	    {"STATE", "state", TD_CELL_TEXT},
	    {"OUT-SPI", "outbound_spi", TD_CELL_SPI},
	    {"IN-SPIS", "inbound_spis", TD_CELL_SPI},
	    {"PACKETS-IN", "packets_in", TD_CELL_NUMBER},
	    {"PACKETS-OUT", "packets_out", TD_CELL_NUMBER},
	    {"BYTES-IN", "bytes_in", TD_CELL_NUMBER},
	    {"BYTES-OUT", "bytes_out", TD_CELL_NUMBER},
	    {"LAST-ERROR", "last_error", TD_CELL_TEXT},
	};

	json_t *tunnels = json_object_get(result, "tunnels"), *tunnel;
	size_t index;

	json_array_foreach (tunnels, index, tunnel) {
		peer_merge(tunnel);
		// 0: none was learned.
		if (json_integer_value(json_object_get(tunnel, "pmtu")) == 0)
			json_object_set_new(tunnel, "pmtu", json_string("-"));
		if (!json_is_true(json_object_get(tunnel, "negotiated")))
			json_object_set_new(tunnel, "state", json_string("injected"));
		if (json_string_length(json_object_get(tunnel, "last_error")) == 0)
			json_object_set_new(tunnel, "last_error", json_string("-"));
	}
	td_table_print(tunnels, columns, COUNT(columns));
}

void td_print_ike_sas(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"INITIATOR-SPI", "spi_i", TD_CELL_TEXT},
	    {"RESPONDER-SPI", "spi_r", TD_CELL_TEXT},
	    {"TUNNEL", "tunnel", TD_CELL_TEXT},
	    {"ROLE", "role", TD_CELL_TEXT},
	    {"BY", "negotiation", TD_CELL_TEXT},
	    {"STATE", "state", TD_CELL_TEXT},
	    {"LOCAL", "local_address", TD_CELL_TEXT},
	    {"REMOTE", "remote_address", TD_CELL_TEXT},
	    {"PORT", "remote_port", TD_CELL_NUMBER},
	    {"REMOTE-ID", "remote_id", TD_CELL_TEXT},
	    {"SUITE", "suite", TD_CELL_TEXT},
	    {"CHILDREN", "children", TD_CELL_NUMBER},
	    {"AGE-MS", "age_ms", TD_CELL_NUMBER},
	};

	td_table_print(json_object_get(result, "ike_sas"), columns, COUNT(columns));
}

// An ICMP message, type << 8 | code: "3", or with a code "3/4".
static void message_format(json_int_t message, bool code, char *text, size_t size)
{
	int length = snprintf(text, size, "%" JSON_INTEGER_FORMAT, message >> 8);

	if (code)
		snprintf(text + length, size - (size_t)length, "/%" JSON_INTEGER_FORMAT, message & 0xff);
}

// "8" or "3/4" or "133-137", in the place of ports.
static void messages_format(json_int_t low, json_int_t high, char *text, size_t size)
{
	bool code = (low & 0xff) != 0 || (high & 0xff) != 0xff; // not all of its type
	char first[32], last[32];

	message_format(low, code, first, sizeof(first));
	message_format(high, code, last, sizeof(last));
	if (strcmp(first, last) == 0)
		snprintf(text, size, "%s", first);
	else
		snprintf(text, size, "%s-%s", first, last);
}

// "any" or "500" or "500-510", or ICMP messages; under a new key.
static void ports_merge(json_t *policy, const char *low_key, const char *high_key, const char *key)
{
	json_int_t low = json_integer_value(json_object_get(policy, low_key));
	json_int_t high = json_integer_value(json_object_get(policy, high_key));
	json_int_t protocol = json_integer_value(json_object_get(policy, "protocol"));
	bool any = low == 0 && high == UINT16_MAX;
	char text[80] = "any";

	if (!any && (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6))
		messages_format(low, high, text, sizeof(text));
	else if (low == high)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, low);
	else if (!any)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT, low, high);
	json_object_set_new(policy, key, json_string(text));
}

void td_print_policies(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"ID", "id", TD_CELL_NUMBER},
	    {"ACTION", "action", TD_CELL_TEXT},
	    {"DIRECTION", "direction", TD_CELL_TEXT},
	    {"LOCAL", "local", TD_CELL_TEXT},
	    {"REMOTE", "remote", TD_CELL_TEXT},
	    {"PROTOCOL", "protocol", TD_CELL_TEXT},
	    {"LOCAL-PORT", "local_ports", TD_CELL_TEXT},
	    {"REMOTE-PORT", "remote_ports", TD_CELL_TEXT},
	    {"TUNNEL", "tunnel", TD_CELL_TEXT},
	    {"ORIGIN", "origin", TD_CELL_TEXT},
	    {"PACKETS", "packets", TD_CELL_NUMBER},
	};
	json_t *policies = json_object_get(result, "policies"), *policy;
	size_t index;

	json_array_foreach (policies, index, policy) {
		ports_merge(policy, "local_port_low", "local_port_high", "local_ports");
		ports_merge(policy, "remote_port_low", "remote_port_high", "remote_ports");
		if (json_integer_value(json_object_get(policy, "protocol")) == 0)
			json_object_set_new(policy, "protocol", json_string("any"));
		if (json_integer_value(json_object_get(policy, "id")) == 0)
			json_object_set_new(policy, "id", json_string("-"));
	}
	td_table_print(policies, columns, COUNT(columns));
}

void td_print_workers(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"WORKER", "worker", TD_CELL_NUMBER},
	    {"CORE", "core", TD_CELL_NUMBER},
	    {"IDLE%", "idle_percent", TD_CELL_NUMBER},
	    {"RX", "rx_packets", TD_CELL_NUMBER},
	    {"TX", "tx_packets", TD_CELL_NUMBER},
	    {"ESP-IN", "esp_in_packets", TD_CELL_NUMBER},
	    {"ESP-OUT", "esp_out_packets", TD_CELL_NUMBER},
	    {"PUNTED", "punted", TD_CELL_NUMBER},
	    {"INJECTED", "injected", TD_CELL_NUMBER},
	    {"HANDOFF-OUT", "handoff_out", TD_CELL_NUMBER},
	    {"HANDOFF-IN", "handoff_in", TD_CELL_NUMBER},
	    {"HELD", "held", TD_CELL_NUMBER},
	};
	json_t *workers = json_object_get(result, "workers"), *worker;
	json_int_t loops, idle;
	size_t index;

	json_array_foreach (workers, index, worker) {
		loops = json_integer_value(json_object_get(worker, "loops"));
		idle = json_integer_value(json_object_get(worker, "idle_loops"));
		if (loops > 0)
			json_object_set_new(worker, "idle_percent",
			    json_integer((json_int_t)(100.0 * (double)idle / (double)loops)));
		if (json_integer_value(json_object_get(worker, "core")) < 0)
			json_object_set_new(worker, "core", json_string("any"));
	}
	td_table_print(workers, columns, COUNT(columns));
}

void td_print_ports(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"NAME", "name", TD_CELL_TEXT},
	    {"ROLE", "role", TD_CELL_TEXT},
	    {"DRIVER", "driver", TD_CELL_TEXT},
	    {"MAC", "mac", TD_CELL_TEXT},
	    {"LINK", "link_up", TD_CELL_TEXT},
	    {"MTU", "mtu", TD_CELL_NUMBER},
	    {"RXQ", "rx_queues", TD_CELL_NUMBER},
	    {"TXQ", "tx_queues", TD_CELL_NUMBER},
	    {"RSS", "rss", TD_CELL_TEXT},
	    {"STEERING", "steering", TD_CELL_TEXT},
	    {"RX", "rx_packets", TD_CELL_NUMBER},
	    {"TX", "tx_packets", TD_CELL_NUMBER},
	    {"RX-BYTES", "rx_bytes", TD_CELL_NUMBER},
	    {"TX-BYTES", "tx_bytes", TD_CELL_NUMBER},
	    {"RX-MISSED", "rx_missed", TD_CELL_NUMBER},
	    {"RX-ERRORS", "rx_errors", TD_CELL_NUMBER},
	    {"TX-ERRORS", "tx_errors", TD_CELL_NUMBER},
	};
	json_t *ports = json_object_get(result, "ports"), *port;
	size_t index;

	json_array_foreach (ports, index, port)
		json_object_set_new(port, "link_up",
		    json_string(json_is_true(json_object_get(port, "link_up")) ? "up" : "down"));
	td_table_print(ports, columns, COUNT(columns));
}

void td_print_suites(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"NAME", "name", TD_CELL_TEXT},
	    {"PROTOCOL", "protocol", TD_CELL_TEXT},
	    {"KEY-BYTES", "key_bytes", TD_CELL_NUMBER},
	    {"IV-BYTES", "iv_bytes", TD_CELL_NUMBER},
	    {"ICV-BYTES", "icv_bytes", TD_CELL_NUMBER},
	    {"AVAILABLE", "available", TD_CELL_TEXT},
	    {"REFERENCE", "reference", TD_CELL_TEXT},
	};

	td_table_print(json_object_get(result, "suites"), columns, COUNT(columns));
}

void td_print_drops(const json_t *result)
{
	static const struct td_column columns[] = {
	    {"REASON", "reason", TD_CELL_TEXT},
	    {"PACKETS", "packets", TD_CELL_NUMBER},
	    {"SEVERITY", "severity", TD_CELL_TEXT},
	    {"HELP", "help", TD_CELL_TEXT},
	};
	const json_t *drops = json_object_get(result, "drops");

	if (json_array_size(drops) == 0)
		puts("no packet was dropped");
	else
		td_table_print(drops, columns, COUNT(columns));
}

static void tunnel_change_print(const json_t *item)
{
	static const struct {
		const char *change, *words;
	} table[] = {
	    {"added", "+ %s"},
	    {"removed", "- %s"},
	    {"anew", "~ %s is set up anew:"},
	    {"in_place", "  %s keeps its SAs:"},
	};
	const char *change = json_string_value(json_object_get(item, "change"));
	const char *name = json_string_value(json_object_get(item, "tunnel"));
	size_t i, key;
	const json_t *text;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (change != NULL && name != NULL && strcmp(change, table[i].change) == 0)
			printf(table[i].words, name);
	json_array_foreach (json_object_get(item, "keys"), key, text)
		printf(" %s", json_string_value(text));
	putchar('\n');
}

void td_print_config(const json_t *result)
{
	static const char *const parts[] = {"policies", "routes", "log_level"};
	size_t i;
	const json_t *item;

	if (!json_is_true(json_object_get(result, "changed")))
		puts("no differences");
	json_array_foreach (json_object_get(result, "tunnels"), i, item)
		tunnel_change_print(item);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (json_is_true(json_object_get(result, parts[i])))
			printf("~ %s\n", parts[i]);
	json_array_foreach (json_object_get(result, "restart"), i, item)
		printf("! %s takes a restart\n", json_string_value(item));
}
