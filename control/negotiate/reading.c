// SPDX-License-Identifier: BSD-3-Clause
// What the peers of a configuration are: of each, once, the credentials that its tunnels name.

#include "control/negotiate/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

// A file that was changed so shortly before may be changed again without another time.
#define FILE_SETTLED_S 2

struct peer {
	struct td_hash_node by_ends; // first
	struct peer *next; // of all
	struct td_negotiate_ends ends;
	unsigned tunnel; // the first; the others name the same files
	bool same; // none of its tunnels is new, has gone or has changed
	struct td_ike_peer_config *config; // NULL: it stays as it is, or was taken
};

struct td_negotiate_read {
	struct td_hash by_ends;
	struct peer *peers;
	unsigned tunnel_count;
	struct peer *by_tunnel[]; // NULL: is not negotiated
};

// ---- files --------------------------------------------------------------------------------------

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return td_hash_mix(hash ^ value) + 1;
}

// A number for the files as they are; 0: there is none that would be another one after a change.
static uint64_t files_see(const struct td_tunnel_ike_config *ike)
{
	const char *const paths[] = {
	    ike->psk_file, ike->key_file, ike->certificate_file, ike->authority_file, ike->remote_key_file};
	uint64_t hash = 1;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct stat status;

		hash = mix(hash, i);
		if (!paths[i])
			continue;
		if (stat(paths[i], &status) != 0 || status.st_ctim.tv_sec + FILE_SETTLED_S > now.tv_sec)
			return 0;
		hash = mix(mix(hash, status.st_dev), status.st_ino);
		hash = mix(mix(hash, (uint64_t)status.st_size), (uint64_t)status.st_mode);
		hash = mix(mix(hash, (uint64_t)status.st_mtim.tv_sec), (uint64_t)status.st_mtim.tv_nsec);
		// Nobody sets this one, and it changes with the mode, too.
		hash = mix(mix(hash, (uint64_t)status.st_ctim.tv_sec), (uint64_t)status.st_ctim.tv_nsec);
	}
	return hash ? hash : 1;
}

// ---- peers --------------------------------------------------------------------------------------

static struct peer *peer_find(const struct td_negotiate_read *read, const struct td_negotiate_ends *ends)
{
	struct td_hash_node *node;

	for (node = td_hash_first(&read->by_ends, ends->hash); node; node = td_hash_next(node))
		if (td_negotiate_ends_equal(&((struct peer *)node)->ends, ends))
			return (struct peer *)node;
	return NULL;
}

static struct peer *peer_add(
    struct td_negotiate_read *read, const struct td_negotiate_ends *ends, unsigned tunnel)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->ends = *ends;
	peer->tunnel = tunnel;
	peer->same = true;
	peer->next = read->peers;
	read->peers = peer;
	td_hash_link(&read->by_ends, &peer->by_ends, ends->hash);
	return peer;
}

static int tunnel_note(struct td_negotiate_read *read, const struct td_config *config, unsigned i, bool same,
    struct td_error *error)
{
	const struct td_tunnel_config *tunnel = &config->tunnels[i];
	struct td_negotiate_ends ends;
	struct peer *peer;
	int ret;

	if (!tunnel->ike)
		return 0;
	ret = td_negotiate_ends_make(tunnel, &ends, error);
	if (ret < 0)
		return ret;
	peer = peer_find(read, &ends);
	if (!peer)
		peer = peer_add(read, &ends, i);
	if (!peer)
		return td_error_set(error, -ENOMEM, tunnel->name, NULL, "no memory");
	peer->same &= same;
	read->by_tunnel[i] = peer;
	return 0;
}

// Its peer may have had its name.
static void gone_note(const struct td_negotiate_read *read, const struct td_tunnel_config *tunnel)
{
	struct td_negotiate_ends ends;
	struct peer *peer;

	if (!tunnel->ike || td_negotiate_ends_make(tunnel, &ends, NULL) < 0)
		return;
	peer = peer_find(read, &ends);
	if (peer)
		peer->same = false;
}

static int tunnels_note(struct td_negotiate_read *read, const struct td_config *before,
    const struct td_config *config, const struct td_config_diff *diff, struct td_error *error)
{
	int ret = 0;

	for (unsigned i = 0; i < config->tunnel_count && ret == 0; i++)
		ret = tunnel_note(read, config, i,
		    diff && diff->tunnels[i].before != TD_CONFIG_NO_TUNNEL && !diff->tunnels[i].keys, error);
	for (unsigned i = 0; diff && i < diff->tunnel_count && ret == 0; i++)
		if (diff->tunnels[i].before != TD_CONFIG_NO_TUNNEL && !diff->tunnels[i].in_place)
			gone_note(read, &before->tunnels[diff->tunnels[i].before]);
	return ret;
}

// Looked at first, so that a change meanwhile shows the next time.
static int peer_read(struct peer *peer, const struct td_config *before, struct td_config *config,
    const struct td_config_diff *diff, struct td_error *error)
{
	const struct td_tunnel_config *tunnel = &config->tunnels[peer->tunnel];
	uint64_t seen = files_see(tunnel->ike);

	tunnel->ike->files_seen = seen;
	if (peer->same && seen != 0 &&
	    before->tunnels[diff->tunnels[peer->tunnel].before].ike->files_seen == seen)
		return 0;
	peer->config = td_negotiate_peer_config_make(tunnel, &peer->ends, error);
	return peer->config ? 0 : -EINVAL;
}

// ---- all of it ----------------------------------------------------------------------------------

struct td_negotiate_read *td_negotiate_read(const struct td_config *before, struct td_config *config,
    const struct td_config_diff *diff, struct td_error *error)
{
	struct td_negotiate_read *read =
	    calloc(1, sizeof(*read) + config->tunnel_count * sizeof(read->by_tunnel[0]));
	int ret = 0;

	if (!read || td_hash_reserve(&read->by_ends, config->tunnel_count + 1ul) < 0) {
		free(read);
		(void)td_error_set(error, -ENOMEM, "ike", NULL, "no memory");
		return NULL;
	}
	read->tunnel_count = config->tunnel_count;
	ret = tunnels_note(read, before, config, diff, error);
	for (struct peer *peer = read->peers; peer && ret == 0; peer = peer->next)
		ret = peer_read(peer, before, config, diff, error);
	for (unsigned i = 0; i < config->tunnel_count && ret == 0; i++)
		if (read->by_tunnel[i])
			config->tunnels[i].ike->files_seen =
			    config->tunnels[read->by_tunnel[i]->tunnel].ike->files_seen;
	if (ret == 0)
		return read;
	td_negotiate_read_free(read);
	return NULL;
}

void td_negotiate_read_free(struct td_negotiate_read *read)
{
	struct peer *peer;

	while (read && (peer = read->peers)) {
		read->peers = peer->next;
		td_negotiate_peer_config_free(peer->config);
		free(peer);
	}
	if (read)
		td_hash_free(&read->by_ends);
	free(read);
}

const struct td_negotiate_ends *td_negotiate_read_ends(const struct td_negotiate_read *read, unsigned tunnel)
{
	return &read->by_tunnel[tunnel]->ends;
}

struct td_ike_peer_config *td_negotiate_read_take(struct td_negotiate_read *read, unsigned tunnel)
{
	struct peer *peer = read->by_tunnel[tunnel];
	struct td_ike_peer_config *config = peer->config;

	peer->config = NULL;
	return config;
}
