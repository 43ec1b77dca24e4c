// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Two gateways back to back in one thread. Side 0 stands for all the sites, side 1 is the hub that they
// connect to; each site is a peer, with an address of its own.

#include "bench/handshake/gateway.h"
#include "bench/handshake/pki.h"
#include "bench/handshake/statics.h"

struct td_pair_config {
	unsigned peers, tunnels; // of each peer
	const struct td_statics *statics; // of the one-round-trip exchange; NULL: IKEv2
	bool certificates; // else a pre-shared key
	bool newcomers; // nobody has seen the other's certificate before
	const char *esp; // proposal
	enum td_life_start start; // of the sites' tunnels
	uint64_t soft_ns, hard_ns;
	uint64_t liveness_ns; // of the sites, where there is no soft limit; 0: never asked
	uint64_t latency_ns; // one way
};

struct td_pair {
	struct td_pair_config config;
	struct td_gateway sides[2];
	struct td_ike_peer **peers[2];
	struct td_ike_credential **trusts[2]; // of newcomers
	struct td_life_tunnel **tunnels[2];
	unsigned tunnel_count; // of a side
	uint64_t cpu_ns[2]; // that each side has worked
};

// Time that this thread has run: what others do on the machine is not in it.
uint64_t td_cpu_now_ns(void);
// Nothing is sent before td_pair_connect. Returns 0 or -errno.
int td_pair_start(struct td_pair *pair, const struct td_pair_config *config, const struct td_pki *pki);
void td_pair_stop(struct td_pair *pair);
// Tunnels do what their start says.
void td_pair_connect(struct td_pair *pair);
// Turn by turn, until neither side has anything to do at this time.
void td_pair_run(struct td_pair *pair);
// Time of both clocks passes, and both do what is due then.
void td_pair_wait(struct td_pair *pair, uint64_t duration_ns);
// All tunnels, at both ends.
bool td_pair_is_up(const struct td_pair *pair);
