// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Blocks of a capture file (draft-ietf-opsawg-pcapng): a section header, an interface per port, then packets.
// librte_pcapng is not used: opening its file waits up to nine seconds for a port without a link
// (rte_eth_link_get), on the thread that serves everything else; and it knows no names of ports, no comments
// on packets, and no way back after half a block was written.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct td_pcapng_packet {
	uint32_t interface; // in the order of the interface blocks, from 0
	uint64_t time_ns; // since 1970
	const uint8_t *bytes;
	uint32_t captured, length;
	bool outbound;
	const char *comment; // NULL: none
};

// The room that a packet's block may need beyond its bytes.
#define TD_PCAPNG_PACKET_ROOM 256u
// The room of any other block.
#define TD_PCAPNG_BLOCK_ROOM 512u

// Each writes one block to out, which has the room, and returns its bytes. Texts are cut at 127 bytes.
size_t td_pcapng_section(uint8_t *out, const char *application, const char *comment);
size_t td_pcapng_interface(
    uint8_t *out, const char *name, const char *description, const uint8_t mac[6], uint32_t snaplen);
size_t td_pcapng_packet(uint8_t *out, const struct td_pcapng_packet *packet);
