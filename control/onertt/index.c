// SPDX-License-Identifier: BSD-3-Clause
// Peers by what message 1 says: the key of ours that it means, the static key or the identity of its sender.
// There may be thousands somewhere. Made anew when peers have changed.

#include "control/onertt/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_PER_PEER 2 // which of our keys, and whose

enum kind { OF_KEY, OF_STATIC, OF_ID };

struct td_onertt_index {
	uint64_t changes; // of the peers when this was made
	size_t mask;
	struct {
		uint64_t hash;
		struct td_ike_peer *peer; // NULL: free
	} entries[];
};

void td_onertt_index_free(struct td_ike *ike)
{
	free(ike->onertt_index);
	ike->onertt_index = NULL;
}

static uint64_t bytes_hash(uint64_t hash, struct td_bytes bytes)
{
	// Case aside, which does not count in names.
	for (size_t i = 0; i < bytes.length; i++)
		hash = td_hash_mix(hash + (uint8_t)tolower(bytes.data[i]));
	return hash;
}

// remote: as it is configured. All of one kind that td_onertt_search_next is to tell apart have one hash.
static uint64_t hash_of(const struct td_onertt_search *search, const struct td_ip *remote)
{
	uint64_t hash = td_ike_addresses_hash(&search->path->local, remote) ^ search->pattern;

	hash = bytes_hash(td_hash_mix(hash + search->kind), search->key_id);
	if (search->kind == OF_STATIC)
		return bytes_hash(hash, search->who);
	// Distinguished names are equal in more ways than these.
	if (search->kind == OF_ID && search->id_type != TD_ID_DN)
		return bytes_hash(td_hash_mix(hash + search->id_type), search->who);
	return hash;
}

static bool fits(const struct td_onertt_search *search, const struct td_ike_peer *peer)
{
	const struct td_onertt_config *config = &peer->config.onertt;

	if (!peer->place || peer->hidden || !config->enabled || !config->own ||
	    td_onertt_pattern(config->authentication) != search->pattern ||
	    memcmp(config->own->key_id, search->key_id.data, search->key_id.length) != 0 ||
	    !td_ip_equal(&peer->config.local_address, &search->path->local) ||
	    !td_ip_equal(&peer->config.remote_address, search->remote))
		return false;
	if (search->kind == OF_STATIC)
		return config->remote &&
		       memcmp(config->remote->public_key, search->who.data, TD_X25519_BYTES) == 0;
	return search->kind != OF_ID ||
	       td_ike_id_equal(&peer->config.remote_id, search->id_type, search->who);
}

// ---- making it ----------------------------------------------------------------------------------

static void insert(struct td_onertt_index *index, uint64_t hash, struct td_ike_peer *peer)
{
	size_t at = hash;

	while (index->entries[at & index->mask].peer)
		at++;
	index->entries[at & index->mask].hash = hash;
	index->entries[at & index->mask].peer = peer;
}

static struct td_ike_peer *step(const struct td_onertt_index *index, struct td_onertt_search *search)
{
	for (;; search->at++) {
		struct td_ike_peer *peer = index->entries[search->at & index->mask].peer;

		if (!peer)
			return NULL;
		if (index->entries[search->at & index->mask].hash == search->hash && fits(search, peer)) {
			search->at++;
			return peer;
		}
	}
}

static void peer_insert(struct td_onertt_index *index, struct td_ike_peer *peer)
{
	const struct td_ike_peer_config *config = &peer->config;
	const struct td_path path = {.local = config->local_address};
	struct td_onertt_search search = {.path = &path, .remote = &config->remote_address, .kind = OF_KEY};

	if (!peer->place || peer->hidden || !config->onertt.enabled || !config->onertt.own)
		return;
	search.pattern = td_onertt_pattern(config->onertt.authentication);
	search.key_id = (struct td_bytes){config->onertt.own->key_id, TD_ONERTT_KEY_ID_BYTES};
	search.at = search.hash = hash_of(&search, search.remote);
	// One of each key is enough, and thousands with one hash would be too many.
	if (!step(index, &search))
		insert(index, search.hash, peer);
	if (search.pattern == TD_NOISE_NKPSK2) {
		search.kind = OF_ID;
		search.id_type = config->remote_id.type;
		search.who = (struct td_bytes){config->remote_id.data, config->remote_id.length};
	} else if (config->onertt.remote) {
		search.kind = OF_STATIC;
		search.who = (struct td_bytes){config->onertt.remote->public_key, TD_X25519_BYTES};
	} else {
		return;
	}
	insert(index, hash_of(&search, search.remote), peer);
}

// NULL: no memory.
static const struct td_onertt_index *index_of(struct td_ike *ike)
{
	struct td_onertt_index *index = ike->onertt_index;
	struct td_ike_peer *peer;
	size_t room = 4;

	if (index && index->changes == ike->peer_changes)
		return index;
	td_onertt_index_free(ike);
	while (room < 2u * ENTRIES_PER_PEER * ike->peer_count)
		room *= 2;
	index = calloc(1, sizeof(*index) + room * sizeof(index->entries[0]));
	if (!index)
		return NULL;
	index->changes = ike->peer_changes;
	index->mask = room - 1;
	LIST_FOREACH (peer, &ike->peers, all)
		peer_insert(index, peer);
	return ike->onertt_index = index;
}

// ---- searching ----------------------------------------------------------------------------------

static void start(struct td_onertt_search *search)
{
	search->remote = &search->path->remote;
	search->at = search->hash = hash_of(search, search->remote);
}

void td_onertt_search_key(struct td_onertt_search *search, const struct td_path *path,
    enum td_noise_pattern pattern, struct td_bytes key_id)
{
	*search =
	    (struct td_onertt_search){.path = path, .pattern = pattern, .key_id = key_id, .kind = OF_KEY};
	start(search);
}

void td_onertt_search_static(struct td_onertt_search *search, const uint8_t static_key[TD_X25519_BYTES])
{
	search->kind = OF_STATIC;
	search->who = (struct td_bytes){static_key, TD_X25519_BYTES};
	start(search);
}

void td_onertt_search_id(struct td_onertt_search *search, uint8_t type, struct td_bytes data)
{
	search->kind = OF_ID;
	search->id_type = type;
	search->who = data;
	start(search);
}

struct td_ike_peer *td_onertt_search_next(struct td_ike *ike, struct td_onertt_search *search)
{
	static const struct td_ip anywhere;
	const struct td_onertt_index *index = index_of(ike);
	struct td_ike_peer *peer = index ? step(index, search) : NULL;

	if (!index || peer || search->remote == &anywhere)
		return peer;
	search->remote = &anywhere;
	search->at = search->hash = hash_of(search, search->remote);
	return step(index, search);
}
