// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/text.h"

#include "common/ip.h"
#include "control/ike/credential.h"
#include "control/ike/proposal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

static int explain(char *why, const char *text)
{
	snprintf(why, TD_CONFIG_WHY_MAX, "%s", text);
	return -EINVAL;
}

static int copy_text(const struct td_config_key *key, const char *text, char *to, char *why)
{
	size_t length = strlen(text);

	if (length == 0)
		return explain(why, "which is empty");
	if (length >= key->size) {
		snprintf(why, TD_CONFIG_WHY_MAX, "which is %zu characters long", length);
		return -EINVAL;
	}
	memcpy(to, text, length + 1);
	return 0;
}

static int read_name(const struct td_config_key *key, const char *text, char *to, char *why)
{
	const char *bad = text + strspn(text, NAME_CHARACTERS);

	// "." and ".." cannot name a kernel interface, a file or anything in a path.
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return explain(why, "which has another meaning");
	if (*bad) {
		snprintf(why, TD_CONFIG_WHY_MAX, "of which character %zu cannot be in a name",
		    (size_t)(bad - text) + 1);
		return -EINVAL;
	}
	return copy_text(key, text, to, why);
}

static int check_path(const char *text, char *why)
{
	if (text[0] != '/')
		return -EINVAL;
	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			return explain(why, "which has a control character");
	return 0;
}

static int read_path(const struct td_config_key *key, const char *text, char *to, char *why)
{
	return check_path(text, why) ? -EINVAL : copy_text(key, text, to, why);
}

static int keep_text(const char *text, void *to, char *why)
{
	char *copy = strdup(text);

	if (!copy)
		return explain(why, "for which there is no memory");
	memcpy(to, &copy, sizeof(copy));
	return 0;
}

static int read_file(const char *text, void *to, char *why)
{
	if (strlen(text) >= PATH_MAX)
		return explain(why, "which is too long for a path");
	return check_path(text, why) ? -EINVAL : keep_text(text, to, why);
}

static int read_identity(const char *text, void *to, char *why)
{
	struct td_ike_id id;

	return td_ike_id_parse(text, &id) < 0 ? -EINVAL : keep_text(text, to, why);
}

static int read_proposal(uint8_t protocol, const char *text, void *to, char *why)
{
	struct td_ike_proposals proposals = {0};
	struct td_error error = {0};

	if (td_ike_proposal_parse(protocol, text, &proposals, &error) < 0) {
		snprintf(why, TD_CONFIG_WHY_MAX, "which %s", error.reason);
		return -EINVAL;
	}
	return keep_text(text, to, why);
}

// [domain:]bus:device.function, as EAL takes it.
static bool is_pci(const char *text, size_t length)
{
	unsigned colons = 0, dots = 0;

	for (size_t i = 0; i < length; i++) {
		if (text[i] == ':' && dots == 0)
			colons++;
		else if (text[i] == '.')
			dots++;
		else if (!isxdigit((unsigned char)text[i]))
			return false;
	}
	return (colons == 1 || colons == 2) && dots == 1 && isxdigit((unsigned char)text[0]) &&
	       isxdigit((unsigned char)text[length - 1]);
}

static int read_device(const struct td_config_key *key, const char *text, char *to, char *why)
{
	size_t length = strcspn(text, ",");

	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return explain(why, "which has a blank or a control character");
	// "eth_" names are DPDK's older aliases of the "net_" drivers.
	if (!is_pci(text, length) && strncmp(text, "net_", 4) && strncmp(text, "eth_", 4)) {
		if (length && length < 16 && text[length] == '\0' &&
		    text[strspn(text, NAME_CHARACTERS)] == '\0')
			snprintf(why, TD_CONFIG_WHY_MAX,
			    "which may be a kernel interface (then write \"net_af_packet0,iface=%s\")", text);
		return -EINVAL;
	}
	return copy_text(key, text, to, why);
}

static int find_word(const struct td_config_word *words, const char *text, int *value)
{
	for (; words->word; words++) {
		if (strcmp(words->word, text) == 0) {
			*value = words->value;
			return 0;
		}
	}
	return -EINVAL;
}

