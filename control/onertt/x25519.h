// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// X25519 (RFC 7748) on libcrypto, for keys that are known as bytes.

#include "common/secret.h"

#include <openssl/types.h>

#define TD_X25519_BYTES 32

// A key pair of ours, used by one thread at a time: libcrypto keeps in it with whom it agrees.
struct td_x25519 {
	EVP_PKEY *key; // owned; libcrypto wipes it
	EVP_PKEY_CTX *agreement; // owned
	uint8_t public_key[TD_X25519_BYTES];
};

// From a private key of TD_X25519_BYTES. Returns 0 or -EIO; *pair is freed by td_x25519_free.
int td_x25519_make(const struct td_secret *private_key, struct td_x25519 *pair);
// The same where the public key is known already, which saves a multiplication.
int td_x25519_import(
    const struct td_secret *private_key, const uint8_t public_key[TD_X25519_BYTES], struct td_x25519 *pair);
// Another owner of the same key pair; freed like the first. Returns 0 or -EIO.
int td_x25519_copy(const struct td_x25519 *pair, struct td_x25519 *copy);
void td_x25519_free(struct td_x25519 *pair);
// Returns 0, -EBADMSG (the peer's key is of low order: the result would be all zeros, RFC 7748 6.1) or -EIO.
int td_x25519_agree(
    const struct td_x25519 *pair, const uint8_t peer[TD_X25519_BYTES], struct td_secret *shared);
