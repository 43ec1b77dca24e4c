// SPDX-License-Identifier: BSD-3-Clause
// The SPI table: what is found, what is late, and that a reader sees no gap while the table grows under it.

#include "common/limits.h"
#include "dataplane/spi_table.h"

#include <criterion/criterion.h>
#include <pthread.h>

#define SA(spi) ((struct td_sa_in *)(uintptr_t)((uint64_t)(spi) << 8 | 1))

static struct td_spi_table table;

static void setup(void)
{
	cr_assert_eq(td_rcu_init(1), 0);
	cr_assert_eq(td_spi_table_init(&table), 0);
}

static void teardown(void)
{
	td_rcu_drain();
	td_rcu_fini();
	td_spi_table_fini(&table);
}

TestSuite(spi_table, .init = setup, .fini = teardown);

static void add(uint32_t spi, uint32_t now_s)
{
	cr_assert_eq(td_spi_table_reserve(&table, 1, now_s), 0);
	td_spi_table_add(&table, spi, SA(spi));
}

Test(spi_table, add_find_remove)
{
	cr_assert_null(td_spi_table_find(&table, 256));
	cr_assert_not(td_spi_table_is_late(&table, 256, 0));
	add(256, 0);
	add(UINT32_MAX, 0);
	cr_assert_eq(td_spi_table_find(&table, 256), SA(256));
	cr_assert_eq(td_spi_table_find(&table, UINT32_MAX), SA(UINT32_MAX));
	cr_assert_null(td_spi_table_find(&table, 257));
	td_spi_table_remove(&table, 256, 10);
	cr_assert_null(td_spi_table_find(&table, 256));
	cr_assert(td_spi_table_is_late(&table, 256, 10), "just removed");
	cr_assert(td_spi_table_is_late(&table, 256, 10 + TD_SPI_LATE_S));
	cr_assert_not(td_spi_table_is_late(&table, 256, 11 + TD_SPI_LATE_S),
	    "late for a while only, without a rebuild");
	add(256, 11);
	cr_assert_eq(td_spi_table_find(&table, 256), SA(256));
	cr_assert_not(td_spi_table_is_late(&table, 256, 11));
	td_spi_table_remove(&table, 999, 12); // not there: nothing happens
}

// SPIs of one hash chain keep finding each other when one in the middle goes.
Test(spi_table, collisions)
{
	uint32_t chain[16];
	unsigned found = 0;
	for (uint32_t spi = TD_SPI_MIN; found < 16; spi++)
		if ((td_spi_hash(spi) & 255) == 7)
			chain[found++] = spi;
	for (unsigned i = 0; i < 16; i++)
		add(chain[i], 0);
	td_spi_table_remove(&table, chain[3], 1);
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(td_spi_table_find(&table, chain[i]), i == 3 ? NULL : SA(chain[i]));
}

// Endless rollover: SPIs come and go, the table stays small, old markers are forgotten.
Test(spi_table, churn_does_not_grow)
{
	for (uint32_t i = 0; i < 200000; i++) {
		add(TD_SPI_MIN + i, i / 10);
		if (i >= 4)
			td_spi_table_remove(&table, TD_SPI_MIN + i - 4, i / 10);
		(void)td_rcu_reclaim();
	}
	cr_assert_leq(table.array->mask + 1, 8192u);
	cr_assert_eq(table.live, 4);
	cr_assert_null(td_spi_table_find(&table, TD_SPI_MIN));
	cr_assert_not(td_spi_table_is_late(&table, TD_SPI_MIN, 20000));
	cr_assert_null(td_spi_table_find(&table, TD_SPI_MIN + 199990));
	cr_assert(td_spi_table_is_late(&table, TD_SPI_MIN + 199990, 19999));
}

Test(spi_table, reserve_makes_room_for_all)
{
	cr_assert_eq(td_spi_table_reserve(&table, 100000, 0), 0);
	const struct td_spi_array *array = table.array;
	for (uint32_t spi = 1000; spi < 101000; spi++)
		td_spi_table_add(&table, spi * 7, SA(spi * 7));
	cr_assert_eq(table.array, array, "no growth behind the reservation");
	for (uint32_t spi = 1000; spi < 101000; spi++)
		cr_assert_eq(td_spi_table_find(&table, spi * 7), SA(spi * 7));
}

struct reader {
	bool stop;
	uint64_t lookups, misses;
};

static void *reader_run(void *argument)
{
	struct reader *reader = argument;
	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) {
		// These are in the table from before the start and never leave.
		for (uint32_t spi = 1000; spi < 1064; spi++) {
			reader->misses += td_spi_table_find(&table, spi) != SA(spi);
			__atomic_store_n(&reader->lookups, reader->lookups + 1, __ATOMIC_RELAXED);
		}
		rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	}
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_unregister(td_rcu_qsbr, 0);
	return NULL;
}

Test(spi_table, grows_under_a_reader)
{
	struct reader reader = {0};
	pthread_t thread;

	for (uint32_t spi = 1000; spi < 1064; spi++)
		add(spi, 0);
	cr_assert_eq(pthread_create(&thread, NULL, reader_run, &reader), 0);
	while (__atomic_load_n(&reader.lookups, __ATOMIC_RELAXED) == 0)
		;
	for (int round = 0; round < 20; round++) {
		for (uint32_t spi = 5000; spi < 25000; spi++)
			add(spi, (uint32_t)round * 100);
		for (uint32_t spi = 5000; spi < 25000; spi++)
			td_spi_table_remove(&table, spi, (uint32_t)round * 100);
		(void)td_rcu_reclaim();
	}
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	cr_assert_gt(reader.lookups, 1000);
	cr_assert_eq(reader.misses, 0);
}
