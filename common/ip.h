// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdbool.h>
#include <stdint.h>

// An IPv4 or IPv6 address in wire order. family 0 means "not set".
struct td_ip {
	uint8_t family; // 0, 4 or 6
	uint8_t bytes[16];
};

// An address with a prefix length. Host bits may be set (an interface's address has them).
struct td_prefix {
	struct td_ip ip;
	uint8_t length; // bits
};

#define TD_IP_TEXT_MAX 48 // the longest IPv6 text and its terminator
#define TD_PREFIX_TEXT_MAX 52 // the same with "/128"

// "192.0.2.1" or "2001:db8::1". Returns 0 or -EINVAL; *ip is unchanged on error.
int td_ip_parse(const char *text, struct td_ip *ip);
// "192.0.2.0/24"; a text without "/" means the full length. Returns 0 or -EINVAL.
int td_prefix_parse(const char *text, struct td_prefix *prefix);
// Return text, which holds TD_IP_TEXT_MAX or TD_PREFIX_TEXT_MAX bytes.
const char *td_ip_format(const struct td_ip *ip, char *text);
const char *td_prefix_format(const struct td_prefix *prefix, char *text);

bool td_ip_equal(const struct td_ip *a, const struct td_ip *b);
// True when no host bit is set.
bool td_prefix_is_network(const struct td_prefix *prefix);
// Address length of a family in bytes: 4 or 16.
unsigned td_ip_length(uint8_t family);
// The address as a number in host order, for IPv4 only.
uint32_t td_ip_v4(const struct td_ip *ip);
struct td_ip td_ip_from_v4(uint32_t host_order);
