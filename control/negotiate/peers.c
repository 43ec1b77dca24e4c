// SPDX-License-Identifier: BSD-3-Clause
// From the configuration to the engine: tunnels between the same ends and identities share a peer, and so an
// IKE SA.

#include "control/negotiate/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000ull

static const char *const ike_defaults[] = {
    "aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-ecp521-"
    "modp3072-modp2048",
    "aes128-aes256-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp2048",
};
static const char *const esp_defaults[] = {
    "aes128gcm16-aes256gcm16-chacha20poly1305",
    "aes128-aes256-sha256-sha384-sha512",
};

// ---- pieces of the configuration ----------------------------------------------------------------

static int id_make(const char *text, const struct td_ip *address, struct td_ike_id *id, const char *tunnel,
    const char *field, struct td_error *error)
{
	char buffer[TD_IP_TEXT_MAX];

	*id = (struct td_ike_id){0};
	if (!text && address->family == 0)
		return 0; // anybody who can prove it
	if (td_ike_id_parse(text ? text : td_ip_format(address, buffer), id) < 0)
		return td_error_set(error, -EINVAL, tunnel, field, "is no identity");
	return 0;
}

static int proposals_make(uint8_t protocol, char *const *texts, unsigned count, const char *const *defaults,
    unsigned default_count, struct td_ike_proposals *proposals, struct td_error *error)
{
	int ret = 0;

	*proposals = (struct td_ike_proposals){0};
	for (unsigned i = 0; i < count && ret == 0; i++)
		ret = td_ike_proposal_parse(protocol, texts[i], proposals, error);
	for (unsigned i = 0; count == 0 && i < default_count && ret == 0; i++)
		ret = td_ike_proposal_parse(protocol, defaults[i], proposals, error);
	return ret;
}

static void credentials_free(const struct td_ike_peer_config *config)
{
	if (config->remote != config->local)
		td_ike_credential_free(config->remote);
	td_ike_credential_free(config->local);
	td_onertt_static_free((struct td_onertt_static *)(uintptr_t)config->onertt.own);
	td_onertt_remote_free((struct td_onertt_remote *)(uintptr_t)config->onertt.remote);
}

static int proofs_read(
    const struct td_tunnel_ike_config *ike, struct td_ike_peer_config *config, struct td_error *error)
{
	if (ike->psk_file) {
		config->local = config->remote = td_ike_credential_psk(ike->psk_file, error);
		return config->local ? 0 : -EINVAL;
	}
	config->local = td_ike_credential_key(ike->key_file, ike->certificate_file, error);
	if (config->local)
		config->remote = td_ike_credential_trust(ike->authority_file, ike->remote_key_file, error);
	return config->remote ? 0 : -EINVAL;
}

static int static_keys_read(
    const struct td_tunnel_ike_config *ike, struct td_ike_peer_config *config, struct td_error *error)
{
	config->onertt = (struct td_onertt_config){
	    .enabled = true,
	    .authentication = ike->authentication,
	    .source = ike->key_source,
	    .delivery = ike->key_delivery,
	    .early_data = ike->early_data,
	    .early_delay_ns = ike->early_delay_ms * NS_PER_MS,
	    .window = {.step_s = ike->code_step_s, .steps = ike->code_window},
	    .session_ns = ike->session_ms * NS_PER_MS,
	};
	if (ike->key_file &&
	    !(config->onertt.own = td_onertt_static_load(ike->key_file, ike->certificate_file, error)))
		return -EINVAL;
	if (ike->remote_key_file &&
	    !(config->onertt.remote = td_onertt_remote_load(ike->remote_key_file, error)))
		return -EINVAL;
	return ike->psk_file ? td_onertt_secret_load(ike->psk_file, &config->onertt.secret, error) : 0;
}

// What the configuration says about the peer's identity must be what its certificate says.
static int identities_check(const struct td_ike_peer_config *config, struct td_error *error)
{
	if (!config->onertt.enabled)
		return td_ike_credential_check_id(config->local, &config->local_id, error);
	if (config->onertt.authentication != TD_ONERTT_ID)
		return 0;
	return td_onertt_remote_check_id(config->onertt.remote, &config->remote_id, error);
}

