// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The IKEv2 engine (RFC 7296): initiator and responder of IKE SAs, and of the children that control/lifecycle
// asks for. Plain C: time, randomness and the network are passed in; one thread.

#include "control/ike/credential.h"
#include "control/ike/proposal.h"
#include "control/ike/ts.h"
#include "control/lifecycle/lifecycle.h"
#include "control/onertt/onertt.h"
#include "control/path.h"
#include "control/timers.h"

#define TD_IKE_TOKEN_SECRET_BYTES 32

struct td_ike;
struct td_ike_peer;
struct td_ike_sa;

struct td_ike_env {
	struct td_timers *timers;
	void *context;
	void (*random)(void *context, void *bytes, size_t length);
	// Sends one IKE message, without the non-ESP marker: the socket of port 4500 puts it in front (RFC
	// 3948 2.2).
	void (*send)(void *context, const struct td_path *path, const uint8_t *message, size_t length);
	// The SPI of this side that has the number for its one half (common/ike_spi.h); NULL: any will do.
	uint64_t (*spi)(uint32_t number);
	int64_t (*unix_time)(void *context); // seconds, for certificates
	// TD_IKE_TOKEN_SECRET_BYTES that outlive the program, for RFC 6290; NULL: no crash detection.
	const uint8_t *token_secret;
	// The system's clock in microseconds since 1970, and which message 1 were accepted (the caller's):
	// both for the one-round-trip exchange.
	uint64_t (*wall_us)(void *context);
	struct td_accepted *accepted;
	// kind: "ike_up", "ike_down", "ike_refused", "ike_failed", "ike_rekeyed", "ike_moved", "ike_dead",
	// "child_refused". sa is NULL when there is none yet; reason may be.
	void (*event)(void *context, const char *kind, const struct td_ike_peer *peer,
	    const struct td_ike_sa *sa, const char *reason);
	// A peer behind a NAT has moved, with the children of a tunnel (RFC 7296 2.23); or NULL.
	void (*moved)(void *context, const struct td_life_tunnel *tunnel, const struct td_path *path);
};

// One peer: the IKE SA with it and all its tunnels share this.
struct td_ike_peer_config {
	char name[TD_NAME_MAX]; // of its first tunnel
	struct td_ip local_address;
	struct td_ip remote_address; // family 0: anywhere; then this side only responds
	struct td_ike_id local_id, remote_id; // remote type 0: any that authenticates
	struct td_ike_credential *local,
	    *remote; // PSK: the same; owned by the caller, who keeps them until the peer is gone
	struct td_ike_proposals proposals;
	bool encapsulate; // UDP also without a NAT
	uint64_t rekey_ns; // of the IKE SA; 0: never
	uint64_t retransmit_ns; // first timeout; grows by half each time
	unsigned retransmit_tries; // sends of one request at most
	uint64_t liveness_ns; // without a sign of life; 0: never asked
	unsigned fragment_bytes; // longest IP packet that is sent, at least 576
	struct td_onertt_config onertt; // negotiates by that instead; then without local and remote
};

// A tunnel's part of it.
struct td_ike_child_config {
	struct td_ike_proposals proposals; // ESP; with DH groups: PFS
	struct td_ts_list local, remote;
	enum td_sa_mode mode;
};

// Returns NULL when there is no memory.
struct td_ike *td_ike_create(const struct td_ike_env *env);
// Sends nothing. Children are not told.
void td_ike_destroy(struct td_ike *ike);

// The negotiator of tunnels that are added here, for td_life_tunnel_add.
const struct td_life_negotiator *td_ike_negotiator(struct td_ike *ike);

