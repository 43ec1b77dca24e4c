// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// An intrusive chained hash table. Room is reserved first, so that linking cannot fail.

#include <stddef.h>
#include <stdint.h>

struct td_hash_node {
	struct td_hash_node *next;
	uint64_t hash;
};

// Zero it before first use.
struct td_hash {
	struct td_hash_node **buckets;
	size_t bucket_count; // a power of two, or 0
	size_t count;
};

// Makes room for count more nodes. Returns 0 or -ENOMEM. At least one call comes before td_hash_link.
int td_hash_reserve(struct td_hash *table, size_t count);
void td_hash_link(struct td_hash *table, struct td_hash_node *node, uint64_t hash);
void td_hash_unlink(struct td_hash *table, struct td_hash_node *node);
// The nodes of one hash value, one after the other; NULL at the end.
struct td_hash_node *td_hash_first(const struct td_hash *table, uint64_t hash);
struct td_hash_node *td_hash_next(const struct td_hash_node *node);
void td_hash_free(struct td_hash *table);
// Spreads a number over 64 bits.
uint64_t td_hash_mix(uint64_t x);
