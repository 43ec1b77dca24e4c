// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Signatures of the AUTH payload: RFC 7427 (RSASSA-PSS, ECDSA, and Ed25519 by RFC 8420) and, for ECDSA with a
// peer that does not know it, RFC 4754. SHA-1 is neither made nor accepted.

#include "common/cursor.h"
#include "common/error.h"

#include <openssl/types.h>

#define TD_SIGNATURE_MAX_BYTES 1024 // RSA-8192

// Whether the key is of a kind and size that is used here: ECDSA P-256, P-384, P-521, RSA of 2048 to 8192
// bits, Ed25519. Returns 0, or -EINVAL and *error: "is ...".
int td_signature_key_check(const EVP_PKEY *key, struct td_error *error);
// Signs with the best that the key and the peer (hashes, see td_ike_auth_sign) have in common.
// Returns 0, -ENOTSUP, -ENOSPC or -EIO.
int td_signature_make(
    EVP_PKEY *key, struct td_bytes octets, uint32_t hashes, uint8_t *method, struct td_writer *data);
// Returns 0 or -EACCES and *error. The key has passed td_signature_key_check.
int td_signature_verify(
    EVP_PKEY *key, uint8_t method, struct td_bytes data, struct td_bytes octets, struct td_error *error);
