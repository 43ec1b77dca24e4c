// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/ipv6_esp.h"

#include <netinet/in.h>
#include <rte_ip.h>

#define HEADERS_MAX 8 // RFC 8200 4.1 names fewer

bool td_ipv6_esp_place(const uint8_t *packet, uint32_t length, struct td_ipv6_split *split)
{
	uint32_t offset = sizeof(struct rte_ipv6_hdr);
	uint32_t protocol_offset = offsetof(struct rte_ipv6_hdr, proto);

	*split = (struct td_ipv6_split){(uint16_t)offset, (uint16_t)protocol_offset};
	for (unsigned i = 0; i < HEADERS_MAX; i++) {
		uint8_t type = packet[protocol_offset];

		if (type == IPPROTO_FRAGMENT)
			return false;
		if (type != IPPROTO_HOPOPTS && type != IPPROTO_ROUTING && type != IPPROTO_DSTOPTS)
			return true;
		if (offset + 8 > length)
			return false;
		uint32_t next = offset + 8u * (1u + packet[offset + 1]);
		if (next > length)
			return false;
		protocol_offset = offset;
		offset = next;
		// Destination options count only once a routing header follows: then this moves on behind
		// both.
		if (type != IPPROTO_DSTOPTS)
			*split = (struct td_ipv6_split){(uint16_t)offset, (uint16_t)protocol_offset};
	}
	return false;
}
