// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Pieces of ESP (RFC 4303) that both directions use.

#include "dataplane/suite.h"

#include <rte_esp.h>
#include <rte_ip.h>
#include <stdint.h>
#include <string.h>

// Padding length and next header, behind the padding.
struct td_esp_trailer {
	uint8_t pad_length;
	uint8_t next_header;
};

#define TD_ESP_PAD_MAX 255

// 1, 2, 3, ... (RFC 4303 2.4)
extern const uint8_t td_esp_padding[TD_ESP_PAD_MAX];

#define TD_ECN_MASK 3u
#define TD_ECN_NOT_ECT 0u
#define TD_ECN_ECT1 1u
#define TD_ECN_CE 3u

// The inner header's ECN field after decapsulation (RFC 6040 4.2), or -1: drop the packet.
static inline int td_ecn_decapsulate(uint8_t outer, uint8_t inner)
{
	if (outer == TD_ECN_CE)
		return inner == TD_ECN_NOT_ECT ? -1 : (int)TD_ECN_CE;
	if (outer == TD_ECN_ECT1 && inner != TD_ECN_NOT_ECT && inner != TD_ECN_CE)
		return TD_ECN_ECT1;
	return inner;
}

#define TD_ESP_AAD_MAX_BYTES 12

static inline uint8_t td_esp_aad_bytes(const struct td_crypt_op *op)
{
	return op->esn ? 12 : 8;
}

// Additional authenticated data (RFC 4106 5): SPI and sequence number, of 32 or 64 bits. Returns its length.
static inline uint8_t td_esp_aad(uint8_t *aad, const struct td_crypt_op *op)
{
	rte_be32_t high = rte_cpu_to_be_32((uint32_t)(op->sequence >> 32));
	rte_be32_t low = rte_cpu_to_be_32((uint32_t)op->sequence);

	memcpy(aad, op->esp, 4);
	memcpy(aad + 4, op->esn ? &high : &low, 4);
	if (op->esn)
		memcpy(aad + 8, &low, 4);
	return td_esp_aad_bytes(op);
}
