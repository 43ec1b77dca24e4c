// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A gateway for fuzzers: an IKEv2 engine and a lifecycle in virtual time, over a data plane that only checks
// that it is used as control/lifecycle/lifecycle.h says. What it sends goes nowhere.

#include "control/ike/internal.h"

#define FUZZ_SPIS_MAX 512
#define FUZZ_SPI_CLAIMED 0x11f0u // is free at first
#define FUZZ_TUNNELS 3
#define FUZZ_PEERS 3
#define FUZZ_SLOTS 3 // of the tunnel that has most

enum fuzz_spi_state { FUZZ_SPI_NEW, FUZZ_SPI_RESERVED, FUZZ_SPI_INSTALLED, FUZZ_SPI_GONE };

struct fuzz_gateway {
	struct td_timers timers;
	struct td_ike *ike;
	struct td_lifecycle *life;
	// With a pre-shared key; with certificates, from anywhere. Or whatever the fuzzer has added.
	struct td_ike_peer *peers[FUZZ_PEERS];
	struct td_life_tunnel *tunnels[FUZZ_TUNNELS]; // the last one is of the second peer
	uint64_t random;
	uint32_t spi_next;
	enum fuzz_spi_state spis[FUZZ_SPIS_MAX];
	unsigned reserved, installed;
	uint64_t installs;
	unsigned timer_runs;
	uint8_t sent[TD_IKE_MESSAGE_MAX]; // the last message that was sent
	size_t sent_bytes;
	struct td_accepted *accepted; // NULL: no one-round-trip exchange
	unsigned flood; // half-open SAs that are only counted
};

extern const struct td_ip fuzz_local, fuzz_remote;
// Of the peers: how they prove who they are, and their names.
extern struct td_ike_credential *fuzz_psk, *fuzz_peer_key;
extern struct td_ike_id fuzz_psk_id, fuzz_key_id;

void fuzz_require(bool condition);
// Once: credentials.
void fuzz_gateway_prepare(void);
void fuzz_gateway_start(struct fuzz_gateway *gateway);
// Without peers and tunnels, which are for the caller to add. It takes the one-round-trip exchange.
void fuzz_gateway_create(struct fuzz_gateway *gateway);
void fuzz_gateway_tunnel_add(struct fuzz_gateway *gateway, unsigned number, struct td_ike_peer *peer);
uint64_t fuzz_gateway_wall_us(void *gateway);
// A tunnel is taken out of the configuration and put back.
void fuzz_gateway_reload(struct fuzz_gateway *gateway, unsigned tunnel);
// From now on initiators have to return cookies.
void fuzz_gateway_flood(struct fuzz_gateway *gateway);
// Ends both and looks for what is left behind.
void fuzz_gateway_stop(struct fuzz_gateway *gateway);
// Lets time pass. Returns false when an input has had its share of timers.
bool fuzz_gateway_run(struct fuzz_gateway *gateway, uint64_t duration_ns);
