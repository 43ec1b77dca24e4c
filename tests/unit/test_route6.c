// SPDX-License-Identifier: BSD-3-Clause
// Longest prefix match: against the plain definition, when there is no room, and under a reader.

#include "common/ip.h"
#include "dataplane/route6.h"
#include "tests/unit/eal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct td_route6 *table;

static void start(void)
{
	test_eal_start();
	table = td_route6_create("test", 4096, 4096);
	cr_assert_not_null(table);
}

static void settle(void)
{
	while (td_rcu_reclaim())
		;
}

static void stop(void)
{
	td_route6_destroy(table);
	td_rcu_drain();
}

TestSuite(route6, .init = start, .fini = stop);

static int set(const char *text, uint32_t index)
{
	struct td_prefix prefix;

	cr_assert_eq(td_prefix_parse(text, &prefix), 0, "%s", text);
	return td_route6_set(table, prefix.ip.bytes, prefix.length, index);
}

static void unset(const char *text)
{
	struct td_prefix prefix;

	cr_assert_eq(td_prefix_parse(text, &prefix), 0, "%s", text);
	td_route6_delete(table, prefix.ip.bytes, prefix.length);
}

static uint32_t find(const char *text)
{
	struct td_ip ip;

	cr_assert_eq(td_ip_parse(text, &ip), 0, "%s", text);
	return td_route6_lookup(table, ip.bytes);
}

Test(route6, longest_prefix_and_default)
{
	cr_expect_eq(find("2001:db8::1"), 0);
	cr_assert_eq(set("::/0", 1), 0);
	cr_expect_eq(find("2001:db8::1"), 1, "the first change is visible at once");
	cr_assert_eq(set("2001:db8::/32", 2), 0);
	cr_assert_eq(set("2001:db8:1::/48", 3), 0);
	cr_assert_eq(set("2001:db8:1::ffff/128", TD_ROUTE6_INDEX_MAX), 0);
	settle();
	cr_expect_eq(find("2001:db8:2::1"), 2);
	cr_expect_eq(find("2001:db8:1::1"), 3);
	cr_expect_eq(find("2001:db8:1::ffff"), TD_ROUTE6_INDEX_MAX);
	cr_expect_eq(find("2002::1"), 1);
	unset("2001:db8:1::1/48"); // host bits do not count
	unset("2001:db8:3::/48"); // was never there
	settle();
	cr_expect_eq(find("2001:db8:1::1"), 2);
	unset("::/0");
	settle();
	cr_expect_eq(find("2002::1"), 0);
}

Test(route6, what_is_refused)
{
	uint8_t ip[16] = {0x20};

	cr_expect_eq(td_route6_set(table, ip, 129, 1), -EINVAL);
	cr_expect_eq(td_route6_set(table, ip, 64, 0), -EINVAL);
	cr_expect_eq(td_route6_set(table, ip, 64, TD_ROUTE6_INDEX_MAX + 1), -EINVAL);
	td_route6_delete(table, ip, 129);
}

// A change that was accepted is made on both sides, also when the next ones come before the grace period
// ends.
Test(route6, last_change_of_many_counts)
{
	for (uint32_t index = 1; index <= 5; index++)
		cr_assert_eq(set("2001:db8::/64", index), 0);
	unset("2001:db8::/64");
	settle();
	cr_expect_eq(find("2001:db8::1"), 0);
	cr_assert_eq(set("2001:db8::/64", 6), 0); // one side knows it, then it goes and comes again
	unset("2001:db8::/64");
	cr_assert_eq(set("2001:db8::/64", 6), 0);
	settle();
	cr_expect_eq(find("2001:db8::1"), 6);
	for (uint32_t index = 7; index < 10; index++) { // each side in turn
		cr_assert_eq(set("2001:db8::/64", index), 0);
		settle();
		cr_expect_eq(find("2001:db8::1"), index);
	}
}

