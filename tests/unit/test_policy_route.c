// SPDX-License-Identifier: BSD-3-Clause
// Many policies, changes while a worker looks, and the tunnel routes behind the policies.
#include "tests/unit/policy_packet.h"

TestSuite(policy_route, .init = start, .fini = stop);

// ---- size and change
// ----------------------------------------------------------------------------------

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

Test(policy_route, ten_thousand)
{
	enum { POLICIES = 10000 };
	static struct td_dp_policy policies[POLICIES];

	for (unsigned i = 0; i < POLICIES; i++) {
		char local[TD_PREFIX_TEXT_MAX], remote[TD_PREFIX_TEXT_MAX];
		bool old = i % 2;

		snprintf(
		    local, sizeof(local), old ? "10.%u.%u.0/24" : "2001:db8:%x:%x::/64", i >> 8, i & 255);
		snprintf(
		    remote, sizeof(remote), old ? "172.16.%u.%u" : "2001:db8:ff::%x:%x", i >> 8, i & 255);
		policies[i] = policy(TD_POLICY_PROTECT, local, remote);
	}
	double begin = seconds();
	set(policies, POLICIES);
	double took = seconds() - begin;
	cr_expect_eq(match_between(true, "10.39.15.9", "172.16.39.15", 6, 1, 2), 9999);
	cr_expect_eq(match_between(false, "2001:db8:27:e::9", "2001:db8:ff::27:e", 6, 1, 2), 9998);
	cr_expect_eq(match_between(false, "2001:db8:27:e::9", "2001:db8:ff::27:f", 6, 1, 2), -1);
	set(policies, POLICIES); // while the old set is still there
	cr_assert_lt(took, 20, "took %f s", took);
}

static bool worker_stop;
static uint64_t worker_lookups, worker_wrong;

// Every set, and every state of the tunnel routes, has an answer for these two
// packets.
static void *worker(void *context)
{
	struct packet packets[] = {between(true, "10.0.0.1", "10.1.0.1", 6, 1, 2),
	    between(true, "2001:db8::1", "2001:db8::2", 6, 1, 2)};

	(void)context;
	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	while (!__atomic_load_n(&worker_stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < 2; i++) {
			uint8_t bytes[64];
			struct rte_mbuf mbuf = {
			    .buf_addr = bytes, .data_len = packet_write(&packets[i], bytes)};
			struct rte_mbuf *mbufs[] = {&mbuf};
			const struct td_policy_rule *rule;

			td_policy_lookup(
			    __atomic_load_n(&td_dp.policies, __ATOMIC_ACQUIRE), true, mbufs, &rule, 1);
			worker_wrong += !rule || rule->action != (i ? TD_POLICY_PROTECT : TD_POLICY_BYPASS) ||
			                (i && (rule->tunnel < tunnels || rule->tunnel > &tunnels[2]));
			worker_lookups++;
		}
		rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	}
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, 0);
	return NULL;
}

