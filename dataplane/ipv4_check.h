// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Whether bytes from outside are an IPv4 packet: of a frame, or of a decrypted payload.

#include "dataplane/drops.h"

#include <rte_ip.h>
#include <stdbool.h>

// Checks the header of the packet at ip, of which length bytes are there. Returns TD_DROP_COUNT and the
// packet's own length in *total, or the reason to drop it. The checksum is checked only where verify_checksum
// says so.
static inline enum td_drop td_ipv4_check(
    const struct rte_ipv4_hdr *ip, uint32_t length, bool verify_checksum, uint16_t *total)
{
	if (length < sizeof(*ip))
		return TD_DROP_RX_RUNT;
	if ((ip->version_ihl >> 4) != 4)
		return TD_DROP_IP_VERSION;
	unsigned header = rte_ipv4_hdr_len(ip);
	if (header < sizeof(*ip) || header > length)
		return TD_DROP_IP_HEADER;
	*total = rte_be_to_cpu_16(ip->total_length);
	if (*total < header || *total > length)
		return TD_DROP_IP_LENGTH;
	if (verify_checksum && rte_ipv4_cksum(ip) != 0)
		return TD_DROP_IP_CHECKSUM;
	// RFC 1122 3.2.1.3: never a source address. 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3.
	uint32_t source = rte_be_to_cpu_32(ip->src_addr);
	if (source >> 24 == 0 || source >> 24 == 127 || source >> 29 == 7)
		return TD_DROP_IP_SOURCE;
	return TD_DROP_COUNT;
}