// Fills the table's groups with prefixes that share none.
static unsigned fill_sparse(void)
{
	unsigned made = 0;
	uint8_t ip[16] = {0};

	for (unsigned i = 0; i < 4096; i++) {
		ip[1] = (uint8_t)(i >> 8);
		ip[2] = (uint8_t)i;
		ip[7] = 1;
		made += td_route6_set(table, ip, 64, i + 1) == 0;
	}
	return made;
}

static void clear_sparse(void)
{
	uint8_t ip[16] = {0};

	for (unsigned i = 0; i < 4096; i++) {
		ip[1] = (uint8_t)(i >> 8);
		ip[2] = (uint8_t)i;
		ip[7] = 1;
		td_route6_delete(table, ip, 64);
	}
	settle();
}

// A /64 that is alone needs five groups. What was accepted works, and room comes back whole.
Test(route6, full_of_groups)
{
	for (int round = 0; round < 3; round++) {
		uint8_t ip[16] = {[7] = 1};

		cr_assert_eq(fill_sparse(), 4096 / 5, "round %d", round);
		settle();
		for (unsigned i = 0; i < 4096 / 5; i++) {
			ip[1] = (uint8_t)(i >> 8);
			ip[2] = (uint8_t)i;
			cr_assert_eq(td_route6_lookup(table, ip), i + 1);
		}
		cr_assert_eq(set("c000::/24", 9), 0, "needs no group");
		clear_sparse();
	}
}

Test(route6, full_of_routes)
{
	uint8_t ip[16] = {0x20};

	for (unsigned i = 0; i < 5000; i++) {
		ip[1] = (uint8_t)(i >> 8);
		ip[2] = (uint8_t)i;
		cr_assert_eq(td_route6_set(table, ip, 24, i + 1), i < 4096 ? 0 : -ENOSPC);
	}
	cr_assert_eq(set("2000::/24", 7), 0, "a change needs no room");
	settle();
	cr_assert_eq(find("2000::1"), 7);
	unset("2000::/24");
	settle();
	cr_assert_eq(set("3000::/24", 8), 0);
}

// ---- the plain definition -----------------------------------------------------------------------

enum { PLAIN = 400 };

struct plain {
	uint8_t ip[16];
	unsigned length;
	uint32_t index; // 0: not there
};

