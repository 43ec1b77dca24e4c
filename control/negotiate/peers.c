// SPDX-License-Identifier: BSD-3-Clause
// From the configuration to the engine: tunnels between the same ends and identities share a peer, and so an
// IKE SA.

#include "control/negotiate/internal.h"

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

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool shares_peer(const struct td_tunnel_config *a, const struct td_tunnel_config *b)
{
	return td_ip_equal(&a->local_address, &b->local_address) &&
	       td_ip_equal(&a->remote_address, &b->remote_address) &&
	       text_equal(a->ike->local_id, b->ike->local_id) &&
	       text_equal(a->ike->remote_id, b->ike->remote_id);
}

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

static int credentials_make(
    const struct td_tunnel_ike_config *config, struct td_negotiate_peer *peer, struct td_error *error)
{
	if (config->psk_file) {
		peer->local = peer->remote = td_ike_credential_psk(config->psk_file, error);
		return peer->local ? 0 : -EINVAL;
	}
	peer->local = td_ike_credential_key(config->key_file, config->certificate_file, error);
	if (!peer->local)
		return -EINVAL;
	peer->remote = td_ike_credential_trust(config->authority_file, config->remote_key_file, error);
	return peer->remote ? 0 : -EINVAL;
}

// ---- peers ------------------------------------------------------------------------------------

static int peer_config_make(const struct td_tunnel_config *tunnel, const struct td_negotiate_peer *peer,
    struct td_ike_peer_config *config, struct td_error *error)
{
	const struct td_tunnel_ike_config *ike = tunnel->ike;
	int ret;

	*config = (struct td_ike_peer_config){
	    .local_address = tunnel->local_address,
	    .remote_address = tunnel->remote_address,
	    .local = peer->local,
	    .remote = peer->remote,
	    .encapsulate = ike->encapsulate,
	    .rekey_ns = ike->ike_rekey_ms * NS_PER_MS,
	    .retransmit_ns = ike->retransmit_ms * NS_PER_MS,
	    .retransmit_tries = ike->retransmit_tries,
	    .liveness_ns = ike->liveness_ms * NS_PER_MS,
	    .fragment_bytes = ike->fragment_bytes,
	};
	snprintf(config->name, sizeof(config->name), "%s", tunnel->name);
	ret = id_make(
	    ike->local_id, &tunnel->local_address, &config->local_id, tunnel->name, "local_id", error);
	if (ret == 0)
		ret = id_make(ike->remote_id, &tunnel->remote_address, &config->remote_id, tunnel->name,
		    "remote_id", error);
	if (ret == 0)
		ret = proposals_make(
		    TD_IKE_PROTO_IKE, ike->ike, ike->ike_count, ike_defaults, 2, &config->proposals, error);
	if (ret == 0)
		ret = td_ike_credential_check_id(peer->local, &config->local_id, error);
	return ret;
}

static void peer_free(struct td_negotiate_peer *peer)
{
	if (peer->remote != peer->local)
		td_ike_credential_free(peer->remote);
	td_ike_credential_free(peer->local);
	free(peer);
}

static struct td_negotiate_peer *peer_make(
    struct td_negotiate *negotiate, const struct td_tunnel_config *tunnel, struct td_error *error)
{
	struct td_negotiate_peer *peer = calloc(1, sizeof(*peer));
	struct td_ike_peer_config config;

	if (!peer) {
		(void)td_error_set(error, -ENOMEM, tunnel->name, NULL, "no memory");
		return NULL;
	}
	peer->first = tunnel;
	if (credentials_make(tunnel->ike, peer, error) < 0 ||
	    peer_config_make(tunnel, peer, &config, error) < 0 ||
	    td_ike_sockets_listen(negotiate->sockets, &tunnel->local_address, error) < 0) {
		peer_free(peer);
		return NULL;
	}
	peer->ike = td_ike_peer_add(negotiate->ike, &config);
	if (!peer->ike) {
		peer_free(peer);
		(void)td_error_set(error, -ENOMEM, tunnel->name, NULL, "no memory");
		return NULL;
	}
	peer->next = negotiate->peers;
	negotiate->peers = peer;
	return peer;
}

