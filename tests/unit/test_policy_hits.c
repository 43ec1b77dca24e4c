// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_hits.h"
#include "tests/unit/eal.h"

#include <criterion/criterion.h>

static struct td_worker *workers[2];

static void start(void)
{
	test_eal_start();
	td_dp.worker_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		workers[i] = rte_zmalloc("worker", sizeof(struct td_worker), RTE_CACHE_LINE_SIZE);
		td_dp.workers[i] = workers[i];
		cr_assert_eq(td_policy_hits_init(workers[i]), 0);
	}
}

static void stop(void)
{
	td_rcu_drain();
	for (unsigned i = 0; i < 2; i++) {
		td_policy_hits_fini(workers[i]);
		rte_free(workers[i]);
	}
	td_rcu_fini();
	td_eal_stop();
}

TestSuite(policy_hits, .init = start, .fini = stop);

static void count(unsigned worker, const struct td_dp_hits *hits, unsigned packets)
{
	const struct td_policy_rule rule = {.hits = td_policy_hits_number(hits)};
	const struct td_policy_rule *rules[] = {&rule};

	for (unsigned i = 0; i < packets; i++)
		td_policy_hits_count(workers[worker], rules, 1);
}

Test(policy_hits, each_worker_and_policy_counts_alone)
{
	struct td_dp_hits *a = td_dp_hits_create(), *b = td_dp_hits_create();
	const struct td_policy_rule *none[] = {NULL};

	count(0, a, 3);
	count(1, a, 5);
	count(1, b, 7);
	count(1, NULL, 100);
	td_policy_hits_count(workers[0], none, 1);
	cr_expect_eq(td_dp_hits_read(a, 0), 3);
	cr_expect_eq(td_dp_hits_read(a, 1), 5);
	cr_expect_eq(td_dp_hits_read(b, 0), 0);
	cr_expect_eq(td_dp_hits_read(b, 1), 7);
	cr_expect_eq(td_dp_hits_read(NULL, 0), 1, "packets without a match");
	cr_expect_eq(td_dp_hits_read(NULL, 1), 0, "rules without a counter are no such packets");
	td_dp_hits_remove(a);
	td_dp_hits_remove(b);
}

Test(policy_hits, a_number_is_used_again_behind_the_grace_period_and_from_zero)
{
	struct td_dp_hits *old = td_dp_hits_create();
	uint32_t number = td_policy_hits_number(old);

	(void)rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	count(0, old, 9);
	td_dp_hits_remove(old);
	td_rcu_reclaim();
	struct td_dp_hits *meanwhile = td_dp_hits_create();
	cr_expect_neq(td_policy_hits_number(meanwhile), number, "a worker may still count under it");
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	td_rcu_reclaim();
	struct td_dp_hits *again = td_dp_hits_create();
	cr_expect_eq(td_policy_hits_number(again), number);
	cr_expect_eq(td_dp_hits_read(again, 0), 0);
	count(0, again, 2);
	cr_expect_eq(td_dp_hits_read(again, 0), 2);
	td_dp_hits_remove(meanwhile);
	td_dp_hits_remove(again);
}

Test(policy_hits, more_than_a_chunk)
{
	static struct td_dp_hits *many[TD_HITS_CHUNK + 10];
	unsigned length = sizeof(many) / sizeof(many[0]);

	for (unsigned i = 0; i < length; i++) {
		many[i] = td_dp_hits_create();
		cr_assert_not_null(many[i]);
		count(i % 2, many[i], i % 7);
	}
	for (unsigned i = 0; i < length; i++)
		cr_expect_eq(td_dp_hits_read(many[i], i % 2), i % 7, "policy %u", i);
	for (unsigned i = 0; i < length; i++)
		td_dp_hits_remove(many[i]);
}
