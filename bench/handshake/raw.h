// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The public-key operations that a handshake cannot do without, as bare libcrypto calls: everything that can
// be kept from one to the next (contexts, keys, digests) is.

#include <openssl/types.h>

#include <stdint.h>

struct td_raw;

// key: ECDSA P-256, private. NULL: libcrypto failed.
struct td_raw *td_raw_create(EVP_PKEY *key);
void td_raw_free(struct td_raw *raw);
// Each does count of its kind and returns 0 or -EIO. One X25519 exchange of one side: a fresh key, and the
// agreement with the peer's value.
int td_raw_exchange(struct td_raw *raw, unsigned count);
// Its two halves: a fresh key; an agreement with a key that one has.
int td_raw_generate(struct td_raw *raw, unsigned count);
int td_raw_agree(struct td_raw *raw, unsigned count);
int td_raw_sign(struct td_raw *raw, unsigned count);
int td_raw_verify(struct td_raw *raw, unsigned count);
