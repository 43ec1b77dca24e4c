// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packets between encapsulation and sealing, in one call of esp_out. Owner.

#include "dataplane/fib.h"
#include "dataplane/sa.h"

#include <rte_mbuf.h>

struct td_worker;

struct td_esp_batch {
	unsigned count;
	uint64_t bytes; // of the sealed packets
	struct td_crypt_op ops[TD_BURST];
	const struct td_suite *suites[TD_BURST];
	struct rte_mbuf *sealed[TD_BURST];
	// Where each goes, NULL: forward finds out.
	const struct td_adjacency *adjacencies[TD_BURST];
	uint16_t udp[TD_BURST]; // offset of the UDP header whose checksum is due, 0: none
	// The way to the peer of the last packet (td_esp_batch_route).
	const struct td_outer *outer;
	const struct td_adjacency *adjacency; // RESOLVED
};

static inline void td_esp_batch_init(struct td_esp_batch *batch)
{
	batch->count = 0;
	batch->bytes = 0;
	batch->outer = NULL;
}

// The resolved adjacency towards a peer, NULL where there is none. Packets of one SA follow each other.
static inline const struct td_adjacency *td_esp_batch_route(
    struct td_esp_batch *batch, const struct td_outer *outer)
{
	if (batch->outer == outer)
		return batch->adjacency;
	const struct td_adjacency *adjacency = outer->remote.family == 4
	                                           ? td_fib_lookup(td_ip_v4(&outer->remote))
	                                           : td_fib_lookup6(outer->remote.bytes);

	batch->outer = outer;
	batch->adjacency = adjacency && adjacency->kind == TD_ADJ_RESOLVED ? adjacency : NULL;
	return batch->adjacency;
}

// Counts a packet in whose operation, batch->ops[batch->count], is filled in.
static inline void td_esp_batch_add(struct td_esp_batch *batch, const struct td_sa_out *sa,
    struct rte_mbuf *mbuf, const struct td_adjacency *adjacency, uint16_t udp)
{
	batch->bytes += mbuf->data_len;
	batch->suites[batch->count] = sa->suite;
	batch->adjacencies[batch->count] = adjacency;
	batch->udp[batch->count] = udp;
	batch->sealed[batch->count++] = mbuf;
}

// Seals and sends what the batch has.
void td_esp_batch_finish(struct td_worker *worker, struct td_esp_batch *batch);
// The same for one packet in IPv6 that is longer than mtu: it goes out in fragments.
void td_esp_batch_finish_cut(
    struct td_worker *worker, struct td_esp_batch *batch, uint16_t mtu, uint32_t identification);
