// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/ah.h"

#include "common/limits.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <rte_ip.h>
#include <string.h>

#define IPV6_PAD1 0
#define IPV6_MAY_CHANGE 0x20 // bit of an option's type (RFC 8200 4.2)
#define SOURCE_ROUTE_FIRST 4 // least value of its pointer (RFC 791 3.1)

// RFC 4302 A1. What is not in its tables counts as mutable (3.3.3.1.1.2).
static bool is_immutable(uint8_t option)
{
	switch (option) {
	case IPOPT_EOL:
	case IPOPT_NOP:
	case 130: // security
	case 133: // extended security
	case 134: // commercial security
	case 148: // router alert
	case 149: // sender directed multi-destination delivery
		return true;
	default:
		return false;
	}
}

// A source route changes the destination address. At the last host it has come to its end (RFC 791 3.1), and
// where it has not, nobody knows yet what the ICV is to cover.
static bool leads_on(const uint8_t *option, uint32_t length)
{
	if (option[0] != IPOPT_LSRR && option[0] != IPOPT_SSRR)
		return false;
	return length < 3 || option[2] < SOURCE_ROUTE_FIRST || option[2] <= length;
}

static bool ipv4_walk(uint8_t *ip, uint32_t bytes, bool mute)
{
	for (uint32_t at = sizeof(struct rte_ipv4_hdr), length; at < bytes && ip[at] != IPOPT_EOL;
	     at += length) {
		length = 1;
		if (ip[at] != IPOPT_NOP) {
			if (at + 1 >= bytes)
				return false;
			length = ip[at + 1];
			if (length < 2 || at + length > bytes || leads_on(&ip[at], length))
				return false;
		}
		// Type and length go with the value (RFC 4302 3.3.3.1.1.2).
		if (mute && !is_immutable(ip[at]))
			memset(&ip[at], 0, length);
	}
	return true;
}

// The options of a hop-by-hop or destination options header. Type and length stay (RFC 4302 3.3.3.1.2.2).
static bool ipv6_options_walk(uint8_t *option, uint32_t bytes, bool mute)
{
	for (uint32_t at = 0; at < bytes;) {
		if (option[at] == IPV6_PAD1) {
			at++;
			continue;
		}
		if (at + 2 > bytes || at + 2u + option[at + 1] > bytes)
			return false;
		if (mute && option[at] & IPV6_MAY_CHANGE)
			memset(&option[at + 2], 0, option[at + 1]);
		at += 2u + option[at + 1];
	}
	return true;
}

// Routing headers are refused like others of which RFC 4302 A2 does not say what AH has to make of them: type
// 0 is deprecated (RFC 5095).
static bool ipv6_walk(uint8_t *ip, uint32_t bytes, bool mute)
{
	uint8_t type = ((const struct rte_ipv6_hdr *)ip)->proto;

	for (uint32_t at = sizeof(struct rte_ipv6_hdr), length; at < bytes; at += length) {
		if ((type != IPPROTO_HOPOPTS && type != IPPROTO_DSTOPTS) || at + 8 > bytes)
			return false;
		length = 8u * (1u + ip[at + 1]);
		if (at + length > bytes || !ipv6_options_walk(&ip[at + 2], length - 2, mute))
			return false;
		type = ip[at];
	}
	return true;
}

bool td_ah_headers_valid(uint8_t *headers, uint32_t bytes)
{
	if (bytes > TD_AH_HEADERS_MAX)
		return false;
	return *headers >> 4 == 4 ? ipv4_walk(headers, bytes, false) : ipv6_walk(headers, bytes, false);
}

void td_ah_mute(uint8_t *headers, uint32_t bytes)
{
	if (*headers >> 4 == 4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)headers;

		ip->type_of_service = 0;
		ip->fragment_offset = 0;
		ip->time_to_live = 0;
		ip->hdr_checksum = 0;
		(void)ipv4_walk(headers, bytes, true);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)headers;

		ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
		ip->hop_limits = 0;
		(void)ipv6_walk(headers, bytes, true);
	}
}