Test(policy_route, replaced_under_traffic)
{
	struct td_dp_policy bypass = policy(TD_POLICY_BYPASS, "10.0.0.0/8", NULL);
	struct td_prefix wide = {ip("2001:db8::"), 32}, narrow = {ip("2001:db8::2"), 128};
	pthread_t thread;

	set(&bypass, 1);
	cr_assert_eq(td_dp_tunnel_route_set(&wide, &tunnels[0]), 0);
	settle();
	cr_assert_eq(pthread_create(&thread, NULL, worker, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		set(&bypass, 1);
		cr_assert_eq(td_dp_tunnel_route_set(&wide, &tunnels[i % 2]), 0);
		cr_assert_eq(td_dp_tunnel_route_set(&narrow, &tunnels[2 - i % 3]), 0);
		td_rcu_reclaim();
	}
	__atomic_store_n(&worker_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	cr_assert_gt(worker_lookups, 100);
	cr_assert_eq(worker_wrong, 0);
}

// ---- tunnel routes
// --------------------------------------------------------------------------------------

static int route_set(const char *text, unsigned tunnel)
{
	struct td_prefix prefix;

	cr_assert_eq(td_prefix_parse(text, &prefix), 0, "%s", text);
	return td_dp_tunnel_route_set(&prefix, &tunnels[tunnel]);
}

static void route_delete(const char *text)
{
	struct td_prefix prefix;

	cr_assert_eq(td_prefix_parse(text, &prefix), 0, "%s", text);
	td_dp_tunnel_route_delete(&prefix);
}

Test(policy_route, tunnel_routes)
{
	static const struct {
		const char *wide, *narrow, *in_both, *in_wide, *outside;
	} rows[] = {
	    {"10.0.0.0/8", "10.1.2.0/25", "10.1.2.127", "10.1.2.128", "11.0.0.0"},
	    {"2001:db8::/32", "2001:db8:1:2::/65", "2001:db8:1:2::1", "2001:db8:1:2:8000::", "2002::"},
	    {"0.0.0.0/0", "192.0.2.1/32", "192.0.2.1", "192.0.2.2", "::1"},
	    {"::/0", "2001:db8::1/128", "2001:db8::1", "2001:db8::", "10.0.0.1"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		route_delete(rows[i].wide); // is not there
		cr_assert_eq(route_set(rows[i].wide, 0), 0);
		cr_assert_eq(route_set(rows[i].narrow, 1), 0);
		settle();
		for (int outbound = 0; outbound < 2; outbound++) { // inbound it is the source that counts
			cr_expect_eq(tunnel_of(outbound, rows[i].in_both, rows[i].in_both), 1, "row %zu", i);
			cr_expect_eq(tunnel_of(outbound, rows[i].in_wide, rows[i].in_wide), 0, "row %zu", i);
			cr_expect_eq(tunnel_of(outbound, rows[i].outside, rows[i].outside), -1, "row %zu", i);
		}
		cr_assert_eq(route_set(rows[i].narrow, 2), 0);
		cr_expect_eq(tunnel_of(true, rows[i].in_both, rows[i].in_both), 2, "at once; row %zu", i);
		route_delete(rows[i].narrow);
		cr_expect_neq(tunnel_of(true, rows[i].in_both, rows[i].in_both), 2, "at once; row %zu", i);
		settle();
		cr_expect_eq(tunnel_of(true, rows[i].in_both, rows[i].in_both), 0, "row %zu", i);
		route_delete(rows[i].wide);
		settle();
		cr_expect_eq(tunnel_of(true, rows[i].in_both, rows[i].in_both), -1, "row %zu", i);
	}
}

Test(policy_route, tunnel_routes_stand_behind_policies)
{
	struct td_dp_policy policies[] = {
	    policy(TD_POLICY_BYPASS, NULL, "10.1.0.0/16"),
	    policy(TD_POLICY_PROTECT, NULL, "2001:db8:1::/48"),
	};

	cr_assert_eq(route_set("10.0.0.0/8", 1), 0);
	cr_assert_eq(route_set("2001:db8::/32", 2), 0);
	settle();
	cr_expect_eq(tunnel_of(true, "192.0.2.1", "10.1.0.1"), 1, "without any policies");
	set(policies, 2);
	cr_expect_eq(tunnel_of(true, "192.0.2.1", "10.1.0.1"), -2);
	cr_expect_eq(tunnel_of(true, "192.0.2.1", "10.2.0.1"), 1);
	cr_expect_eq(tunnel_of(false, "192.0.2.1", "10.2.0.1"), 1);
	cr_expect_eq(tunnel_of(false, "10.2.0.1", "192.0.2.1"), -1, "the local address does not count");
	cr_expect_eq(tunnel_of(true, "::1", "2001:db8:1::1"), 0);
	cr_expect_eq(tunnel_of(true, "::1", "2001:db8:2::1"), 2);
}

Test(policy_route, tunnel_routes_refused)
{
	struct td_prefix prefix = {.ip.family = 4, .length = 33};

	cr_expect_eq(td_dp_tunnel_route_set(&prefix, &tunnels[0]), -EINVAL);
	td_dp_tunnel_route_delete(&prefix);
	prefix.length = 32;
	cr_expect_eq(td_dp_tunnel_route_set(&prefix, NULL), -EINVAL);
	prefix.ip.family = 0;
	cr_expect_eq(td_dp_tunnel_route_set(&prefix, &tunnels[0]), -EINVAL);
}

static struct td_prefix site(uint8_t family, unsigned number)
{
	struct td_prefix made = {.ip.family = family, .length = family == 4 ? 32 : 56};

	made.ip.bytes[0] = family == 4 ? 10 : 0x20;
	made.ip.bytes[family == 4 ? 1 : 4] = (uint8_t)(number >> 16);
	made.ip.bytes[family == 4 ? 2 : 5] = (uint8_t)(number >> 8);
	made.ip.bytes[family == 4 ? 3 : 6] = (uint8_t)number;
	return made;
}

// 100,000 sites of each family, all moved to other tunnels, removed, and made
// again.
Test(policy_route, hundred_thousand_tunnel_routes)
{
	enum { SITES = 100000 };
	double begin = seconds();

	for (unsigned round = 0; round < 2; round++) {
		for (uint8_t family = 4; family <= 6; family += 2)
			for (unsigned i = 0; i < 2 * SITES; i++) {
				struct td_prefix prefix = site(family, i % SITES);

				cr_assert_eq(td_dp_tunnel_route_set(&prefix, &tunnels[i / SITES + 1]), 0);
				if (i % 100 == 0)
					td_rcu_reclaim();
			}
		settle();
		cr_expect_eq(tunnel_of(true, "10.0.0.0", "10.1.134.159"), 2, "the last one");
		cr_expect_eq(tunnel_of(true, "10.0.0.0", "10.1.134.160"), -1);
		cr_expect_eq(tunnel_of(true, "::", "2000:0:186:9f00::1"), 2);
		cr_expect_eq(tunnel_of(true, "::", "2000:0:186:a000::1"), -1);
		for (unsigned i = 0; i < 2 * SITES; i++) {
			struct td_prefix prefix = site(i < SITES ? 4 : 6, i % SITES);

			td_dp_tunnel_route_delete(&prefix);
		}
		settle();
		cr_expect_eq(tunnel_of(true, "10.0.0.0", "10.1.134.159"), -1);
	}
	cr_assert_lt(seconds() - begin, 60);
}
