// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/out_table.h"

#include "common/hash.h"
#include "dataplane/sa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 256u

struct out_array {
	struct td_retired retired; // first
	uint32_t mask;
	struct td_sa_out *slots[]; // NULL: never used. Writer: control thread
};

_Static_assert(offsetof(struct out_array, retired) == 0, "array_release frees the array");

static struct out_array *table; // Writer: control thread
static unsigned used; // slots that are not NULL. Control thread only
static unsigned live; // slots with an SA. Control thread only
static struct td_sa_out removed; // stands where an SA was, so that a search goes on

static void array_release(struct td_retired *retired)
{
	free(retired);
}

static uint32_t key_hash(uint32_t spi, const struct td_ip *peer)
{
	uint64_t words[2] = {0};

	memcpy(words, peer->bytes, td_ip_length(peer->family));
	return (uint32_t)td_hash_mix(td_hash_mix(words[0] ^ spi) ^ words[1]);
}

static const struct td_ip *peer_of(const struct td_sa_out *sa)
{
	// Pairs with the release in td_dp_sa_out_move.
	return &__atomic_load_n(&sa->outer, __ATOMIC_ACQUIRE)->remote;
}

static uint32_t sa_hash(const struct td_sa_out *sa)
{
	return key_hash(rte_be_to_cpu_32(sa->spi), peer_of(sa));
}

// A slot that may take an SA of this hash.
static struct td_sa_out **slot_free(struct out_array *array, uint32_t hash)
{
	uint32_t i = hash & array->mask;

	while (array->slots[i] && array->slots[i] != &removed)
		i = (i + 1) & array->mask;
	return &array->slots[i];
}

int td_out_table_reserve(void)
{
	struct out_array *old = table;
	uint32_t slots = old ? old->mask + 1 : 0;

	// Half full at most: a search that misses then looks at two slots on average.
	if (used + 1 <= slots / 2)
		return 0;
	uint32_t wanted = SLOTS_MIN;
	// Leave space for as many again, or rebuilds would follow each other under steady rollover.
	while (wanted / 4 < live + 1)
		wanted *= 2;
	struct out_array *array = calloc(1, sizeof(*array) + wanted * sizeof(array->slots[0]));
	if (!array)
		return -ENOMEM;
	array->mask = wanted - 1;
	for (uint32_t i = 0; i < slots; i++)
		if (old->slots[i] && old->slots[i] != &removed)
			*slot_free(array, sa_hash(old->slots[i])) = old->slots[i];
	// Pairs with the acquire in td_out_table_find: a reader sees the new array filled.
	__atomic_store_n(&table, array, __ATOMIC_RELEASE);
	used = live;
	if (old)
		td_rcu_retire(&old->retired, array_release);
	return 0;
}

void td_out_table_add(struct td_sa_out *sa)
{
	struct td_sa_out **slot = slot_free(table, sa_hash(sa));

	used += *slot == NULL;
	live++;
	// Pairs with the acquire in td_out_table_find: the SA is complete.
	__atomic_store_n(slot, sa, __ATOMIC_RELEASE);
}

void td_out_table_remove(const struct td_sa_out *sa)
{
	for (uint32_t i = sa_hash(sa) & table->mask; table->slots[i]; i = (i + 1) & table->mask)
		if (table->slots[i] == sa) {
			__atomic_store_n(&table->slots[i], &removed, __ATOMIC_RELEASE);
			live--;
			return;
		}
}

void td_out_table_fini(void)
{
	free(table);
	table = NULL;
	used = live = 0;
}

struct td_sa_out *td_out_table_find(uint32_t spi, const struct td_ip *peer)
{
	// Pairs with the release in td_out_table_reserve.
	const struct out_array *array = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
	rte_be32_t wanted = rte_cpu_to_be_32(spi);

	if (!array)
		return NULL;
	for (uint32_t i = key_hash(spi, peer) & array->mask;; i = (i + 1) & array->mask) {
		// Pairs with the release in td_out_table_add: the SA is complete.
		struct td_sa_out *sa = __atomic_load_n(&array->slots[i], __ATOMIC_ACQUIRE);

		if (!sa)
			return NULL;
		if (sa != &removed && sa->spi == wanted && td_ip_equal(peer_of(sa), peer))
			return sa;
	}
}