int td_negotiate_esp_proposals(
    const struct td_tunnel_ike_config *ike, struct td_ike_proposals *proposals, struct td_error *error)
{
	return proposals_make(TD_IKE_PROTO_ESP, ike->esp, ike->esp_count, esp_defaults, 2, proposals, error);
}

// ---- peers ------------------------------------------------------------------------------------

static int ids_make(const struct td_tunnel_config *tunnel, struct td_ike_id *local, struct td_ike_id *remote,
    struct td_error *error)
{
	const struct td_tunnel_ike_config *ike = tunnel->ike;
	int ret = id_make(ike->local_id, &tunnel->local_address, local, tunnel->name, "local_id", error);

	if (ret == 0)
		ret = id_make(
		    ike->remote_id, &tunnel->remote_address, remote, tunnel->name, "remote_id", error);
	return ret;
}

static uint64_t bytes_hash(uint64_t hash, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = td_hash_mix(hash + (unsigned)tolower(bytes[i]) + 1);
	return hash;
}

// Equal names of a DN may be written in more than one way, those of others but in their case.
static uint64_t id_hash(uint64_t hash, const struct td_ike_id *id)
{
	return bytes_hash(hash + id->type, id->data, id->type == TD_ID_DN ? 0 : id->length);
}

// What tells peers from each other.
static uint64_t ends_hash(const struct td_ip *local_address, const struct td_ip *remote_address,
    const struct td_ike_id *local, const struct td_ike_id *remote)
{
	uint64_t hash = bytes_hash(local_address->family, local_address->bytes, sizeof(local_address->bytes));

	hash =
	    bytes_hash(hash + remote_address->family, remote_address->bytes, sizeof(remote_address->bytes));
	return id_hash(id_hash(hash, local), remote);
}

// Reads the credentials, which become the caller's with the configuration.
static int peer_config_make(
    const struct td_tunnel_config *tunnel, struct td_ike_peer_config *config, struct td_error *error)
{
	const struct td_tunnel_ike_config *ike = tunnel->ike;
	int ret;

	*config = (struct td_ike_peer_config){
	    .local_address = tunnel->local_address,
	    .remote_address = tunnel->remote_address,
	    .encapsulate = ike->encapsulate,
	    .rekey_ns = ike->ike_rekey_ms * NS_PER_MS,
	    .retransmit_ns = ike->retransmit_ms * NS_PER_MS,
	    .retransmit_tries = ike->retransmit_tries,
	    .liveness_ns = ike->liveness_ms * NS_PER_MS,
	    .fragment_bytes = ike->fragment_bytes,
	};
	snprintf(config->name, sizeof(config->name), "%s", tunnel->name);
	ret = ike->negotiation == TD_NEGOTIATION_ONERTT ? static_keys_read(ike, config, error)
	                                                : proofs_read(ike, config, error);
	if (ret == 0)
		ret = ids_make(tunnel, &config->local_id, &config->remote_id, error);
	if (ret == 0)
		ret = proposals_make(
		    TD_IKE_PROTO_IKE, ike->ike, ike->ike_count, ike_defaults, 2, &config->proposals, error);
	if (ret == 0)
		ret = identities_check(config, error);
	if (ret < 0) {
		credentials_free(config);
		td_wipe(config, sizeof(*config));
	}
	return ret;
}

static void peer_free(struct td_negotiate *negotiate, struct td_negotiate_peer *peer)
{
	TAILQ_REMOVE(&negotiate->peers, peer, entry);
	td_hash_unlink(&negotiate->peers_by_ends, &peer->by_ends);
	credentials_free(&peer->config);
	if (peer->kept)
		credentials_free(&peer->next);
	td_wipe(peer, sizeof(*peer));
	free(peer);
}

static struct td_negotiate_peer *peer_make(struct td_negotiate *negotiate,
    const struct td_tunnel_config *tunnel, uint64_t hash, struct td_error *error)
{
	struct td_negotiate_peer *peer = NULL;

	if (td_hash_reserve(&negotiate->peers_by_ends, 1) == 0)
		peer = calloc(1, sizeof(*peer));
	if (!peer) {
		(void)td_error_set(error, -ENOMEM, tunnel->name, NULL, "no memory");
		return NULL;
	}
	if (peer_config_make(tunnel, &peer->config, error) < 0) {
		free(peer);
		return NULL;
	}
	TAILQ_INSERT_HEAD(&negotiate->peers, peer, entry);
	td_hash_link(&negotiate->peers_by_ends, &peer->by_ends, hash);
	peer->fresh = true;
	if (td_ike_sockets_listen(negotiate->sockets, &tunnel->local_address, error) < 0) {
		peer_free(negotiate, peer);
		return NULL;
	}
	peer->ike = td_ike_peer_add(negotiate->ike, &peer->config);
	if (peer->ike)
		return peer;
	peer_free(negotiate, peer);
	(void)td_error_set(error, -ENOMEM, tunnel->name, NULL, "no memory");
	return NULL;
}

