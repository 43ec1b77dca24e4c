// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The packets that go through. Each lies in the same buffer all the time; before each pass it is made anew,
// beside the clock: a plain one gets its headers back, which is all that a pass changed for good, a sealed
// one is sealed by the far end with the next sequence number of its tunnel.

#include <rte_mbuf.h>
#include <stdint.h>

// Divides by a burst and by the twelve packets of the IMIX; 1400 bytes each of so many fit a second-level
// cache.
#define TD_PATH_PACKETS 192

struct td_path_packets {
	struct rte_mbuf *plain[TD_PATH_PACKETS], *sealed[TD_PATH_PACKETS];
	uint16_t sizes[TD_PATH_PACKETS]; // of the inner packet
	unsigned worker; // that they come to
	unsigned tunnels, plain_tunnel, sealed_tunnel; // their number, and whose turn is next
};

#define TD_PATH_IMIX 0 // as a size: 7 x 64, 4 x 570 and 1 x 1400 bytes

// Returns 0 or -ENOMEM.
int td_path_packets_create(struct td_path_packets *packets);
// Sets the sizes and starts with tunnel 0 of so many.
void td_path_packets_begin(struct td_path_packets *packets, unsigned size, unsigned tunnels);
// The same for another worker, and one tunnel.
void td_path_packets_begin_one(
    struct td_path_packets *packets, unsigned size, unsigned worker, unsigned tunnel);
void td_path_plain_make(struct td_path_packets *packets);
void td_path_sealed_make(struct td_path_packets *packets, unsigned suite);
// The bytes that a suite seals for an inner packet: with padding and trailer.
uint32_t td_path_sealed_bytes(unsigned suite, uint32_t size);
