// SPDX-License-Identifier: BSD-3-Clause
#include "control/sad/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256u

int td_used_keys_init(struct td_used_keys *used, uint32_t bound)
{
	*used = (struct td_used_keys){.bound = bound};
	return td_random(used->secret, sizeof(used->secret));
}

void td_used_keys_free(struct td_used_keys *used)
{
	free(used->ring);
	free(used->next);
	free(used->buckets);
	td_wipe(used, sizeof(*used));
}

struct td_fingerprint td_used_keys_fingerprint(const struct td_used_keys *used, const struct td_secret *key)
{
	struct td_fingerprint fingerprint;

	td_siphash(used->secret, key->bytes, key->length, fingerprint.bytes);
	return fingerprint;
}

static uint32_t *bucket(const struct td_used_keys *used, const struct td_fingerprint *fingerprint)
{
	uint32_t hash;

	memcpy(&hash, fingerprint->bytes, sizeof(hash));
	return &used->buckets[hash & used->bucket_mask];
}

static void link_position(struct td_used_keys *used, uint32_t position)
{
	uint32_t *head = bucket(used, &used->ring[position]);

	used->next[position] = *head;
	*head = position + 1;
}

static void unlink_position(struct td_used_keys *used, uint32_t position)
{
	uint32_t *link = bucket(used, &used->ring[position]);

	while (*link != position + 1)
		link = &used->next[*link - 1];
	*link = used->next[position];
}

int td_used_keys_reserve(struct td_used_keys *used, uint32_t count)
{
	struct td_used_keys grown = *used;
	uint64_t wanted = (uint64_t)used->count + count;

	if (wanted > used->bound)
		wanted = used->bound;
	if (wanted <= used->capacity)
		return 0;
	grown.capacity = CAPACITY_MIN;
	while (grown.capacity < wanted)
		grown.capacity *= 2;
	grown.bucket_mask = grown.capacity - 1;
	if (grown.capacity > used->bound)
		grown.capacity = used->bound;
	grown.ring = calloc(grown.capacity, sizeof(*grown.ring));
	grown.next = calloc(grown.capacity, sizeof(*grown.next));
	grown.buckets = calloc((size_t)grown.bucket_mask + 1, sizeof(*grown.buckets));
	if (!grown.ring || !grown.next || !grown.buckets) {
		free(grown.ring);
		free(grown.next);
		free(grown.buckets);
		return -ENOMEM;
	}
	// The ring only wraps at its bound, at which it does not grow: the oldest is still at position 0.
	for (uint32_t i = 0; i < used->count; i++) {
		grown.ring[i] = used->ring[i];
		link_position(&grown, i);
	}
	free(used->ring);
	free(used->next);
	free(used->buckets);
	*used = grown;
	return 0;
}

void td_used_keys_add(struct td_used_keys *used, const struct td_fingerprint *fingerprint)
{
	uint32_t position = used->count;

	if (used->count == used->capacity) {
		position = used->oldest;
		used->oldest = (used->oldest + 1) % used->capacity;
		unlink_position(used, position);
	} else {
		used->count++;
	}
	used->ring[position] = *fingerprint;
	link_position(used, position);
}

bool td_used_keys_has(const struct td_used_keys *used, const struct td_fingerprint *fingerprint)
{
	if (used->count == 0)
		return false;
	for (uint32_t at = *bucket(used, fingerprint); at; at = used->next[at - 1])
		if (memcmp(&used->ring[at - 1], fingerprint, sizeof(*fingerprint)) == 0)
			return true;
	return false;
}
