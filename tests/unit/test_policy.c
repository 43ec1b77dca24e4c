// SPDX-License-Identifier: BSD-3-Clause
// Policies: order, ranges, directions, what a packet's key is, and what is refused.

#include "dataplane/policy.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <netinet/in.h>
#include <string.h>

TestSuite(policy, .init = test_eal_start);

static struct td_dp_tunnel tunnel;

static struct td_dp_policy policy(enum td_policy_action action, const char *local, const char *remote)
{
	struct td_dp_policy made = {
	    .directions = TD_POLICY_BOTH,
	    .action = action,
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX,
	    .tunnel = action == TD_POLICY_PROTECT ? &tunnel : NULL,
	};

	if (local)
		cr_assert_eq(td_prefix_parse(local, &made.local), 0);
	if (remote)
		cr_assert_eq(td_prefix_parse(remote, &made.remote), 0);
	return made;
}

static struct td_policy_key key(
    const char *local, const char *remote, uint8_t protocol, uint16_t local_port, uint16_t remote_port)
{
	struct td_ip ips[2];

	cr_assert_eq(td_ip_parse(local, &ips[0]), 0);
	cr_assert_eq(td_ip_parse(remote, &ips[1]), 0);
	return (struct td_policy_key){
	    .protocol = protocol,
	    .local = rte_cpu_to_be_32(td_ip_v4(&ips[0])),
	    .remote = rte_cpu_to_be_32(td_ip_v4(&ips[1])),
	    .local_port = rte_cpu_to_be_16(local_port),
	    .remote_port = rte_cpu_to_be_16(remote_port),
	};
}

// Index of the rule that one key meets, -1: none.
static int match(bool outbound, struct td_policy_key one)
{
	const struct td_policy_rule *rule;

	td_policy_classify(td_dp.policies, outbound, &one, &rule, 1);
	return rule ? (int)(rule - td_dp.policies->rules) : -1;
}

static void set(const struct td_dp_policy *policies, unsigned count)
{
	struct td_error error;

	cr_assert_eq(td_dp_policy_set(policies, count, &error), 0, "%s", error.reason);
}

Test(policy, without_policies_nothing_matches)
{
	cr_assert_eq(match(true, key("10.1.0.1", "10.2.0.1", 17, 1, 2)), -1);
	set(NULL, 0);
	cr_assert_eq(match(true, key("10.1.0.1", "10.2.0.1", 17, 1, 2)), -1);
	cr_assert_eq(match(false, key("10.1.0.1", "10.2.0.1", 17, 1, 2)), -1);
}

Test(policy, first_match_counts)
{
	struct td_dp_policy policies[] = {
	    policy(TD_POLICY_DISCARD, "10.1.0.7", NULL),
	    policy(TD_POLICY_BYPASS, "10.1.0.0/24", "198.51.100.0/24"),
	    policy(TD_POLICY_PROTECT, "10.1.0.0/24", "10.0.0.0/8"),
	    policy(TD_POLICY_BYPASS, NULL, "10.2.0.0/16"), // hidden for 10.1.0.0/24
	    policy(TD_POLICY_DISCARD, NULL, NULL),
	};
	static const struct {
		const char *local, *remote;
		int rule;
	} rows[] = {
	    {"10.1.0.7", "10.2.0.1", 0},
	    {"10.1.0.8", "198.51.100.255", 1},
	    {"10.1.0.8", "10.2.0.1", 2},
	    {"10.1.1.8", "10.2.0.1", 3},
	    {"10.1.1.8", "10.3.0.1", 4},
	    {"0.0.0.0", "255.255.255.255", 4},
	};

	set(policies, 5);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int outbound = 0; outbound < 2; outbound++)
			cr_expect_eq(match(outbound, key(rows[i].local, rows[i].remote, 6, 1000, 80)),
			    rows[i].rule, "row %zu", i);
}

Test(policy, protocol_ports_and_direction)
{
	struct td_dp_policy policies[4];

	policies[0] = policy(TD_POLICY_BYPASS, "10.1.0.0/16", NULL);
	policies[0].protocol = IPPROTO_UDP;
	policies[0].remote_port_low = 5000;
	policies[0].remote_port_high = 5010;
	policies[1] = policy(TD_POLICY_BYPASS, "10.1.0.0/16", NULL);
	policies[1].protocol = IPPROTO_TCP;
	policies[1].local_port_low = policies[1].local_port_high = 22;
	policies[2] = policy(TD_POLICY_BYPASS, "10.1.0.0/16", NULL);
	policies[2].protocol = IPPROTO_ICMP;
	policies[2].directions = TD_POLICY_OUT;
	policies[3] = policy(TD_POLICY_PROTECT, "10.1.0.0/16", NULL);
	policies[3].directions = TD_POLICY_IN;
	set(policies, 4);
	static const struct {
		uint8_t protocol;
		uint16_t local_port, remote_port;
		int out, in;
	} rows[] = {
	    {17, 9, 5000, 0, 0}, {17, 9, 5010, 0, 0}, {17, 9, 4999, -1, 3}, {17, 9, 5011, -1, 3},
	    {17, 5000, 9, -1, 3}, {6, 22, 40000, 1, 1}, {6, 40000, 22, -1, 3}, {1, 0, 0, 2, 3},
	    {17, 0, 0, -1, 3}, // a fragment shows no ports
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_policy_key k =
		    key("10.1.2.3", "8.8.8.8", rows[i].protocol, rows[i].local_port, rows[i].remote_port);

		cr_expect_eq(match(true, k), rows[i].out, "row %zu out", i);
		cr_expect_eq(match(false, k), rows[i].in, "row %zu in", i);
	}
}

