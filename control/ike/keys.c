// SPDX-License-Identifier: BSD-3-Clause
// Keys of an IKE SA and of its children (RFC 7296 2.14, 2.17, 2.18).
#include "control/ike/cipher.h"
#include "control/ike/crypto.h"

#include <errno.h>
#include <string.h>

// SK_d, and two each of SK_a, SK_e and SK_p, at their longest: HMAC-SHA2-512 throughout, AES-256-GCM with its
// salt.
#define STREAM_MAX_BYTES (3 * TD_PRF_MAX_BYTES + 2 * TD_PRF_MAX_BYTES + 2 * (32 + TD_IKE_CIPHER_SALT_BYTES))

struct sizes {
	size_t prf, integ, encr; // bytes
};

// How long the keys of a suite are; false when tandem cannot protect messages with it.
static bool measure(const struct td_ike_suite *suite, struct sizes *sizes)
{
	const struct td_ike_cipher *cipher = td_ike_cipher_find(suite->encr, suite->key_bits);
	const struct td_ike_integrity *integrity = td_ike_integrity_find(suite->integ);

	// An AEAD has no integrity algorithm beside it, every other cipher needs one (RFC 5282 8).
	if (!cipher || td_prf_bytes(suite->prf) == 0)
		return false;
	if (cipher->aead ? suite->integ != TD_INTEG_NONE : !integrity)
		return false;
	sizes->prf = td_prf_bytes(suite->prf);
	sizes->integ = integrity ? integrity->key_bytes : 0;
	sizes->encr = cipher->key_bytes + (cipher->aead ? TD_IKE_CIPHER_SALT_BYTES : 0);
	return true;
}

bool td_ike_suite_usable(const struct td_ike_suite *suite)
{
	struct sizes sizes;

	return suite->protocol == TD_IKE_PROTO_IKE && td_dh_known(suite->dh) && measure(suite, &sizes);
}

static struct td_bytes view(const struct td_secret *secret)
{
	return (struct td_bytes){secret->bytes, secret->length};
}

// SKEYSEED of a first IKE SA is keyed by the nonces, that of a rekeyed one by the old SK_d, with the old PRF.
static int seed_derive(uint16_t prf, struct td_bytes shared, struct td_bytes nonce_i, struct td_bytes nonce_r,
    const struct td_secret *old_d, uint16_t old_prf, struct td_secret *seed)
{
	uint8_t nonces[2 * TD_IKE_NONCE_MAX_BYTES];
	const struct td_bytes parts[] = {shared, nonce_i, nonce_r};

	if (old_d) {
		seed->length = td_prf_bytes(old_prf);
		return td_prf(old_prf, view(old_d), parts, 3, seed->bytes);
	}
	memcpy(nonces, nonce_i.data, nonce_i.length);
	memcpy(nonces + nonce_i.length, nonce_r.data, nonce_r.length);
	seed->length = td_prf_bytes(prf);
	return td_prf(prf, (struct td_bytes){nonces, nonce_i.length + nonce_r.length}, parts, 1, seed->bytes);
}

// The next length bytes of a stream of keys.
static void cut(const uint8_t **stream, size_t length, struct td_secret *key)
{
	memcpy(key->bytes, *stream, length);
	key->length = length;
	*stream += length;
}

int td_ike_keys_derive(const struct td_ike_suite *suite, struct td_bytes shared, struct td_bytes nonce_i,
    struct td_bytes nonce_r, uint64_t spi_i, uint64_t spi_r, const struct td_secret *old_d, uint16_t old_prf,
    const struct td_ike_random *random, struct td_ike_keys *keys)
{
	uint8_t stream[STREAM_MAX_BYTES], spis[16];
	struct td_writer writer = {.data = spis, .capacity = sizeof(spis)};
	const struct td_bytes parts[] = {nonce_i, nonce_r, {spis, sizeof(spis)}};
	const uint8_t *next = stream;
	TD_SECRET_AUTO seed;
	struct sizes sizes;
	int result;

	td_ike_keys_wipe(keys);
	if (!measure(suite, &sizes) || nonce_i.length > TD_IKE_NONCE_MAX_BYTES ||
	    nonce_r.length > TD_IKE_NONCE_MAX_BYTES)
		return -EIO;
	td_writer_u64(&writer, spi_i);
	td_writer_u64(&writer, spi_r);
	result = seed_derive(suite->prf, shared, nonce_i, nonce_r, old_d, old_prf, &seed);
	if (!result)
		result = td_prf_plus(suite->prf, view(&seed), parts, 3, stream,
		    3 * sizes.prf + 2 * sizes.integ + 2 * sizes.encr);
	if (!result) {
		keys->random = *random;
		random->fill(random->context, &keys->iv_next, sizeof(keys->iv_next));
		keys->prf = suite->prf;
		keys->encr = suite->encr;
		keys->key_bits = suite->key_bits;
		keys->integ = suite->integ;
		cut(&next, sizes.prf, &keys->d);
		cut(&next, sizes.integ, &keys->a_i);
		cut(&next, sizes.integ, &keys->a_r);
		cut(&next, sizes.encr, &keys->e_i);
		cut(&next, sizes.encr, &keys->e_r);
		cut(&next, sizes.prf, &keys->p_i);
		cut(&next, sizes.prf, &keys->p_r);
	}
	td_wipe(stream, sizeof(stream));
	return result;
}

void td_ike_keys_wipe(struct td_ike_keys *keys)
{
	td_wipe(keys, sizeof(*keys));
}

int td_ike_child_keys(const struct td_ike_keys *keys, struct td_bytes shared, struct td_bytes nonce_i,
    struct td_bytes nonce_r, size_t key_bytes, struct td_secret *initiator, struct td_secret *responder)
{
	const struct td_bytes parts[] = {shared, nonce_i, nonce_r};
	uint8_t stream[2 * TD_SECRET_MAX_BYTES];
	const uint8_t *next = stream;
	int result;

	td_secret_wipe(initiator);
	td_secret_wipe(responder);
	if (key_bytes > TD_SECRET_MAX_BYTES)
		return -EIO;
	result = td_prf_plus(keys->prf, view(&keys->d), parts, 3, stream, 2 * key_bytes);
	if (!result) {
		cut(&next, key_bytes, initiator);
		cut(&next, key_bytes, responder);
	}
	td_wipe(stream, sizeof(stream));
	return result;
}
