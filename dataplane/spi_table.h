// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Inbound SAs of one worker by SPI: open addressing, written by the control thread only, read
// without locks by any worker (the owner for each packet; another one to learn that it is not the owner).
//
// Ordering: a slot's sa is stored before its spi is released, and a reader acquires spi before it
// loads sa. A slot whose SA was removed keeps its spi (sa NULL: late for a while) until a rebuild, so a slot
// never changes from one SPI to another while readers may look at it. A rebuild makes a new table and
// releases the pointer; the old table is freed by RCU.

#include "common/limits.h"
#include "dataplane/rcu.h"

#include <rte_prefetch.h>
#include <stdbool.h>
#include <stdint.h>

struct td_sa_in;

struct td_spi_slot {
	uint32_t spi; // 0: never used. Writer: control thread
	uint32_t removed_s; // when sa was removed, in seconds of the TSC. Writer: control thread
	struct td_sa_in *sa; // Writer: control thread
};

struct td_spi_array {
	struct td_retired retired;
	uint32_t mask;
	struct td_spi_slot slots[];
};

struct td_spi_table {
	struct td_spi_array *array; // Writer: control thread
	unsigned used; // slots with an spi, removed ones included. Control thread only
	unsigned live; // slots with an sa. Control thread only
};

// Return 0 or -ENOMEM.
int td_spi_table_init(struct td_spi_table *table);
void td_spi_table_fini(struct td_spi_table *table);

// Makes room for count more SPIs, so that the next count td_spi_table_add cannot fail. Returns 0 or -ENOMEM.
int td_spi_table_reserve(struct td_spi_table *table, unsigned count, uint32_t now_s);
// spi must not be in the table with an SA.
void td_spi_table_add(struct td_spi_table *table, uint32_t spi, struct td_sa_in *sa);
// From now on a lookup finds the SPI "late" for about TD_SPI_LATE_S, or until it is added again; less
// only where SAs are removed by the thousand.
void td_spi_table_remove(struct td_spi_table *table, uint32_t spi, uint32_t now_s);

static inline uint32_t td_spi_hash(uint32_t spi)
{
	// Fibonacci hashing; the high bits fold down because the mask takes the low ones.
	uint32_t product = spi * 0x9e3779b1u;

	return product ^ product >> 15;
}

// The slot of an SPI, NULL when it has none. Any worker, inside a read-side section.
static inline const struct td_spi_slot *td_spi_table_slot(const struct td_spi_table *table, uint32_t spi)
{
	// Pairs with the release in td_spi_table_reserve.
	const struct td_spi_array *array = __atomic_load_n(&table->array, __ATOMIC_ACQUIRE);

	for (uint32_t i = td_spi_hash(spi) & array->mask;; i = (i + 1) & array->mask) {
		// Pairs with the release in td_spi_table_add: the slot's sa is visible with its spi.
		uint32_t found = __atomic_load_n(&array->slots[i].spi, __ATOMIC_ACQUIRE);

		if (found == spi)
			return &array->slots[i];
		if (found == 0)
			return NULL;
	}
}

// Fetches what td_spi_table_slot looks at first. Any worker, inside a read-side section.
static inline void td_spi_table_prefetch(const struct td_spi_table *table, uint32_t spi)
{
	// Pairs with the release in td_spi_table_reserve.
	const struct td_spi_array *array = __atomic_load_n(&table->array, __ATOMIC_ACQUIRE);

	rte_prefetch0(&array->slots[td_spi_hash(spi) & array->mask]);
}

// The SA of an SPI (not 0), NULL when there is none. Any worker, inside a read-side section.
static inline struct td_sa_in *td_spi_table_find(const struct td_spi_table *table, uint32_t spi)
{
	const struct td_spi_slot *slot = td_spi_table_slot(table, spi);

	return slot ? __atomic_load_n(&slot->sa, __ATOMIC_ACQUIRE) : NULL;
}

// Whether the SPI had an SA that was removed less than TD_SPI_LATE_S ago. Any worker, inside a read-side
// section.
static inline bool td_spi_table_is_late(const struct td_spi_table *table, uint32_t spi, uint32_t now_s)
{
	const struct td_spi_slot *slot = td_spi_table_slot(table, spi);

	// Pairs with the release in td_spi_table_remove: removed_s is that of this removal.
	return slot && !__atomic_load_n(&slot->sa, __ATOMIC_ACQUIRE) &&
	       now_s - __atomic_load_n(&slot->removed_s, __ATOMIC_RELAXED) <= TD_SPI_LATE_S;
}