static bool id_equal(const struct td_ike_id *a, const struct td_ike_id *b)
{
	return (a->type == 0 && b->type == 0) ||
	       td_ike_id_equal(a, b->type, (struct td_bytes){b->data, b->length});
}

struct td_negotiate_peer *td_negotiate_peer_of(
    struct td_negotiate *negotiate, const struct td_tunnel_config *tunnel, struct td_error *error)
{
	struct td_ike_id local, remote;
	struct td_hash_node *node;
	uint64_t hash;

	if (ids_make(tunnel, &local, &remote, error) < 0)
		return NULL;
	hash = ends_hash(&tunnel->local_address, &tunnel->remote_address, &local, &remote);
	for (node = td_hash_first(&negotiate->peers_by_ends, hash); node; node = td_hash_next(node)) {
		struct td_negotiate_peer *peer = (struct td_negotiate_peer *)node;
		const struct td_ike_peer_config *config = td_ike_peer_config(peer->ike);

		if ((peer->kept || peer->fresh) &&
		    td_ip_equal(&config->local_address, &tunnel->local_address) &&
		    td_ip_equal(&config->remote_address, &tunnel->remote_address) &&
		    id_equal(&config->local_id, &local) && id_equal(&config->remote_id, &remote))
			return peer;
	}
	return peer_make(negotiate, tunnel, hash, error);
}

// ---- another configuration --------------------------------------------------------------------

int td_negotiate_peer_prepare(
    struct td_negotiate_peer *peer, const struct td_tunnel_config *tunnel, struct td_error *error)
{
	int ret;

	if (peer->kept)
		return 0;
	ret = peer_config_make(tunnel, &peer->next, error);
	peer->kept = ret == 0;
	return ret;
}

void td_negotiate_peers_commit(struct td_negotiate *negotiate)
{
	struct td_negotiate_peer *peer;

	TAILQ_FOREACH (peer, &negotiate->peers, entry) {
		if (peer->kept) {
			td_ike_peer_update(peer->ike, &peer->next);
			credentials_free(&peer->config);
			peer->config = peer->next;
			td_wipe(&peer->next, sizeof(peer->next));
		} else if (!peer->fresh) {
			peer->leaving = true;
			td_ike_peer_retire(peer->ike);
		}
		peer->kept = peer->fresh = false;
	}
}

void td_negotiate_peers_cancel(struct td_negotiate *negotiate)
{
	struct td_negotiate_peer *peer, *next;

	for (peer = TAILQ_FIRST(&negotiate->peers); peer; peer = next) {
		next = TAILQ_NEXT(peer, entry);
		if (peer->kept)
			credentials_free(&peer->next);
		peer->kept = false;
		if (!peer->fresh)
			continue;
		td_ike_peer_remove(peer->ike);
		peer_free(negotiate, peer);
	}
}

void td_negotiate_peers_sweep(struct td_negotiate *negotiate)
{
	struct td_negotiate_peer *peer, *next;

	for (peer = TAILQ_FIRST(&negotiate->peers); peer; peer = next) {
		next = TAILQ_NEXT(peer, entry);
		if (!peer->leaving)
			continue;
		td_ike_peer_retire(peer->ike);
		if (!td_ike_peer_is_idle(peer->ike))
			continue;
		td_ike_peer_remove(peer->ike);
		peer_free(negotiate, peer);
	}
}

void td_negotiate_peers_free(struct td_negotiate *negotiate)
{
	struct td_negotiate_peer *peer;

	while ((peer = TAILQ_FIRST(&negotiate->peers)))
		peer_free(negotiate, peer);
	td_hash_free(&negotiate->peers_by_ends);
}
