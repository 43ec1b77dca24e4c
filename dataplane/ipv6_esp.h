// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Where ESP in transport mode goes in an IPv6 packet (RFC 4303 3.1.1, RFC 8200 4.1).
struct td_ipv6_split {
	uint16_t offset; // bytes that stay in front of ESP
	uint16_t protocol_offset; // of the next-header byte that will name ESP
};

// Behind hop-by-hop options, routing headers and the destination options in front of those; whatever else
// follows is protected. False: malformed, or a fragment.
bool td_ipv6_esp_place(const uint8_t *packet, uint32_t length, struct td_ipv6_split *split);
