// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The authentication header (RFC 4302), for both directions. What AH has in common with ESP, which is all but
// the shape of its packets, is in esp_in.c and esp_out.c.

#include "dataplane/suite.h"

#include <rte_byteorder.h>
#include <rte_common.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Behind it stand the IV (GMAC only, RFC 4543 4), the ICV and padding.
struct td_ah {
	uint8_t next_header;
	uint8_t words; // of four bytes in the whole header, less two
	rte_be16_t reserved;
	// From here on like an ESP header.
	rte_be32_t spi;
	rte_be32_t sequence;
} __rte_packed;

_Static_assert(sizeof(struct td_ah) == 12, "AH without its ICV (RFC 4302 2)");

// The header's bytes that every packet of a suite has.
static inline uint32_t td_ah_least_bytes(const struct td_suite *suite)
{
	return (uint32_t)sizeof(struct td_ah) + suite->info.iv_bytes + suite->info.icv_bytes;
}

// The header's bytes with the padding that an IP version asks for (RFC 4302 3.3.3.2.1).
static inline uint32_t td_ah_bytes(const struct td_suite *suite, uint8_t family)
{
	return RTE_ALIGN_CEIL(td_ah_least_bytes(suite), family == 6 ? 8u : 4u);
}

// The bytes that a received header says it has.
static inline uint32_t td_ah_received_bytes(const struct td_ah *ah)
{
	return (ah->words + 2u) * 4;
}

// Whether the IP header, its options and extension headers, bytes long together, are such as AH can protect:
// well-formed, and without a source route that leads on, or a routing header. Changes nothing.
bool td_ah_headers_valid(uint8_t *headers, uint32_t bytes);
// Zeroes what may change under way (RFC 4302 3.3.3.1 and appendix A) in headers that are valid.
void td_ah_mute(uint8_t *headers, uint32_t bytes);
