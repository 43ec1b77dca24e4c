// SPDX-License-Identifier: BSD-3-Clause
#include "common/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned td_ip_length(uint8_t family)
{
	return family == 6 ? 16 : 4;
}

int td_ip_parse(const char *text, struct td_ip *ip)
{
	struct td_ip parsed = {0};

	if (inet_pton(AF_INET, text, parsed.bytes) == 1)
		parsed.family = 4;
	else if (inet_pton(AF_INET6, text, parsed.bytes) == 1)
		parsed.family = 6;
	else
		return -EINVAL;
	*ip = parsed;
	return 0;
}

int td_prefix_parse(const char *text, struct td_prefix *prefix)
{
	char address[TD_IP_TEXT_MAX];
	struct td_prefix parsed;
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	if (length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = '\0';
	if (td_ip_parse(address, &parsed.ip))
		return -EINVAL;
	unsigned bits = td_ip_length(parsed.ip.family) * 8;
	if (slash) {
		char *end;

		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		unsigned long value = strtoul(slash + 1, &end, 10);
		if (*end != '\0' || value > bits)
			return -EINVAL;
		bits = (unsigned)value;
	}
	parsed.length = (uint8_t)bits;
	*prefix = parsed;
	return 0;
}

const char *td_ip_format(const struct td_ip *ip, char *text)
{
	if (ip->family == 0 ||
	    !inet_ntop(ip->family == 6 ? AF_INET6 : AF_INET, ip->bytes, text, TD_IP_TEXT_MAX))
		memcpy(text, "-", 2);
	return text;
}

const char *td_prefix_format(const struct td_prefix *prefix, char *text)
{
	td_ip_format(&prefix->ip, text);
	size_t length = strlen(text);
	snprintf(text + length, TD_PREFIX_TEXT_MAX - length, "/%u", prefix->length);
	return text;
}

bool td_ip_equal(const struct td_ip *a, const struct td_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, td_ip_length(a->family)) == 0;
}

bool td_prefix_is_network(const struct td_prefix *prefix)
{
	for (unsigned bit = prefix->length; bit < td_ip_length(prefix->ip.family) * 8; bit++)
		if (prefix->ip.bytes[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

uint32_t td_ip_v4(const struct td_ip *ip)
{
	uint32_t wire;

	memcpy(&wire, ip->bytes, sizeof(wire));
	return ntohl(wire);
}

struct td_ip td_ip_from_v4(uint32_t host_order)
{
	struct td_ip ip = {.family = 4};
	uint32_t wire = htonl(host_order);

	memcpy(ip.bytes, &wire, sizeof(wire));
	return ip;
}