static bool covers(const struct plain *plain, const uint8_t ip[16])
{
	for (unsigned bit = 0; bit < plain->length; bit++)
		if ((plain->ip[bit / 8] ^ ip[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static uint32_t plain_find(const struct plain *plain, const uint8_t ip[16])
{
	const struct plain *best = NULL;

	for (unsigned i = 0; i < PLAIN; i++)
		if (plain[i].index && covers(&plain[i], ip) && (!best || plain[i].length > best->length))
			best = &plain[i];
	return best ? best->index : 0;
}

// Addresses of few bits, so that prefixes overlap.
static void random_address(uint8_t ip[16], unsigned *seed)
{
	for (unsigned b = 0; b < 16; b++)
		ip[b] = rand_r(seed) % 4 == 0 ? (uint8_t)(rand_r(seed) & 0x81) : 0;
}

static struct plain *plain_same(struct plain *plain, const uint8_t ip[16], unsigned length)
{
	for (unsigned i = 0; i < PLAIN; i++)
		if (plain[i].index && plain[i].length == length && covers(&plain[i], ip))
			return &plain[i];
	return NULL;
}

Test(route6, agrees_with_the_definition)
{
	static struct plain plain[PLAIN];
	unsigned seed = 3, found = 0;

	for (unsigned round = 0; round < 200; round++) {
		for (unsigned change = 0; change < 20; change++) {
			struct plain *one = &plain[rand_r(&seed) % PLAIN];

			if (one->index)
				td_route6_delete(table, one->ip, one->length);
			one->index = 0;
			random_address(one->ip, &seed);
			one->length = (unsigned)rand_r(&seed) % 129;
			if (rand_r(&seed) % 3 == 0 || plain_same(plain, one->ip, one->length))
				continue;
			one->index = 1 + (unsigned)rand_r(&seed) % 1000;
			cr_assert_eq(td_route6_set(table, one->ip, one->length, one->index), 0);
			if (rand_r(&seed) % 4 == 0)
				td_rcu_reclaim();
		}
		settle();
		for (unsigned i = 0; i < 200; i++) {
			uint8_t ip[16];

			random_address(ip, &seed);
			uint32_t expected = plain_find(plain, ip);
			cr_assert_eq(td_route6_lookup(table, ip), expected, "round %u", round);
			found += expected != 0;
		}
	}
	cr_assert_gt(found, 10000);
}

// ---- grace periods and a reader -------------------------------------------------------------------

static unsigned released;

static void count_release(struct td_retired *retired)
{
	(void)retired;
	released++;
}

// What an index stood for is kept while a worker may still find the index.
Test(route6, retire_waits_for_the_change_to_be_seen)
{
	struct td_retired first, second;

	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	cr_assert_eq(set("2001:db8::/64", 1), 0); // visible; a grace period begins
	unset("2001:db8::/64"); // queued
	td_route6_retire(table, &first, count_release);
	settle();
	cr_assert_eq(find("2001:db8::1"), 1, "the worker still reads the other side");
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	settle();
	cr_assert_eq(find("2001:db8::1"), 0);
	cr_assert_eq(released, 0, "the worker may have found it just before");
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	settle();
	cr_assert_eq(released, 1);
	td_route6_retire(table, &second, count_release); // nothing is queued
	cr_assert_eq(released, 1);
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	settle();
	cr_assert_eq(released, 2);
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, 0);
}

static bool reader_stop;
static uint64_t reader_lookups, reader_wrong;

// One address is always covered, by an index that names the prefix's length or by a shorter one's.
static void *reader(void *context)
{
	struct td_ip ip;

	(void)context;
	td_ip_parse("2001:db8::1", &ip);
	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	while (!__atomic_load_n(&reader_stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < 32; i++) {
			uint32_t index = td_route6_lookup(table, ip.bytes);

			reader_wrong += index < 32 || index > 128;
			reader_lookups++;
		}
		rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	}
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, 0);
	return NULL;
}

Test(route6, a_reader_always_finds_its_way)
{
	pthread_t thread;
	struct td_ip ip;
	unsigned seed = 5;

	td_ip_parse("2001:db8::1", &ip);
	cr_assert_eq(set("2001:db8::/32", 32), 0);
	settle();
	cr_assert_eq(pthread_create(&thread, NULL, reader, NULL), 0);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned length = 33 + (unsigned)rand_r(&seed) % 96;

		if (rand_r(&seed) % 2)
			cr_assert_eq(td_route6_set(table, ip.bytes, length, length), 0);
		else
			td_route6_delete(table, ip.bytes, length);
		td_rcu_reclaim();
	}
	__atomic_store_n(&reader_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	cr_assert_gt(reader_lookups, 1000);
	cr_assert_eq(reader_wrong, 0);
	settle();
}

// A bulk goes in by batches, each a grace period, without a call that does it all.
Test(route6, a_bulk_arrives)
{
	uint8_t ip[16] = {0x20, 1};

	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	for (unsigned i = 0; i < 4000; i++) {
		ip[2] = (uint8_t)(i >> 8);
		ip[3] = (uint8_t)i;
		cr_assert_eq(td_route6_set(table, ip, 32, i + 1), 0);
	}
	unsigned periods = 0;
	while (td_route6_lookup(table, ip) != 4000 && periods++ < 100) {
		rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
		settle();
	}
	cr_assert_leq(periods, 5);
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, 0);
	settle();
}

Test(route6, destroyed_while_changes_wait)
{
	struct td_retired waiting;

	cr_assert_eq(set("2000::/8", 1), 0);
	cr_assert_eq(set("2000::/16", 2), 0);
	td_route6_retire(table, &waiting, count_release);
	td_route6_destroy(table);
	table = NULL;
	td_rcu_drain();
	cr_assert_eq(released, 1);
}
