// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/ipv6_ext.h"

#include <netinet/in.h>

#define IPV6_HEADER_BYTES 40u
#define IPV6_NEXT_HEADER_AT 6u
#define FRAGMENT_HEADER_BYTES 8u

static bool is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_FRAGMENT;
}

// Length of an extension header of which at least two bytes are there.
static uint32_t extension_length(uint8_t protocol, const uint8_t *header)
{
	return protocol == IPPROTO_FRAGMENT ? FRAGMENT_HEADER_BYTES : (header[1] + 1u) * 8;
}

// Notes what the fragment header at out->offset says.
static void fragment_read(const uint8_t *header, struct td_ipv6_upper *out)
{
	uint16_t field = (uint16_t)(header[2] << 8 | header[3]);

	out->fragment_at = out->offset;
	out->fragment_offset = field & 0xfff8;
	out->first = out->fragment_offset == 0;
	out->last = (field & 1) == 0;
}

bool td_ipv6_upper(const uint8_t *packet, uint32_t length, struct td_ipv6_upper *out)
{
	if (length < IPV6_HEADER_BYTES)
		return false;
	*out = (struct td_ipv6_upper){
	    .offset = IPV6_HEADER_BYTES,
	    .protocol_at = IPV6_NEXT_HEADER_AT,
	    .first = true,
	    .last = true,
	    .protocol = packet[IPV6_NEXT_HEADER_AT],
	};
	// Behind the header of a later fragment stands the middle of something.
	for (unsigned count = 0; out->first && is_extension(out->protocol); count++) {
		const uint8_t *header = packet + out->offset;
		uint32_t left = length - out->offset;

		if (count == TD_IPV6_EXT_MAX || left < 2 || extension_length(out->protocol, header) > left)
			return false;
		// RFC 8200 4.1: hop-by-hop options stand first, and there is one fragment header at most.
		if ((out->protocol == IPPROTO_HOPOPTS && count > 0) ||
		    (out->protocol == IPPROTO_FRAGMENT && out->fragment_at != 0))
			return false;
		if (out->protocol == IPPROTO_FRAGMENT)
			fragment_read(header, out);
		uint32_t bytes = extension_length(out->protocol, header);
		out->protocol_at = out->offset;
		out->protocol = header[0];
		out->offset += bytes;
	}
	return true;
}
