// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of this folder share with each other and with nobody else.

#include "common/hash.h"
#include "control/job.h"
#include "control/negotiate/negotiate.h"
#include "control/negotiate/sockets.h"

#include <sys/queue.h>

// Room for the text of one failure.
#define TD_NEGOTIATE_ERROR_MAX 256

// What tells peers from each other.
struct td_negotiate_ends {
	struct td_ip local_address, remote_address;
	struct td_ike_id local_id, remote_id;
	uint64_t hash; // the same of all that are equal
};

struct td_negotiate_peer {
	struct td_hash_node by_ends; // first
	TAILQ_ENTRY(td_negotiate_peer) entry;
	struct td_negotiate_ends ends;
	struct td_ike_peer *ike;
	struct td_ike_peer_config *config; // owned, as the credentials in it
	uint64_t wanted; // the last generation of tunnels that takes it
	bool leaving; // no tunnel takes it any more; it is in leaving_peers
	unsigned looked; // the last round in which was seen whether it is gone
	// While another configuration is prepared: it is new, or becomes this.
	bool fresh;
	struct td_ike_peer_config *next;
};
TAILQ_HEAD(td_negotiate_peers, td_negotiate_peer);

struct td_negotiate_tunnel {
	TAILQ_ENTRY(td_negotiate_tunnel) entry;
	struct td_negotiate *negotiate;
	struct td_tunnel *sad;
	struct td_life_tunnel *life;
	struct td_negotiate_peer *peer;
	uint64_t rekeys, up_since_ns;
	bool connecting;
	unsigned looked; // leaving: the last round in which was seen whether it is gone
	char last_error[TD_NEGOTIATE_ERROR_MAX];
};
TAILQ_HEAD(td_negotiate_tunnels, td_negotiate_tunnel);

struct td_negotiate {
	struct td_loop *loop;
	struct td_sad *sad;
	td_negotiate_event_fn fn;
	void *context;
	struct td_lifecycle *life;
	struct td_ike *ike;
	struct td_ike_sockets *sockets;
	uint64_t generation; // of the configuration's tunnels, from 1 on; a cancelled one counts
	struct td_negotiate_peers peers, leaving_peers;
	struct td_hash peers_by_ends; // addresses and identities
	char state_directory[108]; // of the secret
	bool token_tried;
	uint8_t token_secret[TD_IKE_TOKEN_SECRET_BYTES];
	struct td_freshness_file *freshness_file; // NULL: no tunnel needs it
	struct td_accepted *accepted;
	struct td_timer freshness_timer;
	struct td_job *freshness_job; // writes the bound; NULL: none does
	uint64_t freshness_bound_us; // the job's
	int freshness_result; // of the job
	bool freshness_stops;
	uint64_t freshness_told_ns; // when a failure was last logged
	struct td_negotiate_held *held; // first messages that wait for it, oldest first
	unsigned held_count;
	// Those that negotiate, and those that are on their way out with their part of the configuration.
	struct td_negotiate_tunnels tunnels, leaving;
	struct td_timer leave_timer;
	unsigned leave_round;
};

static inline struct td_negotiate_tunnel *td_negotiate_part(const struct td_tunnel *tunnel)
{
	return tunnel->user; // NULL: its SAs are injected
}

// dataplane.c: the SAD as the life cycle drives it.
struct td_life_dataplane td_negotiate_dataplane(struct td_negotiate *negotiate);
// peer_config.c: from the configuration to the engine's. Any thread.
int td_negotiate_ends_make(
    const struct td_tunnel_config *tunnel, struct td_negotiate_ends *ends, struct td_error *error);
bool td_negotiate_ends_equal(const struct td_negotiate_ends *a, const struct td_negotiate_ends *b);
// Reads the credentials. Returns NULL and fills *error.
struct td_ike_peer_config *td_negotiate_peer_config_make(
    const struct td_tunnel_config *tunnel, const struct td_negotiate_ends *ends, struct td_error *error);
void td_negotiate_peer_config_free(struct td_ike_peer_config *config); // NULL is nothing
int td_negotiate_esp_proposals(
    const struct td_tunnel_ike_config *ike, struct td_ike_proposals *proposals, struct td_error *error);
// reading.c
const struct td_negotiate_ends *td_negotiate_read_ends(const struct td_negotiate_read *read, unsigned tunnel);
// What the tunnel's peer becomes; NULL: that has been taken, or it stays as it is.
struct td_ike_peer_config *td_negotiate_read_take(struct td_negotiate_read *read, unsigned tunnel);
// peers.c
// The peer of a tunnel (its position in what was read), which may be a new one; those of tunnels that stay
// have been prepared. Returns NULL and fills *error.
struct td_negotiate_peer *td_negotiate_peer_of(
    struct td_negotiate *negotiate, struct td_negotiate_read *read, unsigned tunnel, struct td_error *error);
// A tunnel that stays, has it.
void td_negotiate_peer_prepare(const struct td_negotiate *negotiate, struct td_negotiate_peer *peer,
    struct td_negotiate_read *read, unsigned tunnel);
// It becomes what was prepared; or, one of its tunnels going, it leaves if none wants it; or all is as it
// was: one that was made and has no tunnel any more is gone then.
void td_negotiate_peer_take(struct td_negotiate_peer *peer);
void td_negotiate_peer_leave(struct td_negotiate *negotiate, struct td_negotiate_peer *peer);
void td_negotiate_peer_cancel(struct td_negotiate *negotiate, struct td_negotiate_peer *peer);
// Frees those that are gone, of those that were not looked at in this round, until end_ns. False: some are
// left.
bool td_negotiate_peers_sweep(struct td_negotiate *negotiate, uint64_t end_ns);
void td_negotiate_peers_free(struct td_negotiate *negotiate);
// tunnels.c
// The traffic that a tunnel is for.
void td_negotiate_selectors(
    const struct td_tunnel_config *tunnel, struct td_ts_list *local, struct td_ts_list *remote);
void td_negotiate_leave_due(void *negotiate);
void td_negotiate_tunnels_free(struct td_negotiate *negotiate);
// freshness.c: what the one-round-trip exchange needs, from its first tunnel on. Returns 0 or -errno and
// fills *error.
int td_negotiate_freshness_start(
    struct td_negotiate *negotiate, const struct td_tunnel_ike_config *ike, struct td_error *error);
void td_negotiate_freshness_stop(struct td_negotiate *negotiate);
void td_negotiate_freshness_due(void *negotiate);
// A message came in. One that waits for the disk is kept, and received again when the disk is done.
void td_negotiate_receive(
    struct td_negotiate *negotiate, const struct td_path *path, struct td_bytes message);
uint64_t td_negotiate_wall_us(void *context);
// token.c: reads, or makes, the secret that proves a crash of ours to peers (RFC 6290). Without one there is
// no such proof: a warning is logged and false returned.
bool td_negotiate_token_load(const char *directory, uint8_t secret[TD_IKE_TOKEN_SECRET_BYTES]);
