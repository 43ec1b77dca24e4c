// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/canned.h"

#include <stdio.h>

static const struct td_bytes nothing;

static void proposal_write(
    struct td_ike_chain *chain, uint8_t protocol, const char *text, const void *spi, uint8_t spi_size)
{
	struct td_ike_proposals proposals = {0};
	struct td_error error;

	fuzz_require(td_ike_proposal_parse(protocol, text, &proposals, &error) == 0);
	td_ike_proposals_write(chain, &proposals, spi, spi_size);
}

static void nonce_write(struct td_ike_chain *chain, uint8_t number)
{
	uint8_t nonce[TD_IKE_NONCE_BYTES] = {number};

	td_ike_nonce_write(chain, (struct td_bytes){nonce, sizeof(nonce)});
}

// The base point: its private key is 1, as it were, and the gateway does not mind.
static void ke_write(struct td_ike_chain *chain)
{
	static const uint8_t base[32] = {9};

	td_ike_ke_write(chain, TD_DH_X25519, (struct td_bytes){base, sizeof(base)});
}

static void notify_write(struct td_ike_chain *chain, uint16_t type, struct td_bytes data)
{
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, type, data);
}

static void init_write(struct td_ike_chain *chain, uint8_t number)
{
	static const uint8_t hashes[] = {0, TD_HASH_SHA2_256, 0, TD_HASH_IDENTITY};
	static const uint8_t elsewhere[20]; // both sides are behind a NAT

	proposal_write(chain, TD_IKE_PROTO_IKE,
	    number & 1 ? "aes128-sha256-x25519" : "aes128gcm16-prfsha256-x25519", NULL, 0);
	ke_write(chain);
	nonce_write(chain, number);
	notify_write(chain, TD_N_SIGNATURE_HASH_ALGORITHMS, (struct td_bytes){hashes, sizeof(hashes)});
	if (number & 2)
		notify_write(chain, TD_N_FRAGMENTATION_SUPPORTED, nothing);
	if (number & 4) {
		notify_write(
		    chain, TD_N_NAT_DETECTION_SOURCE_IP, (struct td_bytes){elsewhere, sizeof(elsewhere)});
		notify_write(chain, TD_N_NAT_DETECTION_DESTINATION_IP,
		    (struct td_bytes){elsewhere, sizeof(elsewhere)});
	}
}

static void selectors_write(struct td_ike_chain *chain, unsigned tunnel, bool response)
{
	struct td_ts_list sides[2];

	for (unsigned side = 0; side < 2; side++) {
		struct td_prefix prefix = {
		    .ip = td_ip_from_v4(0x0a000000u + (tunnel << 16) + (side << 8)), .length = 24};

		sides[side] = (struct td_ts_list){.count = 1, .list = {td_ts_from_prefix(&prefix)}};
	}
	// The gateway's own are side 0, and TSi is of whoever asks.
	td_ts_write(chain, TD_IKE_PAYLOAD_TSI, &sides[response ? 0 : 1]);
	td_ts_write(chain, TD_IKE_PAYLOAD_TSR, &sides[response ? 1 : 0]);
}

// What the gateway has asked about, if it has.
static const struct td_ike_task *asked(const struct td_ike_sa *sa)
{
	return sa->exchange.answered ? sa->exchange.task : NULL;
}

static void child_write(struct td_ike_chain *chain, unsigned tunnel, bool response, bool dh, uint8_t number)
{
	static uint8_t spi[4] = {0xc0};

	spi[3]++;
	proposal_write(
	    chain, TD_IKE_PROTO_ESP, dh ? "aes128gcm16-x25519-noesn" : "aes128gcm16-noesn", spi, sizeof(spi));
	if (number & 128)
		notify_write(chain, TD_N_SA_RESOURCE_INFO, nothing);
	selectors_write(chain, tunnel, response);
}

static void auth_write(struct td_ike_chain *chain, const struct td_ike_sa *sa, bool with_key, uint8_t number)
{
	const struct td_ike_credential *credential = with_key ? fuzz_peer_key : fuzz_psk;
	const struct td_ike_handshake *handshake = sa ? sa->handshake : NULL;
	// A responder with a key is the gateway's first peer all the same, and is not believed.
	const struct td_ike_id *id = with_key ? &fuzz_key_id : &fuzz_psk_id;
	uint8_t body[4 + TD_ID_MAX_BYTES] = {id->type}, data[256], method;
	struct td_writer writer = {.data = data, .capacity = sizeof(data)};

	if (!handshake || !handshake->own_message || !handshake->peer_message || sa->keys.prf == 0)
		return;
	for (unsigned i = 0; i < id->length; i++)
		body[4 + i] = id->data[i];
	struct td_ike_signed what = {
	    .keys = &sa->keys,
	    .initiator = !sa->initiator,
	    .message = {handshake->peer_message, handshake->peer_length},
	    .nonce = td_ike_nonce_bytes(sa->initiator ? &handshake->nonce_i : &handshake->nonce_r),
	    .id_body = {body, 4u + id->length},
	};
	fuzz_require(td_ike_auth_sign(credential, &what, 1u << TD_HASH_IDENTITY | 1u << TD_HASH_SHA2_256,
	                 &method, &writer) == 0);
	td_ike_id_write(chain, sa->initiator ? TD_IKE_PAYLOAD_IDR : TD_IKE_PAYLOAD_IDI, id->type,
	    (struct td_bytes){id->data, id->length});
	if (with_key)
		td_ike_certs_write(chain, credential);
	td_ike_auth_write(chain, method, td_writer_bytes_of(&writer));
	if (number & 1)
		notify_write(chain, TD_N_INITIAL_CONTACT, nothing);
	if (number & 2)
		notify_write(chain, TD_N_QUICK_CRASH_DETECTION, (struct td_bytes){data, 32});
	child_write(chain, with_key ? FUZZ_TUNNELS - 1 : number >> 2 & 1, sa->initiator, false, number);
}

