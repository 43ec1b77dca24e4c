// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which keys were used already. Keys are known by a fingerprint under a random secret (SipHash-2-4-128), so
// that the control thread keeps no key. 128 bits make an accidental match practically impossible.

#include "common/secret.h"
#include "common/siphash.h"

#include <stdbool.h>

struct td_fingerprint {
	uint8_t bytes[TD_SIPHASH_BYTES];
};

// The fingerprints of removed outbound SAs. When TD_USED_KEYS_MAX are remembered, a new one replaces the
// oldest.
struct td_used_keys {
	uint8_t secret[TD_SIPHASH_KEY_BYTES];
	uint32_t bound; // most that are remembered
	uint32_t capacity, count, oldest;
	uint32_t bucket_mask;
	struct td_fingerprint *ring;
	uint32_t *next, *buckets; // positions in the ring plus one; 0 ends a chain
};

// Draws the secret. Returns 0 or -errno.
int td_used_keys_init(struct td_used_keys *used, uint32_t bound);
void td_used_keys_free(struct td_used_keys *used);
struct td_fingerprint td_used_keys_fingerprint(const struct td_used_keys *used, const struct td_secret *key);
// Makes room so that the next count calls of add need no memory. Returns 0 or -ENOMEM.
int td_used_keys_reserve(struct td_used_keys *used, uint32_t count);
void td_used_keys_add(struct td_used_keys *used, const struct td_fingerprint *fingerprint);
bool td_used_keys_has(const struct td_used_keys *used, const struct td_fingerprint *fingerprint);
