// SPDX-License-Identifier: BSD-3-Clause
// What the two messages of the exchange have in common.

#include "control/onertt/internal.h"

#include <errno.h>
#include <string.h>

#define STAMP_BYTES 12

static const struct td_bytes nothing;

struct td_bytes td_onertt_prologue(uint64_t spi_i, enum td_noise_pattern pattern,
    const uint8_t key_id[TD_ONERTT_KEY_ID_BYTES], uint8_t bytes[TD_ONERTT_PROLOGUE_BYTES])
{
	static const char label[] = "tandem one-round-trip 1";
	struct td_writer writer = {.data = bytes, .capacity = TD_ONERTT_PROLOGUE_BYTES};

	td_writer_bytes(&writer, label, sizeof(label) - 1);
	td_writer_u64(&writer, spi_i);
	td_writer_u8(&writer, TD_IKE_VERSION);
	td_writer_u8(&writer, TD_IKE_ONE_ROUND_TRIP);
	td_writer_u8(&writer, (uint8_t)pattern);
	td_writer_bytes(&writer, key_id, TD_ONERTT_KEY_ID_BYTES);
	return td_writer_bytes_of(&writer);
}

enum td_noise_pattern td_onertt_pattern(enum td_onertt_authentication authentication)
{
	return authentication == TD_ONERTT_SECRET ? TD_NOISE_NKPSK2 : TD_NOISE_IK;
}

int td_onertt_random(void *context, void *bytes, size_t length)
{
	struct td_ike *ike = context;

	ike->env.random(ike->env.context, bytes, length);
	return 0;
}

int td_onertt_export_key(const struct td_noise *noise, const char *label, struct td_secret *key)
{
	TD_SECRET_AUTO exported = {0};
	int ret = td_noise_export(noise, &exported);

	return ret < 0 ? ret : td_code_key(&exported, label, key);
}

// ---- payloads inside --------------------------------------------------------------------------

void td_onertt_chain_start(struct td_ike *ike, struct td_ike_chain *chain)
{
	td_ike_chain_init(chain, ike->chain + 1, sizeof(ike->chain) - 1);
}

struct td_bytes td_onertt_chain_end(struct td_ike *ike, const struct td_ike_chain *chain)
{
	ike->chain[0] = chain->first;
	return (struct td_bytes){ike->chain, 1 + chain->writer.length};
}

void td_onertt_stamp_write(struct td_ike_chain *chain, const struct td_freshness_stamp *stamp)
{
	uint8_t bytes[STAMP_BYTES];
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};

	td_writer_u64(&writer, stamp->time_us);
	td_writer_u32(&writer, stamp->code);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_FRESHNESS, td_writer_bytes_of(&writer));
}

bool td_onertt_stamp_read(const struct td_ike_payloads *payloads, struct td_freshness_stamp *stamp)
{
	const struct td_ike_notify *notify = td_ike_notify_find(payloads, TD_N_FRESHNESS);

	if (!notify || notify->data.length != STAMP_BYTES)
		return false;
	struct td_cursor cursor = td_cursor_of(notify->data);
	return td_cursor_u64(&cursor, &stamp->time_us) && td_cursor_u32(&cursor, &stamp->code);
}

void td_onertt_incarnation_write(const struct td_ike_peer *peer, struct td_ike_chain *chain)
{
	uint8_t bytes[8];
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};

	td_writer_u64(&writer, peer->ike->incarnation + peer->lives);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_INCARNATION, td_writer_bytes_of(&writer));
}

uint64_t td_onertt_incarnation_of(const struct td_ike_payloads *payloads)
{
	const struct td_ike_notify *notify = td_ike_notify_find(payloads, TD_N_INCARNATION);
	struct td_cursor cursor = td_cursor_of(notify ? notify->data : nothing);
	uint64_t incarnation = 0;

	(void)td_cursor_u64(&cursor, &incarnation);
	return incarnation;
}

int td_onertt_payloads_read(
    struct td_ike *ike, struct td_noise *noise, struct td_cursor *message, struct td_ike_payloads *payloads)
{
	struct td_cursor plain = {.next = ike->plain};
	uint8_t first;

	if (td_noise_read_payload(noise, message, ike->plain, &plain.left) < 0)
		return -EACCES;
	if (!td_cursor_u8(&plain, &first) ||
	    td_ike_payloads_read(td_cursor_rest(&plain), first, payloads) < 0 ||
	    payloads->encrypted_type != 0)
		return -EBADMSG;
	return 0;
}

// ---- whole messages ---------------------------------------------------------------------------

void td_onertt_message_start(struct td_ike *ike, struct td_ike_chain *outer)
{
	td_ike_chain_init(
	    outer, ike->message + TD_IKE_HEADER_BYTES, sizeof(ike->message) - TD_IKE_HEADER_BYTES);
}

struct td_bytes td_onertt_message_end(
    struct td_ike *ike, struct td_ike_header header, const struct td_ike_chain *outer)
{
	struct td_writer writer = {.data = ike->message, .capacity = TD_IKE_HEADER_BYTES};

	header.next_payload = outer->first;
	header.version = TD_IKE_VERSION;
	header.exchange = TD_IKE_ONE_ROUND_TRIP;
	header.length = (uint32_t)(TD_IKE_HEADER_BYTES + outer->writer.length);
	td_ike_header_write(&writer, &header);
	return (struct td_bytes){ike->message, header.length};
}

int td_onertt_keys_make(struct td_ike_sa *sa, const struct td_noise *noise)
{
	TD_SECRET_AUTO k1 = {0}, k2 = {0}, shared = {0};
	const struct td_ike_random random = td_ike_random_of(sa->ike);
	int ret = td_noise_split(noise, &k1, &k2);

	if (ret < 0)
		return ret;
	sa->suite = (struct td_ike_suite){.protocol = TD_IKE_PROTO_IKE,
	    .encr = TD_ENCR_AES_GCM_16,
	    .key_bits = 256,
	    .prf = TD_PRF_SHA2_256,
	    .dh = TD_DH_X25519};
	memcpy(shared.bytes, k1.bytes, k1.length);
	memcpy(shared.bytes + k1.length, k2.bytes, k2.length);
	shared.length = k1.length + k2.length;
	return td_ike_keys_derive(&sa->suite, (struct td_bytes){shared.bytes, shared.length},
	    td_ike_nonce_bytes(&sa->handshake->nonce_i), td_ike_nonce_bytes(&sa->handshake->nonce_r),
	    sa->spi_i, sa->spi_r, NULL, 0, &random, &sa->keys);
}
