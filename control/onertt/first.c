// SPDX-License-Identifier: BSD-3-Clause
// The keys of the first child: whose random numbers they come from, and how they get to the other side.

#include "control/onertt/internal.h"
#include "control/onertt/wrap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPI_BYTES 4

static const struct td_bytes nothing;

struct td_onertt_first *td_onertt_first_create(enum td_onertt_source source, enum td_onertt_delivery delivery)
{
	struct td_onertt_first *first = calloc(1, sizeof(*first));

	if (!first)
		return NULL;
	first->source = source;
	first->delivery = delivery;
	return first;
}

void td_onertt_first_free(struct td_onertt_first *first)
{
	if (first)
		td_wipe(first, sizeof(*first));
	free(first);
}

uint32_t td_onertt_first_spi(const struct td_onertt_first *first)
{
	return first->spi;
}

void td_onertt_offer_narrow(const struct td_onertt_first *first, struct td_ike_proposals *proposals)
{
	struct td_ike_proposal *proposal = &proposals->list[0];
	unsigned kept = 0;

	if (first->source != TD_ONERTT_INITIATOR || proposals->count == 0)
		return;
	proposals->count = 1;
	for (unsigned i = 0; i < proposal->transform_count; i++)
		if (kept == 0 || proposal->transforms[i].type != proposal->transforms[kept - 1].type)
			proposal->transforms[kept++] = proposal->transforms[i];
	proposal->transform_count = kept;
}

void td_onertt_first_draw(struct td_ike *ike, struct td_onertt_first *first, size_t key_bytes)
{
	ike->env.random(ike->env.context, first->key_i.bytes, key_bytes);
	ike->env.random(ike->env.context, first->key_r.bytes, key_bytes);
	first->key_i.length = first->key_r.length = key_bytes;
}

// ---- derived ----------------------------------------------------------------------------------

static int stretch(const struct td_secret *seed, const struct td_bytes parts[2], size_t key_bytes,
    struct td_secret *key_i, struct td_secret *key_r)
{
	uint8_t stream[2 * TD_SECRET_MAX_BYTES];
	int ret = td_prf_plus(
	    TD_PRF_SHA2_256, (struct td_bytes){seed->bytes, seed->length}, parts, 2, stream, 2 * key_bytes);

	if (ret == 0) {
		memcpy(key_i->bytes, stream, key_bytes);
		memcpy(key_r->bytes, stream + key_bytes, key_bytes);
		key_i->length = key_r->length = key_bytes;
	}
	td_wipe(stream, sizeof(stream));
	return ret;
}

// Out of random bytes of the responder's, which alone knows them.
static int responder_draw(struct td_ike *ike, const struct td_ike_agreement *agreement, size_t key_bytes,
    struct td_onertt_first *first)
{
	const struct td_bytes nonces[2] = {agreement->nonce_i, agreement->nonce_r};
	TD_SECRET_AUTO seed = {.length = 32};

	ike->env.random(ike->env.context, seed.bytes, seed.length);
	return stretch(&seed, nonces, key_bytes, &first->key_i, &first->key_r);
}

static int copy_keys(
    const struct td_onertt_first *first, size_t key_bytes, struct td_secret *key_i, struct td_secret *key_r)
{
	if (first->key_i.length != key_bytes || first->key_r.length != key_bytes)
		return -EBADMSG;
	*key_i = first->key_i;
	*key_r = first->key_r;
	return 0;
}

int td_onertt_child_keys(struct td_ike_sa *sa, const struct td_ike_agreement *agreement, size_t key_bytes,
    struct td_secret *key_i, struct td_secret *key_r)
{
	struct td_onertt_first *first = agreement->first;
	uint32_t spi = agreement->initiator ? agreement->spi_out : agreement->spi_in;
	uint8_t wire[SPI_BYTES] = {
	    (uint8_t)(spi >> 24), (uint8_t)(spi >> 16), (uint8_t)(spi >> 8), (uint8_t)spi};
	const struct td_bytes of_spi[2] = {agreement->nonce_i, {wire, sizeof(wire)}};

	if (key_bytes > TD_SECRET_MAX_BYTES)
		return -EIO;
	if (first->source == TD_ONERTT_INITIATOR) {
		// The initiator may already send on the SPI that it has named.
		if (spi != first->spi)
			return -EBADMSG;
		return first->delivery == TD_ONERTT_WRAPPED
		           ? copy_keys(first, key_bytes, key_i, key_r)
		           : stretch(&first->traffic, of_spi, key_bytes, key_i, key_r);
	}
	if (first->delivery == TD_ONERTT_DERIVED)
		return td_ike_child_keys(
		    &sa->keys, nothing, agreement->nonce_i, agreement->nonce_r, key_bytes, key_i, key_r);
	if (!agreement->initiator && responder_draw(sa->ike, agreement, key_bytes, first) < 0)
		return -EIO;
	return copy_keys(first, key_bytes, key_i, key_r);
}

// ---- wrapped ----------------------------------------------------------------------------------

int td_onertt_wrapped_write(
    const struct td_onertt_first *first, const struct td_noise *noise, struct td_ike_chain *chain)
{
	uint8_t keys[2 * TD_SECRET_MAX_BYTES], wrapped[TD_WRAPPED_BYTES(sizeof(keys))];
	struct td_writer writer = {.data = wrapped, .capacity = sizeof(wrapped)};
	size_t half = first->key_i.length;
	TD_SECRET_AUTO key = {0};
	int ret = td_onertt_export_key(noise, "wrap", &key);

	memcpy(keys, first->key_i.bytes, half);
	memcpy(keys + half, first->key_r.bytes, half);
	if (ret == 0)
		ret = td_wrap(&key, (struct td_bytes){keys, 2 * half}, &writer);
	td_wipe(keys, sizeof(keys));
	if (ret == 0)
		td_ike_notify_write(
		    chain, TD_IKE_PROTO_NONE, nothing, TD_N_WRAPPED_KEY, td_writer_bytes_of(&writer));
	return ret;
}

int td_onertt_wrapped_read(
    struct td_onertt_first *first, const struct td_noise *noise, const struct td_ike_payloads *payloads)
{
	const struct td_ike_notify *notify = td_ike_notify_find(payloads, TD_N_WRAPPED_KEY);
	uint8_t keys[TD_WRAPPED_BYTES(2 * TD_SECRET_MAX_BYTES)];
	TD_SECRET_AUTO key = {0};
	size_t length = 0;
	int ret;

	if (!notify)
		return -ENOENT;
	if (notify->data.length > sizeof(keys))
		return -EBADMSG;
	ret = td_onertt_export_key(noise, "wrap", &key);
	if (ret == 0)
		ret = td_unwrap(&key, notify->data, keys, &length);
	if (ret == 0 && (length % 2 != 0 || length / 2 > TD_SECRET_MAX_BYTES))
		ret = -EBADMSG;
	if (ret == 0) {
		first->key_i.length = first->key_r.length = length / 2;
		memcpy(first->key_i.bytes, keys, length / 2);
		memcpy(first->key_r.bytes, keys + length / 2, length / 2);
	}
	td_wipe(keys, sizeof(keys));
	return ret;
}
