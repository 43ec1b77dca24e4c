// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One gateway's control side: an IKEv2 engine and a lifecycle, with a clock of its own, a queue of what comes
// from the other gateway, and a data plane that only remembers which child an SPI belongs to.

#include "control/ike/ike.h"

#include <sys/queue.h>

struct td_parcel; // an IKE message, or a dummy packet on an SA

struct td_gateway_stats {
	uint64_t up; // tunnels that got their first child
	uint64_t rekeyed; // switches to a successor
	uint64_t down, expired, failed; // events that should not be
	uint64_t slack_min_ns; // left to a child's hard limit when its successor took over
};

struct td_gateway {
	struct td_gateway *other;
	struct td_timers timers;
	struct td_ike *ike;
	struct td_lifecycle *life;
	struct td_accepted *accepted; // of the one-round-trip exchange; NULL: none
	bool deaf; // what it sends is lost
	struct td_ip address; // of its first peering; each peer adds one
	TAILQ_HEAD(, td_parcel) inbox;
	uint64_t latency_ns; // to the other gateway
	struct td_life_child **children; // by SPI
	size_t spi_count, spi_room;
	bool proves; // dummy packets are sent; else they are left out
	struct td_gateway_stats stats;
};

// Returns 0 or -ENOMEM.
int td_gateway_start(struct td_gateway *gateway, struct td_gateway *other);
void td_gateway_stop(struct td_gateway *gateway);
// Can take the one-round-trip exchange from so many initiators; nothing of it goes to a disk. Returns 0 or
// -ENOMEM.
int td_gateway_remember(struct td_gateway *gateway, unsigned initiators);
// Takes one parcel that is here by now. Returns false when there was none.
bool td_gateway_take(struct td_gateway *gateway);
// When the next parcel is here, UINT64_MAX: none is under way.
uint64_t td_gateway_next_ns(const struct td_gateway *gateway);
// Runs everything that is due, and that comes of it here, until nothing is.
void td_gateway_run(struct td_gateway *gateway);
// Bytes of the model itself.
size_t td_gateway_model_bytes(const struct td_gateway *gateway);