// The order holds for many rules, as the definition says: the first that matches.
Test(policy, agrees_with_the_definition)
{
	enum { RULES = 300 };
	static struct td_dp_policy policies[RULES];
	unsigned seed = 1;

	for (unsigned i = 0; i < RULES; i++) {
		char text[2][32];

		for (int side = 0; side < 2; side++) {
			unsigned length = 16 + rand_r(&seed) % 17;
			uint32_t address = 0x0a010000 | (rand_r(&seed) & 0x3ff);
			struct td_ip ip = td_ip_from_v4(address & UINT32_MAX << (32 - length));

			td_ip_format(&ip, text[side]);
			snprintf(strchr(text[side], 0), 8, "/%u", length);
		}
		policies[i] = policy(TD_POLICY_BYPASS, text[0], text[1]);
		policies[i].protocol = rand_r(&seed) % 3 == 0 ? 17 : 0;
	}
	// Wide rules come last, so that each kind matches sometimes.
	for (unsigned i = 0; i < RULES / 2; i++)
		if (policies[i].local.length < 24) {
			struct td_dp_policy wide = policies[i];

			policies[i] = policies[RULES - 1 - i];
			policies[RULES - 1 - i] = wide;
		}
	set(policies, RULES);
	unsigned matched = 0;
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t a = 0x0a010000 | (rand_r(&seed) & 0x3ff), b = 0x0a010000 | (rand_r(&seed) & 0x3ff);
		uint8_t protocol = rand_r(&seed) % 2 ? 17 : 6;
		int expected = -1;

		for (unsigned r = 0; r < RULES && expected < 0; r++) {
			uint32_t shift_a = 32u - policies[r].local.length,
			         shift_b = 32u - policies[r].remote.length;

			if ((uint64_t)a >> shift_a == (uint64_t)td_ip_v4(&policies[r].local.ip) >> shift_a &&
			    (uint64_t)b >> shift_b == (uint64_t)td_ip_v4(&policies[r].remote.ip) >> shift_b &&
			    (!policies[r].protocol || policies[r].protocol == protocol))
				expected = (int)r;
		}
		struct td_policy_key k = {
		    .protocol = protocol, .local = rte_cpu_to_be_32(a), .remote = rte_cpu_to_be_32(b)};
		cr_assert_eq(match(true, k), expected, "packet %u", i);
		matched += expected >= 0;
	}
	cr_assert_gt(matched, 500);
}

Test(policy, what_is_refused_changes_nothing)
{
	struct td_dp_policy good = policy(TD_POLICY_BYPASS, "10.1.0.0/16", NULL);
	struct td_dp_policy bad[5];
	struct td_error error;

	set(&good, 1);
	for (int i = 0; i < 5; i++)
		bad[i] = good;
	cr_assert_eq(td_prefix_parse("2001:db8::/32", &bad[0].remote), 0);
	bad[1].remote_port_low = 5; // ports without a protocol
	bad[2].protocol = IPPROTO_ICMP;
	bad[2].local_port_high = 7;
	bad[3].action = TD_POLICY_PROTECT; // without a tunnel
	bad[4].tunnel = &tunnel; // with one, for bypass
	const struct td_policy_set *before = td_dp.policies;
	for (int i = 0; i < 5; i++) {
		cr_expect_lt(td_dp_policy_set(&bad[i], 1, &error), 0, "%d", i);
		cr_expect_neq(error.reason[0], '\0');
	}
	cr_assert_eq(td_dp.policies, before);
	cr_assert_eq(match(true, key("10.1.0.1", "1.1.1.1", 6, 1, 2)), 0);
}

// Keys of packets: both directions, and no ports where the packet shows none.
Test(policy, key_of_a_packet)
{
	uint8_t bytes[64] = {0x46, [9] = 17, [12] = 10, 1, 0, 1, 10, 2, 0, 2, [24] = 0x12, 0x34, 0x56, 0x78};
	struct rte_mbuf mbuf = {.buf_addr = bytes, .data_len = 32};
	struct td_policy_key out, in;

	td_policy_key_fill(&out, &mbuf, true);
	td_policy_key_fill(&in, &mbuf, false);
	cr_expect_eq(out.local_port, rte_cpu_to_be_16(0x1234), "behind the options");
	cr_expect_eq(out.remote_port, rte_cpu_to_be_16(0x5678));
	cr_expect_eq(in.local_port, rte_cpu_to_be_16(0x5678));
	cr_expect_eq(out.local, in.remote);
	cr_expect_eq(out.remote, in.local);
	mbuf.data_len = 27;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.local_port, 0, "ports cut off");
	mbuf.data_len = 32;
	bytes[7] = 1;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.local_port, 0, "fragment behind the first");
	bytes[7] = 0;
	bytes[9] = 1;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.local_port, 0, "ICMP has no ports");
}
