// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What protects the messages of an IKE SA: ciphers and integrity algorithms, with their sizes.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#define TD_IKE_CIPHER_IV_MAX_BYTES 16
#define TD_IKE_CIPHER_SALT_BYTES 4 // of every AEAD (RFC 5282 4, RFC 7634 2)
#define TD_IKE_CIPHER_TAG_BYTES 16 // of every AEAD

struct td_ike_cipher {
	uint16_t encr, key_bits; // as the proposal has them
	const char *name; // libcrypto's
	unsigned key_bytes; // without salt
	unsigned iv_bytes; // of the explicit IV
	unsigned block_bytes; // the plaintext is padded to a multiple of it
	bool aead;
};

struct td_ike_integrity {
	uint16_t integ;
	uint16_t prf; // the PRF that is the same HMAC
	unsigned key_bytes;
	unsigned icv_bytes; // what is left of the HMAC (RFC 4868 2.3)
};

// Each returns NULL for one that IKE messages cannot be protected with.
const struct td_ike_cipher *td_ike_cipher_find(uint16_t encr, uint16_t key_bits);
const struct td_ike_integrity *td_ike_integrity_find(uint16_t integ);
// libcrypto's algorithm, which stays its own; NULL when libcrypto has none.
const EVP_CIPHER *td_ike_cipher_algorithm(const struct td_ike_cipher *cipher);