// A decimal number without sign or blank that *end ends.
static int read_digits(const char *text, unsigned long max, const char **end, unsigned long *value)
{
	char *stop;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	*value = strtoul(text, &stop, 10);
	*end = stop;
	return *value <= max ? 0 : -EINVAL;
}

static int read_protocol(const struct td_config_key *key, const char *text, uint8_t *to)
{
	unsigned long number;
	const char *end;
	int word;

	if (find_word(key->words, text, &word) == 0) {
		*to = (uint8_t)word;
		return 0;
	}
	if (read_digits(text, (unsigned long)key->high, &end, &number) || *end ||
	    number < (unsigned long)key->low)
		return -EINVAL;
	*to = (uint8_t)number;
	return 0;
}

static int read_ports(const char *text, void *to, char *why)
{
	unsigned long low = 0, high = UINT16_MAX;
	const char *end = "";

	if (strcmp(text, "any") != 0) {
		if (read_digits(text, UINT16_MAX, &end, &low))
			return -EINVAL;
		high = low;
		if (*end == '-' && read_digits(end + 1, UINT16_MAX, &end, &high))
			return -EINVAL;
		if (*end)
			return -EINVAL;
		if (low == 0)
			return explain(why, "but there is no port 0");
		if (low > high)
			return explain(why, "of which the first port is greater than the last");
	}
	const uint16_t range[2] = {(uint16_t)low, (uint16_t)high};
	memcpy(to, range, sizeof(range));
	return 0;
}

void td_config_icmp_set(unsigned low, unsigned high, void *to)
{
	const uint16_t ranges[4] = {(uint16_t)low, (uint16_t)high, (uint16_t)low, (uint16_t)high};

	memcpy(to, ranges, sizeof(ranges));
}

// A type alone means all its codes.
static int read_icmp(const char *text, void *to, char *why)
{
	unsigned long low = 0, high = UINT8_MAX, code;
	const char *end = "";

	if (strcmp(text, "any") != 0) {
		if (read_digits(text, UINT8_MAX, &end, &low))
			return -EINVAL;
		high = low;
		if (*end == '/') {
			if (read_digits(end + 1, UINT8_MAX, &end, &code) || *end)
				return -EINVAL;
			td_config_icmp_set((unsigned)(low << 8 | code), (unsigned)(low << 8 | code), to);
			return 0;
		}
		if (*end == '-' && read_digits(end + 1, UINT8_MAX, &end, &high))
			return -EINVAL;
		if (*end)
			return -EINVAL;
		if (low > high)
			return explain(why, "of which the first type is greater than the last");
	}
	td_config_icmp_set((unsigned)low << 8, (unsigned)high << 8 | 0xff, to);
	return 0;
}

static bool is_unicast(const struct td_ip *ip)
{
	static const struct td_ip loopback = {.family = 6, .bytes[15] = 1};
	static const struct td_ip unset = {.family = 6};

	if (ip->family == 6)
		return ip->bytes[0] != 0xff && !td_ip_equal(ip, &loopback) && !td_ip_equal(ip, &unset);
	// 0/8, 127/8 and from 224/4 on: this network, loopback, multicast and reserved (RFC 6890).
	return ip->bytes[0] != 0 && ip->bytes[0] != 127 && ip->bytes[0] < 224;
}

static int read_address(const struct td_config_key *key, const char *text, struct td_ip *to, char *why)
{
	struct td_ip ip;
	int word;

	if (key->words && find_word(key->words, text, &word) == 0) {
		*to = (struct td_ip){0};
		return 0;
	}

	if (td_ip_parse(text, &ip))
		return -EINVAL;
	if (!is_unicast(&ip))
		return explain(why, "which is not a unicast address");
	*to = ip;
	return 0;
}

// An interface cannot have the network's own address or its broadcast address, except on
// point-to-point links (RFC 3021) and as a single address.
static bool is_host(const struct td_prefix *prefix)
{
	if (prefix->ip.family != 4 || prefix->length > 30)
		return true;
	uint32_t host = td_ip_v4(&prefix->ip) & (UINT32_MAX >> prefix->length);
	return host != 0 && host != UINT32_MAX >> prefix->length;
}