// Return NULL when there is no memory.
struct td_ike_peer *td_ike_peer_add(struct td_ike *ike, const struct td_ike_peer_config *config);
// Deletes its IKE SAs (DELETE is sent once, not waited for). It has no tunnels any more.
void td_ike_peer_remove(struct td_ike_peer *peer);
const struct td_ike_peer_config *td_ike_peer_config(const struct td_ike_peer *peer);
// Returns 0 or -ENOMEM.
int td_ike_tunnel_add(
    struct td_ike_peer *peer, struct td_life_tunnel *tunnel, const struct td_ike_child_config *config);
void td_ike_tunnel_remove(struct td_ike *ike, struct td_life_tunnel *tunnel);

// While IKE SAs stand:
// Another configuration between the same addresses and identities. IKE SAs stay; what the credentials were is
// not looked at any more when this returns.
void td_ike_peer_update(struct td_ike_peer *peer, const struct td_ike_peer_config *config);
// The peer goes: no new IKE SA is made with it, and those that there are, are deleted at both ends. To be
// called again until td_ike_peer_is_idle, then comes td_ike_peer_remove. (A rekey may be under way, whose
// successor has to go too.)
void td_ike_peer_retire(struct td_ike_peer *peer);
bool td_ike_peer_is_idle(const struct td_ike_peer *peer); // without tunnels and IKE SAs
// The tunnel goes: the peer gets no new child of it.
void td_ike_tunnel_leave(struct td_ike *ike, const struct td_life_tunnel *tunnel);
// It was to stay away until now: it takes part in everything.
void td_ike_tunnel_enter(struct td_ike *ike, const struct td_life_tunnel *tunnel);
// What comes from there meets no such peer while it is hidden: one that is prepared only.
void td_ike_peer_hide(struct td_ike_peer *peer, bool hide);
// As in struct td_ike_env; before the first peer is added.
void td_ike_token_secret_set(struct td_ike *ike, const uint8_t *secret);
void td_ike_accepted_set(struct td_ike *ike, struct td_accepted *accepted);

// One message, without the non-ESP marker.
void td_ike_receive(struct td_ike *ike, const struct td_path *path, struct td_bytes message);

// An ESP packet came for an SPI that nobody has (a hint that nobody vouches for). With an IKE SA to the
// sender: asks whether it lives (and the peer says whether it still knows us); without one, when a tunnel
// wants to be up: nothing more than the lifecycle does anyway. Answers an unknown SPI with nothing.
// Rate-limited.
void td_ike_unknown_spi(
    struct td_ike *ike, const struct td_ip *local, const struct td_ip *remote, uint32_t spi);
// The peer's ESP packets come from elsewhere (authenticated): its NAT has given it another address or port.
void td_ike_peer_moved(
    struct td_ike *ike, const struct td_life_tunnel *tunnel, const struct td_ip *remote, uint16_t port);
// Starts a new IKE SA key at once. Returns how many IKE SAs that concerns.
unsigned td_ike_peer_rekey(struct td_ike_peer *peer);

// ---- looking in -------------------------------------------------------------------------------

struct td_ike_sa_info {
	uint64_t spi_i, spi_r;
	bool initiator;
	bool onertt; // negotiated in one round trip
	const char *state; // "connecting", "established", "rekeyed", "deleting"
	struct td_path path;
	bool nat_local, nat_remote; // found
	struct td_ike_suite suite;
	struct td_ike_id remote_id;
	unsigned children;
	uint64_t established_ns; // env.timers; 0: not yet
};
void td_ike_foreach(const struct td_ike *ike,
    void (*fn)(void *context, const struct td_ike_peer *peer, const struct td_ike_sa_info *info),
    void *context);

struct td_ike_stats {
	uint64_t received, malformed, unauthentic, unexpected; // messages
	uint64_t retransmitted, answered_again;
	uint64_t cookies_sent, cookies_wrong, half_open_refused;
	uint64_t established, authentication_failed, no_proposal, dead; // IKE SAs
	uint64_t collisions; // rekeys that both sides started
	struct td_onertt_stats onertt;
};
const struct td_ike_stats *td_ike_stats(const struct td_ike *ike);
