// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What stands behind the extension headers of an IPv6 packet (RFC 8200 4).

#include <stdbool.h>
#include <stdint.h>

// A packet with a longer chain is refused: RFC 8200 4.1 knows no use for it, and the walk has to end.
#define TD_IPV6_EXT_MAX 8

struct td_ipv6_upper {
	uint32_t offset; // of the first byte behind the last extension header, from the start of the packet
	uint32_t protocol_at; // offset of the next-header byte that names the protocol
	uint32_t fragment_at; // offset of the fragment header; 0: there is none
	uint16_t fragment_offset; // bytes
	bool first, last; // fragment; a packet without fragment header is both
	// Of what stands at offset; 59 for nothing. In a fragment behind the first it is only what the
	// fragment header says, which may be an extension header whose bytes were in the first.
	uint8_t protocol;
};

// Walks the chain of a packet that starts at its IPv6 header, of which length bytes are there. False: a
// header is cut off, stands where it must not, or there are more than TD_IPV6_EXT_MAX. ESP and AH count as
// upper layers (RFC 4301 4.4.1.1). Any thread.
bool td_ipv6_upper(const uint8_t *packet, uint32_t length, struct td_ipv6_upper *out);