static unsigned tunnel_of(const struct td_ike_sa *sa, const struct td_ike_child *child)
{
	const struct fuzz_gateway *gateway = sa->ike->env.context;
	const struct td_ike_task *task = asked(sa);
	const struct td_life_tunnel *life = child ? child->life->tunnel : task ? task->tunnel : NULL;

	for (unsigned i = 0; i < FUZZ_TUNNELS; i++)
		if (gateway->tunnels[i] == life)
			return i;
	return 0;
}

static const struct td_ike_child *child_pick(const struct td_ike_sa *sa, uint8_t number)
{
	const struct td_ike_child *child = NULL;

	for (unsigned i = 0; sa && i <= (number & 3u); i++) {
		child = child ? TAILQ_NEXT(child, of_sa) : NULL;
		if (!child)
			child = TAILQ_FIRST(&sa->children);
	}
	return child;
}

static void create_write(
    struct td_ike_chain *chain, const struct td_ike_sa *sa, const struct td_ike_child *old, uint8_t number)
{
	bool response = sa && asked(sa);
	unsigned tunnel = number >> 2 & 1;
	uint8_t spi[4];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};

	if (response || old)
		tunnel = tunnel_of(sa, old);
	if (old && !response) {
		td_writer_u32(&writer, old->spi_out);
		td_ike_notify_write(
		    chain, TD_IKE_PROTO_ESP, (struct td_bytes){spi, sizeof(spi)}, TD_N_REKEY_SA, nothing);
	}
	child_write(chain, tunnel, response, tunnel == 0, number);
	nonce_write(chain, number);
	if (tunnel == 0)
		ke_write(chain);
}

static void delete_write(struct td_ike_chain *chain, const struct td_ike_child *child)
{
	uint8_t spi[4];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};

	if (!child)
		return;
	td_writer_u32(&writer, child->spi_out);
	td_ike_delete_write(chain, TD_IKE_PROTO_ESP, sizeof(spi), 1, (struct td_bytes){spi, sizeof(spi)});
}

static void rekey_ike_write(struct td_ike_chain *chain, uint8_t number)
{
	uint8_t spi[8] = {0x5a, number};

	proposal_write(chain, TD_IKE_PROTO_IKE, "aes128gcm16-prfsha256-x25519", spi, sizeof(spi));
	nonce_write(chain, number);
	ke_write(chain);
}

static void refusal_write(struct td_ike_chain *chain, uint8_t number)
{
	static const uint16_t types[] = {TD_N_TEMPORARY_FAILURE, TD_N_NO_PROPOSAL_CHOSEN,
	    TD_N_TS_UNACCEPTABLE, TD_N_INVALID_KE_PAYLOAD, TD_N_CHILD_SA_NOT_FOUND,
	    TD_N_AUTHENTICATION_FAILED, TD_N_NO_ADDITIONAL_SAS, TD_N_TS_MAX_QUEUE, TD_N_INVALID_IKE_SPI,
	    TD_N_INVALID_SPI};
	static const uint8_t group[2] = {0, TD_DH_ECP_256};
	uint16_t type = types[number % (sizeof(types) / sizeof(types[0]))];

	notify_write(
	    chain, type, type == TD_N_INVALID_KE_PAYLOAD ? (struct td_bytes){group, sizeof(group)} : nothing);
}

void fuzz_canned_write(
    struct td_ike_chain *chain, enum fuzz_canned kind, const struct td_ike_sa *sa, uint8_t number)
{
	static const uint8_t cookie[16];

	switch (kind) {
	case FUZZ_INIT:
		init_write(chain, number);
		return;
	case FUZZ_COOKIE:
		notify_write(chain, TD_N_COOKIE, (struct td_bytes){cookie, sizeof(cookie)});
		return;
	case FUZZ_AUTH_PSK:
	case FUZZ_AUTH_KEY:
		auth_write(chain, sa, kind == FUZZ_AUTH_KEY, number);
		return;
	case FUZZ_CREATE:
		create_write(chain, sa, NULL, number);
		return;
	case FUZZ_REKEY_CHILD:
		create_write(chain, sa, child_pick(sa, number), number);
		return;
	case FUZZ_REKEY_IKE:
		rekey_ike_write(chain, number);
		return;
	case FUZZ_DELETE_CHILD:
		delete_write(chain, child_pick(sa, number));
		return;
	case FUZZ_DELETE_IKE:
		td_ike_delete_write(chain, TD_IKE_PROTO_IKE, 0, 0, nothing);
		return;
	case FUZZ_REFUSAL:
		refusal_write(chain, number);
		return;
	default:
		return;
	}
}
