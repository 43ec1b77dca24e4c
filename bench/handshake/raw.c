// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/raw.h"

#include <openssl/evp.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define DIGEST_BYTES 32
#define SIGNATURE_MAX_BYTES 80
#define X25519_BYTES 32

struct td_raw {
	EVP_PKEY_CTX *generate, *derive, *sign, *verify;
	uint8_t peer[X25519_BYTES];
	uint8_t digest[DIGEST_BYTES];
	uint8_t signature[SIGNATURE_MAX_BYTES];
	size_t signature_bytes;
};

// A key pair, whose public key stands for the peer's too.
static bool peer_make(struct td_raw *raw)
{
	size_t length = sizeof(raw->peer);
	EVP_PKEY *peer = NULL;
	bool made = EVP_PKEY_generate(raw->generate, &peer) == 1 &&
	            EVP_PKEY_get_raw_public_key(peer, raw->peer, &length) == 1;

	raw->derive = made ? EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL) : NULL;
	made = raw->derive && EVP_PKEY_derive_init(raw->derive) == 1;

	EVP_PKEY_free(peer);
	return made;
}

struct td_raw *td_raw_create(EVP_PKEY *key)
{
	struct td_raw *raw = calloc(1, sizeof(*raw));

	if (!raw)
		return NULL;
	raw->generate = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	raw->sign = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	raw->verify = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (raw->generate && raw->sign && raw->verify && EVP_PKEY_keygen_init(raw->generate) == 1 &&
	    EVP_PKEY_sign_init(raw->sign) == 1 && EVP_PKEY_verify_init(raw->verify) == 1 && peer_make(raw) &&
	    td_raw_sign(raw, 1) == 0)
		return raw;
	td_raw_free(raw);
	return NULL;
}

void td_raw_free(struct td_raw *raw)
{
	if (!raw)
		return;
	EVP_PKEY_CTX_free(raw->generate);
	EVP_PKEY_CTX_free(raw->derive);
	EVP_PKEY_CTX_free(raw->sign);
	EVP_PKEY_CTX_free(raw->verify);
	free(raw);
}

static bool exchange(struct td_raw *raw)
{
	EVP_PKEY *own = NULL;
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, raw->peer, sizeof(raw->peer));
	EVP_PKEY_CTX *context =
	    EVP_PKEY_generate(raw->generate, &own) == 1 ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL) : NULL;
	uint8_t shared[X25519_BYTES];
	size_t length = sizeof(shared);
	bool done = peer && context && EVP_PKEY_derive_init(context) == 1 &&
	            EVP_PKEY_derive_set_peer_ex(context, peer, 0) == 1 &&
	            EVP_PKEY_derive(context, shared, &length) == 1;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(own);
	return done;
}

int td_raw_exchange(struct td_raw *raw, unsigned count)
{
	while (count-- > 0)
		if (!exchange(raw))
			return -EIO;
	return 0;
}

int td_raw_generate(struct td_raw *raw, unsigned count)
{
	while (count-- > 0) {
		EVP_PKEY *own = NULL;
		bool done = EVP_PKEY_generate(raw->generate, &own) == 1;

		EVP_PKEY_free(own);
		if (!done)
			return -EIO;
	}
	return 0;
}

int td_raw_agree(struct td_raw *raw, unsigned count)
{
	while (count-- > 0) {
		EVP_PKEY *peer =
		    EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, raw->peer, sizeof(raw->peer));
		uint8_t shared[X25519_BYTES];
		size_t length = sizeof(shared);
		bool done = peer && EVP_PKEY_derive_set_peer_ex(raw->derive, peer, 0) == 1 &&
		            EVP_PKEY_derive(raw->derive, shared, &length) == 1;

		EVP_PKEY_free(peer);
		if (!done)
			return -EIO;
	}
	return 0;
}

int td_raw_sign(struct td_raw *raw, unsigned count)
{
	while (count-- > 0) {
		raw->signature_bytes = sizeof(raw->signature);
		if (EVP_PKEY_sign(raw->sign, raw->signature, &raw->signature_bytes, raw->digest,
		        sizeof(raw->digest)) != 1)
			return -EIO;
	}
	return 0;
}

int td_raw_verify(struct td_raw *raw, unsigned count)
{
	while (count-- > 0)
		if (EVP_PKEY_verify(raw->verify, raw->signature, raw->signature_bytes, raw->digest,
		        sizeof(raw->digest)) != 1)
			return -EIO;
	return 0;
}
