// SPDX-License-Identifier: BSD-3-Clause
#include "control/watch/filter.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 64 // the longest prefix, name or reason, with terminator
#define CONDITIONS 6

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
    {"icmp", IPPROTO_ICMP},
    {"igmp", IPPROTO_IGMP},
    {"ipip", IPPROTO_IPIP},
    {"tcp", IPPROTO_TCP},
    {"udp", IPPROTO_UDP},
    {"ipv6", IPPROTO_IPV6},
    {"gre", IPPROTO_GRE},
    {"esp", IPPROTO_ESP},
    {"ah", IPPROTO_AH},
    {"icmpv6", IPPROTO_ICMPV6},
    {"ospf", 89}, // RFC 2328 A.1; the C library has no name for it
    {"sctp", IPPROTO_SCTP},
};

const char *td_filter_protocol_name(unsigned protocol)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return NULL;
}

static bool number_parse(const char *text, unsigned long max, unsigned long *number)
{
	bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;

	// strtoul takes signs, spaces and octal too.
	if (hexadecimal ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*number = strtoul(text, &end, hexadecimal ? 16 : 10);
	return errno == 0 && *end == '\0' && *number <= max;
}

static bool source_parse(const char *value, const struct td_config *config, struct td_dp_filter *filter)
{
	(void)config;
	return td_prefix_parse(value, &filter->source) == 0;
}

static bool destination_parse(const char *value, const struct td_config *config, struct td_dp_filter *filter)
{
	(void)config;
	return td_prefix_parse(value, &filter->destination) == 0;
}

static bool protocol_parse(const char *value, const struct td_config *config, struct td_dp_filter *filter)
{
	unsigned long number;

	(void)config;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (strcmp(protocols[i].name, value) == 0) {
			filter->protocol = protocols[i].number;
			return true;
		}
	if (!number_parse(value, UINT8_MAX, &number))
		return false;
	filter->protocol = (int)number;
	return true;
}

static bool spi_parse(const char *value, const struct td_config *config, struct td_dp_filter *filter)
{
	unsigned long number;

	(void)config;
	if (!number_parse(value, UINT32_MAX, &number) || number == 0)
		return false;
	filter->spi = (uint32_t)number;
	return true;
}

static bool port_parse(const char *value, const struct td_config *config, struct td_dp_filter *filter)
{
	for (unsigned i = 0; i < config->port_count; i++)
		if (strcmp(config->ports[i].name, value) == 0) {
			filter->port = (int)i;
			return true;
		}
	return false;
}

static bool drop_parse(const char *value, const struct td_config *config, struct td_dp_filter *filter)
{
	(void)config;
	for (unsigned i = 0; i < td_dp_drop_count(); i++)
		if (strcmp(td_dp_drop_info(i)->name, value) == 0) {
			filter->drop = (int)i;
			return true;
		}
	return false;
}

static const struct condition {
	const char *name;
	bool (*parse)(const char *value, const struct td_config *config, struct td_dp_filter *filter);
	const char *wanted;
} conditions[CONDITIONS] = {
    {"src", source_parse, "src must be an address or prefix"},
    {"dst", destination_parse, "dst must be an address or prefix"},
    {"proto", protocol_parse, "proto must be a protocol's name or number, such as udp, esp or 47"},
    {"spi", spi_parse, "spi must be a number from 1 to 4294967295, decimal or 0x"},
    {"port", port_parse, "port must be the name of a port (port.list shows them)"},
    {"drop", drop_parse, "drop must be a drop reason (drop.list with all shows them)"},
};

static int wrong(struct td_error *error, const char *what)
{
	return td_error_set(error, -EINVAL, NULL, "filter", "%s", what);
}

static const struct condition *condition_find(const char *text, size_t length)
{
	for (unsigned i = 0; i < CONDITIONS; i++)
		if (strlen(conditions[i].name) == length && strncmp(conditions[i].name, text, length) == 0)
			return &conditions[i];
	return NULL;
}

int td_filter_parse(const char *text, const struct td_config *config, bool drops_allowed,
    struct td_dp_filter *filter, struct td_error *error)
{
	unsigned seen = 0;

	*filter = (struct td_dp_filter){.protocol = -1, .port = -1, .drop = -1};
	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t length = strcspn(text, " "), name = strcspn(text, "= ");
		const struct condition *condition = condition_find(text, name);
		char value[VALUE_MAX];

		if (!condition || text[name] != '=')
			return wrong(error, "must be made of src=, dst=, proto=, spi=, port= and drop=, "
			                    "separated by spaces");
		if (condition->parse == drop_parse && !drops_allowed)
			return wrong(
			    error, "drop= is for traces: a capture has seen a packet before it is dropped");
		unsigned bit = 1u << (condition - conditions);
		if (seen & bit)
			return wrong(error, "has a condition twice");
		seen |= bit;
		if (length - name - 1 >= sizeof(value))
			return wrong(error, condition->wanted);
		memcpy(value, text + name + 1, length - name - 1);
		value[length - name - 1] = '\0';
		if (!condition->parse(value, config, filter))
			return wrong(error, condition->wanted);
		text += length;
	}
	return 0;
}
