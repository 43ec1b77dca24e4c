// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of this folder share with each other and with nobody else.

#include "control/negotiate/negotiate.h"
#include "control/negotiate/sockets.h"

// Room for the text of one failure.
#define TD_NEGOTIATE_ERROR_MAX 256

struct td_negotiate_peer {
	struct td_negotiate_peer *next;
	const struct td_tunnel_config *first; // of the tunnels that share it
	struct td_ike_peer *ike;
	struct td_ike_credential *local, *remote; // the same for a pre-shared key
};

struct td_negotiate_tunnel {
	struct td_negotiate *negotiate;
	struct td_tunnel *sad;
	struct td_life_tunnel *life; // NULL: its SAs are injected
	struct td_negotiate_peer *peer;
	uint64_t rekeys, up_since_ns;
	bool connecting;
	char last_error[TD_NEGOTIATE_ERROR_MAX];
};

struct td_negotiate {
	struct td_loop *loop;
	struct td_sad *sad;
	td_negotiate_event_fn fn;
	void *context;
	struct td_lifecycle *life;
	struct td_ike *ike;
	struct td_ike_sockets *sockets;
	struct td_negotiate_peer *peers;
	uint8_t token_secret[TD_IKE_TOKEN_SECRET_BYTES];
	unsigned tunnel_count; // all of the configuration, by their numbers
	struct td_negotiate_tunnel tunnels[];
};

// dataplane.c: the SAD as the life cycle drives it.
struct td_life_dataplane td_negotiate_dataplane(struct td_negotiate *negotiate);
// peers.c: makes a tunnel's part of the engine and of the life cycle. Returns 0 or -errno and fills *error.
int td_negotiate_tunnel_add(struct td_negotiate *negotiate, struct td_tunnel *tunnel, struct td_error *error);
void td_negotiate_peers_free(struct td_negotiate *negotiate);
// token.c: reads, or makes, the secret that proves a crash of ours to peers (RFC 6290). Without one there is
// no such proof: a warning is logged and false returned.
bool td_negotiate_token_load(const char *directory, uint8_t secret[TD_IKE_TOKEN_SECRET_BYTES]);
