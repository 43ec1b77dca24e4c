// SPDX-License-Identifier: BSD-3-Clause
// From the configuration to what the engine wants to know of peers, credentials read. Nothing here touches
// the engine, so that another thread can do it.

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

// ---- ends -------------------------------------------------------------------------------------

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

int td_negotiate_ends_make(
    const struct td_tunnel_config *tunnel, struct td_negotiate_ends *ends, struct td_error *error)
{
	const struct td_tunnel_ike_config *ike = tunnel->ike;
	const struct td_ip *local = &tunnel->local_address, *remote = &tunnel->remote_address;
	int ret;

	*ends = (struct td_negotiate_ends){.local_address = *local, .remote_address = *remote};
	ret = id_make(ike->local_id, local, &ends->local_id, tunnel->name, "local_id", error);
	if (ret == 0)
		ret = id_make(ike->remote_id, remote, &ends->remote_id, tunnel->name, "remote_id", error);
	ends->hash = bytes_hash(local->family, local->bytes, sizeof(local->bytes));
	ends->hash = bytes_hash(ends->hash + remote->family, remote->bytes, sizeof(remote->bytes));
	ends->hash = id_hash(id_hash(ends->hash, &ends->local_id), &ends->remote_id);
	return ret;
}

static bool id_equal(const struct td_ike_id *a, const struct td_ike_id *b)
{
	return (a->type == 0 && b->type == 0) ||
	       td_ike_id_equal(a, b->type, (struct td_bytes){b->data, b->length});
}

bool td_negotiate_ends_equal(const struct td_negotiate_ends *a, const struct td_negotiate_ends *b)
{
	return td_ip_equal(&a->local_address, &b->local_address) &&
	       td_ip_equal(&a->remote_address, &b->remote_address) && id_equal(&a->local_id, &b->local_id) &&
	       id_equal(&a->remote_id, &b->remote_id);
}

// ---- peers ------------------------------------------------------------------------------------

static int make(const struct td_tunnel_config *tunnel, const struct td_negotiate_ends *ends,
    struct td_ike_peer_config *config, struct td_error *error)
{
	const struct td_tunnel_ike_config *ike = tunnel->ike;
	int ret;

	*config = (struct td_ike_peer_config){
	    .local_address = ends->local_address,
	    .remote_address = ends->remote_address,
	    .local_id = ends->local_id,
	    .remote_id = ends->remote_id,
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
		ret = proposals_make(
		    TD_IKE_PROTO_IKE, ike->ike, ike->ike_count, ike_defaults, 2, &config->proposals, error);
	return ret == 0 ? identities_check(config, error) : ret;
}

struct td_ike_peer_config *td_negotiate_peer_config_make(
    const struct td_tunnel_config *tunnel, const struct td_negotiate_ends *ends, struct td_error *error)
{
	struct td_ike_peer_config *config = malloc(sizeof(*config));

	if (!config) {
		(void)td_error_set(error, -ENOMEM, tunnel->name, NULL, "no memory");
		return NULL;
	}
	if (make(tunnel, ends, config, error) == 0)
		return config;
	td_negotiate_peer_config_free(config);
	return NULL;
}

void td_negotiate_peer_config_free(struct td_ike_peer_config *config)
{
	if (!config)
		return;
	credentials_free(config);
	td_wipe(config, sizeof(*config));
	free(config);
}