static struct td_negotiate_peer *peer_of(
    struct td_negotiate *negotiate, const struct td_tunnel_config *tunnel, struct td_error *error)
{
	for (struct td_negotiate_peer *peer = negotiate->peers; peer; peer = peer->next)
		if (shares_peer(peer->first, tunnel))
			return peer;
	return peer_make(negotiate, tunnel, error);
}

void td_negotiate_peers_free(struct td_negotiate *negotiate)
{
	struct td_negotiate_peer *peer;

	while ((peer = negotiate->peers)) {
		negotiate->peers = peer->next;
		peer_free(peer);
	}
}

// ---- tunnels ----------------------------------------------------------------------------------

static void selectors_make(const struct td_prefix *prefixes, unsigned count, struct td_ts_list *list)
{
	list->count = 0;
	for (unsigned i = 0; i < count && i < TD_TS_MAX; i++)
		list->list[list->count++] = td_ts_from_prefix(&prefixes[i]);
}

// Route-based tunnels carry whatever the routes send them.
static void selectors_any(struct td_ts_list *list)
{
	static const struct td_prefix any[] = {{.ip = {.family = 4}}, {.ip = {.family = 6}}};

	selectors_make(any, 2, list);
}

// The time in which a peer with our own settings has repeated a request as often as it does.
static uint64_t quiet_ns(const struct td_tunnel_ike_config *ike)
{
	uint64_t wait = ike->retransmit_ms * NS_PER_MS, sum = 0;

	for (unsigned i = 0; i < ike->retransmit_tries; i++, wait += wait / 2)
		sum += wait;
	return sum;
}

static void life_config_make(const struct td_tunnel_config *tunnel, struct td_life_config *config)
{
	static const enum td_life_start starts[] = {
	    [TD_TUNNEL_BOOT] = TD_START_BOOT,
	    [TD_TUNNEL_TRAP] = TD_START_TRAP,
	    [TD_TUNNEL_RESPOND] = TD_START_RESPOND,
	};
	const struct td_tunnel_ike_config *ike = tunnel->ike;

	*config = (struct td_life_config){
	    .start = starts[ike->start],
	    .slots = ike->per_worker && td_dp_worker_count() > 1 ? 1 + td_dp_worker_count() : 1,
	    .soft_ns = ike->rekey_ms * NS_PER_MS,
	    .hard_ns = ike->life_ms * NS_PER_MS,
	    .limits = ike->limits,
	    .drain_ns = tunnel->drain_ms * NS_PER_MS,
	    .quiet_ns = quiet_ns(ike),
	    .retry_ns = ike->retransmit_ms * NS_PER_MS,
	};
	snprintf(config->name, sizeof(config->name), "%s", tunnel->name);
}

int td_negotiate_tunnel_add(struct td_negotiate *negotiate, struct td_tunnel *tunnel, struct td_error *error)
{
	struct td_negotiate_tunnel *part = &negotiate->tunnels[tunnel->id];
	struct td_ike_child_config child = {.mode = tunnel->config.mode};
	struct td_life_config life;
	int ret = proposals_make(TD_IKE_PROTO_ESP, tunnel->config.ike->esp, tunnel->config.ike->esp_count,
	    esp_defaults, 2, &child.proposals, error);

	if (ret < 0)
		return ret;
	selectors_make(tunnel->config.local, tunnel->config.local_count, &child.local);
	selectors_make(tunnel->config.remote, tunnel->config.remote_count, &child.remote);
	if (child.local.count == 0)
		selectors_any(&child.local);
	if (child.remote.count == 0)
		selectors_any(&child.remote);
	part->peer = peer_of(negotiate, &tunnel->config, error);
	if (!part->peer)
		return -EINVAL;
	life_config_make(&tunnel->config, &life);
	part->life = td_life_tunnel_add(negotiate->life, &life, td_ike_negotiator(negotiate->ike), part);
	if (!part->life || td_ike_tunnel_add(part->peer->ike, part->life, &child) < 0)
		return td_error_set(error, -ENOMEM, tunnel->config.name, NULL, "no memory");
	return 0;
}
