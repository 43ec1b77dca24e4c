// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/spi_table.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 256u
#define MARKERS_MIN 4096u // late markers that even a table with few SAs takes along

static struct td_spi_array *array_create(unsigned slots)
{
	struct td_spi_array *array = calloc(1, sizeof(*array) + slots * sizeof(array->slots[0]));

	if (array)
		array->mask = slots - 1;
	return array;
}

static void array_release(struct td_retired *retired)
{
	free(retired); // the first member of the array
}

_Static_assert(offsetof(struct td_spi_array, retired) == 0, "array_release frees the array");

int td_spi_table_init(struct td_spi_table *table)
{
	*table = (struct td_spi_table){.array = array_create(SLOTS_MIN)};
	return table->array ? 0 : -ENOMEM;
}

void td_spi_table_fini(struct td_spi_table *table)
{
	free(table->array);
	*table = (struct td_spi_table){0};
}

static struct td_spi_slot *slot_find(struct td_spi_array *array, uint32_t spi)
{
	uint32_t i = td_spi_hash(spi) & array->mask;

	while (array->slots[i].spi != 0 && array->slots[i].spi != spi)
		i = (i + 1) & array->mask;
	return &array->slots[i];
}

static bool is_marker(const struct td_spi_slot *slot, uint32_t now_s, uint32_t age_s)
{
	return slot->spi && !slot->sa && now_s - slot->removed_s <= age_s;
}

// How old a late marker may be to be taken along: TD_SPI_LATE_S, or less where so many were removed lately
// that markers would outgrow the SAs. *count is how many there are.
static uint32_t marker_age(const struct td_spi_array *array, unsigned live, uint32_t now_s, unsigned *count)
{
	uint32_t age_s = TD_SPI_LATE_S;

	for (;; age_s /= 2) {
		*count = 0;
		for (uint32_t i = 0; i <= array->mask; i++)
			*count += is_marker(&array->slots[i], now_s, age_s);
		if (*count <= MARKERS_MIN + live || age_s == 0)
			return age_s;
	}
}

int td_spi_table_reserve(struct td_spi_table *table, unsigned count, uint32_t now_s)
{
	struct td_spi_array *old = table->array;
	unsigned slots = old->mask + 1;

	// Half full at most: a lookup that misses then touches two slots on average.
	if (table->used + count <= slots / 2)
		return 0;
	unsigned markers;
	uint32_t age_s = marker_age(old, table->live, now_s, &markers);
	unsigned wanted = SLOTS_MIN;
	while (wanted / 2 < table->live + markers + count)
		wanted *= 2;
	// Leave space for as many again, or rebuilds would follow each other under steady rollover.
	wanted *= 2;
	struct td_spi_array *array = array_create(wanted);
	if (!array)
		return -ENOMEM;
	for (unsigned i = 0; i < slots; i++)
		if (old->slots[i].sa || is_marker(&old->slots[i], now_s, age_s))
			*slot_find(array, old->slots[i].spi) = old->slots[i];
	// Pairs with the acquire in td_spi_table_find: a reader sees the new array filled.
	__atomic_store_n(&table->array, array, __ATOMIC_RELEASE);
	table->used = table->live + markers;
	td_rcu_retire(&old->retired, array_release);
	return 0;
}

void td_spi_table_add(struct td_spi_table *table, uint32_t spi, struct td_sa_in *sa)
{
	struct td_spi_slot *slot = slot_find(table->array, spi);

	if (slot->spi == 0)
		table->used++;
	table->live++;
	__atomic_store_n(&slot->sa, sa, __ATOMIC_RELEASE);
	// Pairs with the acquire in td_spi_table_find.
	__atomic_store_n(&slot->spi, spi, __ATOMIC_RELEASE);
}

void td_spi_table_remove(struct td_spi_table *table, uint32_t spi, uint32_t now_s)
{
	struct td_spi_slot *slot = slot_find(table->array, spi);

	if (slot->spi != spi || !slot->sa)
		return;
	__atomic_store_n(&slot->removed_s, now_s, __ATOMIC_RELAXED);
	table->live--;
	// Pairs with the acquire in td_spi_table_is_late.
	__atomic_store_n(&slot->sa, NULL, __ATOMIC_RELEASE);
}
