// SPDX-License-Identifier: BSD-3-Clause
#include "common/hash.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 64

uint64_t td_hash_mix(uint64_t x)
{
	// The finalizer of MurmurHash3.
	x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
	x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static struct td_hash_node **bucket(const struct td_hash *table, uint64_t hash)
{
	return &table->buckets[hash & (table->bucket_count - 1)];
}

int td_hash_reserve(struct td_hash *table, size_t count)
{
	struct td_hash grown = {.bucket_count = table->bucket_count ? table->bucket_count : BUCKETS_MIN};

	while (grown.bucket_count < table->count + count)
		grown.bucket_count *= 2;
	if (grown.bucket_count == table->bucket_count)
		return 0;
	grown.buckets = calloc(grown.bucket_count, sizeof(*grown.buckets));
	if (!grown.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < table->bucket_count; i++) {
		struct td_hash_node *node = table->buckets[i];

		while (node) {
			struct td_hash_node *next = node->next;

			td_hash_link(&grown, node, node->hash);
			node = next;
		}
	}
	free(table->buckets);
	*table = grown;
	return 0;
}

void td_hash_link(struct td_hash *table, struct td_hash_node *node, uint64_t hash)
{
	struct td_hash_node **head = bucket(table, hash);

	node->hash = hash;
	node->next = *head;
	*head = node;
	table->count++;
}

void td_hash_unlink(struct td_hash *table, struct td_hash_node *node)
{
	struct td_hash_node **link = bucket(table, node->hash);

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->next = NULL;
	table->count--;
}

static struct td_hash_node *match(struct td_hash_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct td_hash_node *td_hash_first(const struct td_hash *table, uint64_t hash)
{
	return table->bucket_count ? match(*bucket(table, hash), hash) : NULL;
}

struct td_hash_node *td_hash_next(const struct td_hash_node *node)
{
	return match(node->next, node->hash);
}

void td_hash_free(struct td_hash *table)
{
	free(table->buckets);
	*table = (struct td_hash){0};
}
