// SPDX-License-Identifier: BSD-3-Clause
// Lookups in the SPI table. warm: a few SPIs that stay in the first-level cache. cold: all SPIs in random
// order, and every line of the table (and of the SAs) has been evicted before.

#include "bench/common/shuffle.h"
#include "bench/micro/row.h"
#include "dataplane/sa.h"
#include "dataplane/slab.h"
#include "dataplane/spi_table.h"

#include <errno.h>
#include <math.h>
#include <rte_cycles.h>
#include <stdlib.h>

#define WARM_SPIS 64
#define LOOKUPS 1000000u // of a warm round
#define COLD_LOOKUPS 100000u // of a cold round, at least

static struct td_spi_table table;
static uint64_t *order; // SPIs, shuffled
static struct td_sa_in **sas;
static unsigned entries;

static uint32_t spi_of(uint32_t n)
{
	uint32_t spi = td_shuffle_spread(n);

	return spi < TD_SPI_MIN ? n + TD_SPI_MIN : spi;
}

void td_spi_empty(void)
{
	for (unsigned i = 0; sas && i < entries; i++)
		td_slab_free(sas[i], sizeof(struct td_sa_in));
	if (table.array)
		td_spi_table_fini(&table);
	free(sas);
	free(order);
	sas = NULL;
	order = NULL;
}

int td_spi_fill(uint64_t argument)
{
	uint64_t random = 1;

	entries = (unsigned)argument;
	sas = calloc(entries, sizeof(sas[0]));
	order = calloc(entries, sizeof(order[0]));
	if (!sas || !order || td_spi_table_init(&table) || td_spi_table_reserve(&table, entries, 0))
		return -ENOMEM;
	for (unsigned i = 0; i < entries; i++) {
		sas[i] = td_slab_alloc(sizeof(struct td_sa_in));
		if (!sas[i])
			return -ENOMEM;
		order[i] = sas[i]->spi = spi_of(i + 1);
		td_spi_table_add(&table, sas[i]->spi, sas[i]);
	}
	td_shuffle(order, entries, &random);
	return 0;
}

// Looks up a run of SPIs; returns cycles. *wrong counts SPIs that did not lead to their SA, which is looked
// into only if touch says so.
static inline uint64_t lookups(const uint64_t *spis, unsigned count, bool touch, unsigned *wrong)
{
	unsigned bad = 0;
	uint64_t start = rte_rdtsc_precise();

	for (unsigned i = 0; i < count; i++) {
		const struct td_sa_in *sa = td_spi_table_find(&table, (uint32_t)spis[i]);

		bad += touch ? sa->spi != (uint32_t)spis[i] : !sa;
	}
	uint64_t cycles = rte_rdtsc_precise() - start;
	*wrong += bad;
	return cycles;
}

double td_spi_warm(uint64_t argument)
{
	unsigned wrong = 0, rounds = LOOKUPS / WARM_SPIS;
	uint64_t cycles = 0;

	(void)argument;
	lookups(order, WARM_SPIS, false, &wrong);
	for (unsigned i = 0; i < rounds; i++)
		cycles += lookups(order, WARM_SPIS, false, &wrong);
	return wrong ? NAN : (double)cycles / rounds / WARM_SPIS;
}

static void evict(const void *start, size_t bytes)
{
	const uint8_t *line = start;

	for (size_t i = 0; i < bytes; i += RTE_CACHE_LINE_SIZE)
		_mm_clflush(line + i);
}

static double cold(bool touch)
{
	unsigned wrong = 0, rounds = COLD_LOOKUPS / entries + 1;
	uint64_t cycles = 0;

	for (unsigned round = 0; round < rounds; round++) {
		evict(table.array->slots, (table.array->mask + 1ul) * sizeof(table.array->slots[0]));
		for (unsigned i = 0; touch && i < entries; i++)
			_mm_clflush(sas[i]);
		_mm_mfence();
		cycles += lookups(order, entries, touch, &wrong);
	}
	return wrong ? NAN : (double)cycles / rounds / entries;
}

double td_spi_cold(uint64_t argument)
{
	(void)argument;
	return cold(false);
}

double td_spi_cold_sa(uint64_t argument)
{
	(void)argument;
	return cold(true);
}
