// SPDX-License-Identifier: BSD-3-Clause
// The peers that the engine has: tunnels between the same ends and identities share one, and so an IKE SA.

#include "common/clock.h"
#include "control/negotiate/internal.h"

#include <errno.h>
#include <stdlib.h>

static void peer_free(struct td_negotiate *negotiate, struct td_negotiate_peer *peer)
{
	TAILQ_REMOVE(peer->leaving ? &negotiate->leaving_peers : &negotiate->peers, peer, entry);
	td_hash_unlink(&negotiate->peers_by_ends, &peer->by_ends);
	td_negotiate_peer_config_free(peer->config);
	td_negotiate_peer_config_free(peer->next);
	free(peer);
}

// Takes config.
static struct td_negotiate_peer *peer_make(struct td_negotiate *negotiate,
    const struct td_negotiate_ends *ends, struct td_ike_peer_config *config, struct td_error *error)
{
	struct td_negotiate_peer *peer = NULL;

	if (td_hash_reserve(&negotiate->peers_by_ends, 1) == 0)
		peer = calloc(1, sizeof(*peer));
	if (!peer) {
		(void)td_error_set(error, -ENOMEM, config->name, NULL, "no memory");
		td_negotiate_peer_config_free(config);
		return NULL;
	}
	peer->ends = *ends;
	peer->config = config;
	peer->fresh = true;
	TAILQ_INSERT_HEAD(&negotiate->peers, peer, entry);
	td_hash_link(&negotiate->peers_by_ends, &peer->by_ends, ends->hash);
	if (td_ike_sockets_listen(negotiate->sockets, &ends->local_address, error) < 0) {
		peer_free(negotiate, peer);
		return NULL;
	}
	peer->ike = td_ike_peer_add(negotiate->ike, config);
	if (!peer->ike) {
		(void)td_error_set(error, -ENOMEM, config->name, NULL, "no memory");
		peer_free(negotiate, peer);
		return NULL;
	}
	td_ike_peer_hide(peer->ike, true);
	return peer;
}

static bool is_wanted(const struct td_negotiate *negotiate, const struct td_negotiate_peer *peer)
{
	return peer->wanted == negotiate->generation;
}

struct td_negotiate_peer *td_negotiate_peer_of(
    struct td_negotiate *negotiate, struct td_negotiate_read *read, unsigned tunnel, struct td_error *error)
{
	const struct td_negotiate_ends *ends = td_negotiate_read_ends(read, tunnel);
	struct td_negotiate_peer *peer;
	struct td_hash_node *node;

	for (node = td_hash_first(&negotiate->peers_by_ends, ends->hash); node; node = td_hash_next(node)) {
		peer = (struct td_negotiate_peer *)node;
		if (is_wanted(negotiate, peer) && td_negotiate_ends_equal(&peer->ends, ends))
			return peer;
	}
	peer = peer_make(negotiate, ends, td_negotiate_read_take(read, tunnel), error);
	if (peer)
		peer->wanted = negotiate->generation;
	return peer;
}

// ---- another configuration --------------------------------------------------------------------

void td_negotiate_peer_prepare(const struct td_negotiate *negotiate, struct td_negotiate_peer *peer,
    struct td_negotiate_read *read, unsigned tunnel)
{
	if (is_wanted(negotiate, peer))
		return;
	peer->next = td_negotiate_read_take(read, tunnel);
	peer->wanted = negotiate->generation;
}

void td_negotiate_peer_take(struct td_negotiate_peer *peer)
{
	if (peer->next) {
		td_ike_peer_update(peer->ike, peer->next);
		td_negotiate_peer_config_free(peer->config);
		peer->config = peer->next;
		peer->next = NULL;
	}
	if (peer->fresh)
		td_ike_peer_hide(peer->ike, false);
	peer->fresh = false;
}

void td_negotiate_peer_leave(struct td_negotiate *negotiate, struct td_negotiate_peer *peer)
{
	if (peer->leaving || is_wanted(negotiate, peer))
		return;
	peer->leaving = true;
	TAILQ_REMOVE(&negotiate->peers, peer, entry);
	TAILQ_INSERT_HEAD(&negotiate->leaving_peers, peer, entry);
	peer->looked = negotiate->leave_round - 1;
	td_ike_peer_retire(peer->ike);
}

void td_negotiate_peer_cancel(struct td_negotiate *negotiate, struct td_negotiate_peer *peer)
{
	td_negotiate_peer_config_free(peer->next);
	peer->next = NULL;
	if (!peer->fresh || !td_ike_peer_is_idle(peer->ike))
		return;
	td_ike_peer_remove(peer->ike);
	peer_free(negotiate, peer);
}

bool td_negotiate_peers_sweep(struct td_negotiate *negotiate, uint64_t end_ns)
{
	struct td_negotiate_peer *peer;

	while ((peer = TAILQ_FIRST(&negotiate->leaving_peers)) && peer->looked != negotiate->leave_round) {
		if (td_clock_now_ns() >= end_ns)
			return false;
		peer->looked = negotiate->leave_round;
		TAILQ_REMOVE(&negotiate->leaving_peers, peer, entry);
		TAILQ_INSERT_TAIL(&negotiate->leaving_peers, peer, entry);
		td_ike_peer_retire(peer->ike);
		if (!td_ike_peer_is_idle(peer->ike))
			continue;
		td_ike_peer_remove(peer->ike);
		peer_free(negotiate, peer);
	}
	return true;
}

void td_negotiate_peers_free(struct td_negotiate *negotiate)
{
	struct td_negotiate_peer *peer;

	while ((peer = TAILQ_FIRST(&negotiate->leaving_peers)) || (peer = TAILQ_FIRST(&negotiate->peers)))
		peer_free(negotiate, peer);
	td_hash_free(&negotiate->peers_by_ends);
}
