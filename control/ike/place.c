// SPDX-License-Identifier: BSD-3-Clause
// Where peers are: which ones a message between two addresses may belong to.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct td_ip anywhere;

static uint64_t ip_hash(uint64_t hash, const struct td_ip *ip)
{
	for (unsigned i = 0; ip->family && i < td_ip_length(ip->family); i++)
		hash = td_hash_mix(hash + ip->bytes[i] + 1);
	return hash;
}

uint64_t td_ike_addresses_hash(const struct td_ip *local, const struct td_ip *remote)
{
	return ip_hash(ip_hash(0, local), remote);
}

static struct td_ike_place *place_find(
    struct td_ike *ike, const struct td_ip *local, const struct td_ip *remote)
{
	uint64_t hash = td_ike_addresses_hash(local, remote);

	for (struct td_hash_node *node = td_hash_first(&ike->places, hash); node; node = td_hash_next(node)) {
		struct td_ike_place *place = (struct td_ike_place *)node;

		if (td_ip_equal(&place->local, local) && td_ip_equal(&place->remote, remote))
			return place;
	}
	return NULL;
}

static struct td_ike_place *place_make(
    struct td_ike *ike, const struct td_ip *local, const struct td_ip *remote)
{
	struct td_ike_place *place = place_find(ike, local, remote);

	if (place || td_hash_reserve(&ike->places, 1) < 0)
		return place;
	place = calloc(1, sizeof(*place));
	if (!place)
		return NULL;
	place->local = *local;
	place->remote = *remote;
	td_hash_link(&ike->places, &place->node, td_ike_addresses_hash(local, remote));
	return place;
}

int td_ike_place_enter(struct td_ike_peer *peer)
{
	peer->place = place_make(peer->ike, &peer->config.local_address, &peer->config.remote_address);
	if (!peer->place)
		return -ENOMEM;
	LIST_INSERT_HEAD(&peer->place->peers, peer, of_place);
	peer->place->surveyed = false;
	return 0;
}

void td_ike_place_changed(struct td_ike_peer *peer)
{
	if (peer->place)
		peer->place->surveyed = false;
}

void td_ike_place_leave(struct td_ike_peer *peer)
{
	if (!peer->place)
		return;
	LIST_REMOVE(peer, of_place);
	peer->place->surveyed = false;
	if (LIST_EMPTY(&peer->place->peers)) {
		td_hash_unlink(&peer->ike->places, &peer->place->node);
		free(peer->place->offers);
		free(peer->place);
	}
	peer->place = NULL;
}

static struct td_ike_peer *shown(struct td_ike_peer *peer)
{
	while (peer && peer->hidden)
		peer = LIST_NEXT(peer, of_place);
	return peer;
}

struct td_ike_peer *td_ike_peer_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_peer *after)
{
	const struct td_ike_place *place =
	    after ? after->place : place_find(ike, &path->local, &path->remote);
	struct td_ike_peer *peer = shown(after   ? LIST_NEXT(after, of_place)
	                                 : place ? LIST_FIRST(&place->peers)
	                                         : NULL);

	if (peer || (place && place->remote.family == 0))
		return peer;
	place = place_find(ike, &path->local, &anywhere);
	return place ? shown(LIST_FIRST(&place->peers)) : NULL;
}

// ---- what they have in common -------------------------------------------------------------------

static bool offer_known(const struct td_ike_place *place, const struct td_ike_proposals *proposals)
{
	for (unsigned i = 0; i < place->offer_count; i++)
		if (td_ike_proposals_equal(&place->offers[i]->config.proposals, proposals))
			return true;
	return false;
}

static int offer_note(struct td_ike_place *place, struct td_ike_peer *peer)
{
	struct td_ike_peer **offers = place->offers;

	if (offer_known(place, &peer->config.proposals))
		return 0;
	// Room in powers of two.
	if ((place->offer_count & (place->offer_count - 1)) == 0)
		offers = realloc(
		    offers, (place->offer_count ? 2 * (size_t)place->offer_count : 1) * sizeof(*offers));
	if (!offers)
		return -ENOMEM;
	place->offers = offers;
	place->offers[place->offer_count++] = peer;
	return 0;
}

static void trust_note(struct td_ike_place *place, const struct td_ike_peer *peer)
{
	if (!td_ike_certreq_is_empty(peer->config.remote) && place->truster_count < TD_IKE_CERTS_MAX) {
		for (unsigned i = 0; i < place->truster_count; i++)
			if (td_ike_certreq_equal(place->trusters[i]->config.remote, peer->config.remote))
				return;
		place->trusters[place->truster_count++] = peer;
	}
}

// The first peers of each kind, in the order in which peers are found.
static int survey(struct td_ike_place *place)
{
	struct td_ike_peer *peer;

	place->offer_count = place->truster_count = 0;
	LIST_FOREACH (peer, &place->peers, of_place) {
		// A peer with keys for one exchange is not met in the other.
		if (peer->hidden || peer->config.onertt.enabled)
			continue;
		if (offer_note(place, peer) < 0)
			return -ENOMEM;
		trust_note(place, peer);
	}
	place->surveyed = true;
	return 0;
}

const struct td_ike_place *td_ike_place_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_place *after)
{
	struct td_ike_place *place = after ? NULL : place_find(ike, &path->local, &path->remote);

	if (!place && (!after || after->remote.family != 0))
		place = place_find(ike, &path->local, &anywhere);
	return place && (place->surveyed || survey(place) == 0) ? place : NULL;
}