static int read_prefix(const struct td_config_key *key, const char *text, struct td_prefix *to, char *why)
{
	struct td_prefix prefix;

	if (td_prefix_parse(text, &prefix))
		return -EINVAL;
	if (key->flags & TD_CONFIG_NETWORK && !td_prefix_is_network(&prefix))
		return explain(why, "which has host bits set");
	if (key->flags & TD_CONFIG_INTERFACE) {
		if (!strchr(text, '/'))
			return explain(why, "which has no prefix length");
		if (!is_unicast(&prefix.ip))
			return explain(why, "which is not a unicast address");
		if (!is_host(&prefix))
			return explain(why, "which is the network's own or its broadcast address");
	}
	*to = prefix;
	return 0;
}

// Two addresses with a hyphen between them.
static int read_range(const char *text, const char *hyphen, struct td_ip *low, struct td_ip *high, char *why)
{
	char first[TD_IP_TEXT_MAX];
	size_t length = (size_t)(hyphen - text);

	if (length >= sizeof(first))
		return -EINVAL;
	memcpy(first, text, length);
	first[length] = '\0';
	if (td_ip_parse(first, low) || td_ip_parse(hyphen + 1, high))
		return -EINVAL;
	if (low->family != high->family)
		return explain(why, "which mixes IPv4 and IPv6");
	if (memcmp(low->bytes, high->bytes, td_ip_length(low->family)) > 0)
		return explain(why, "of which the first address is greater than the last");
	return 0;
}

static int read_selector(const struct td_config_key *key, const char *text, void *to, char *why)
{
	struct {
		struct td_prefix prefix;
		struct td_ip high;
	} selector = {0};
	const char *hyphen = strchr(text, '-');
	int result = 0;

	if (hyphen) {
		result = read_range(text, hyphen, &selector.prefix.ip, &selector.high, why);
		selector.prefix.length = (uint8_t)(8 * td_ip_length(selector.prefix.ip.family));
	} else if (strcmp(text, "any") != 0)
		result = read_prefix(key, text, &selector.prefix, why);
	if (result == 0)
		memcpy(to, &selector, sizeof(selector));
	return result;
}

int td_config_text_read(const struct td_config_key *key, const char *text, void *to, char *why)
{
	int word;

	switch (key->type) {
	case TD_CONFIG_NAME:
		return read_name(key, text, to, why);
	case TD_CONFIG_PATH:
		return read_path(key, text, to, why);
	case TD_CONFIG_DEVICE:
		return read_device(key, text, to, why);
	case TD_CONFIG_INTEGER:
	case TD_CONFIG_WORD:
		if (!key->words || find_word(key->words, text, &word))
			return -EINVAL;
		memcpy(to, &word, sizeof(word));
		return 0;
	case TD_CONFIG_PROTOCOL:
		return read_protocol(key, text, to);
	case TD_CONFIG_PORTS:
		return read_ports(text, to, why);
	case TD_CONFIG_ICMP:
		return read_icmp(text, to, why);
	case TD_CONFIG_SELECTOR:
		return read_selector(key, text, to, why);
	case TD_CONFIG_ADDRESS:
		return read_address(key, text, to, why);
	case TD_CONFIG_PREFIX:
	case TD_CONFIG_PREFIXES:
		return read_prefix(key, text, to, why);
	case TD_CONFIG_FILE:
		return read_file(text, to, why);
	case TD_CONFIG_IDENTITY:
		return read_identity(text, to, why);
	case TD_CONFIG_IKE_PROPOSALS:
		return read_proposal(TD_IKE_PROTO_IKE, text, to, why);
	case TD_CONFIG_ESP_PROPOSALS:
		return read_proposal(TD_IKE_PROTO_ESP, text, to, why);
	case TD_CONFIG_INTEGERS:
	case TD_CONFIG_BOOLEAN:
		break;
	}
	return -EINVAL;
}
