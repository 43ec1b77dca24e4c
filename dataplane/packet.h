// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What travels with a packet between stages, in the mbuf's private area. Between stages an mbuf
// starts at its IP header, and is one segment.

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

// Where a packet that came from another worker goes on.
enum td_stage { TD_STAGE_ESP_IN, TD_STAGE_ESP_OUT, TD_STAGE_TX };

struct td_packet {
	uint32_t tunnel; // for ESP_OUT: id
	uint16_t esp_offset; // for ESP_IN: where SPI and sequence number stand: the ESP header, or within AH
	uint16_t protocol_offset; // for ESP_IN: of the byte in the IP headers that names ESP, UDP or AH
	uint8_t stage; // enum td_stage
	uint8_t port; // received on, or leaves by (TX and packets of the kernel)
	uint8_t handoffs; // how often ESP_OUT went to another worker
	uint8_t protocol; // for ESP_IN: enum td_sa_protocol
	bool udp; // for ESP_IN: UDP-encapsulated
	bool dummy; // holds nothing, and is to become a dummy packet (RFC 4303 2.6)
	bool decrypted; // came protected
	bool selected; // is among what its SA carries: its fragments are, which may not show it
	bool ports; // policy asks for its ports, which fragments of it may not show to the peer's policy
	bool guarded; // quotes a packet that came protected: not to leave in plaintext
	bool own; // made by the control thread: starts at its IP header and is only forwarded
	bool kernel; // sent by the kernel: no hop was made, and its Ethernet header is in the headroom
	uint32_t trace; // mark of a packet under trace (trace.h), 0: none
};

static inline struct td_packet *td_packet(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}
