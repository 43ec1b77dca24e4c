// SPDX-License-Identifier: BSD-3-Clause
// Policies: order, ranges, both families, ICMP, fragments, and what is refused.
#include "tests/unit/policy_packet.h"

TestSuite(policy, .init = start, .fini = stop);

// ---- ordered policies
// -----------------------------------------------------------------------------

Test(policy, without_policies_nothing_matches)
{
	cr_assert_eq(match_between(true, "10.1.0.1", "10.2.0.1", 17, 1, 2), -1);
	cr_assert_eq(match_between(true, "2001:db8::1", "2001:db8::2", 17, 1, 2), -1);
	set(NULL, 0);
	cr_assert_eq(match_between(true, "10.1.0.1", "10.2.0.1", 17, 1, 2), -1);
	cr_assert_eq(match_between(false, "2001:db8::1", "2001:db8::2", 17, 1, 2), -1);
}

Test(policy, first_match_counts)
{
	struct td_dp_policy policies[] = {
	    policy(TD_POLICY_DISCARD, "10.1.0.7", NULL),
	    policy(TD_POLICY_BYPASS, "10.1.0.0/24", "198.51.100.0/24"),
	    policy(TD_POLICY_PROTECT, "10.1.0.0/24", "10.0.0.0/8"),
	    policy(TD_POLICY_BYPASS, NULL, "10.2.0.0/16"), // hidden for 10.1.0.0/24
	    policy(TD_POLICY_BYPASS, "2001:db8:1::/48", "2001:db8:2::/48"),
	    policy(TD_POLICY_BYPASS, "2001:db8::1-2001:db8:1:ffff::5", NULL),
	    policy(TD_POLICY_BYPASS, "10.9.0.250-10.9.1.5", "0.0.0.0-255.255.255.255"),
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
	    {"10.1.1.8", "10.3.0.1", 7},
	    {"0.0.0.0", "255.255.255.255", 7},
	    {"2001:db8:1::1", "2001:db8:2:ffff::1", 4},
	    {"2001:db8:1:ffff::5", "2001:db8:3::1", 5},
	    {"2001:db8:1:ffff::6", "2001:db8:3::1", 7},
	    {"2001:db8::1", "2001:db8:3::1", 5},
	    {"2001:db8::", "2001:db8:3::1", 7},
	    {"2001:db8:0:ffff:ffff:ffff:ffff:ffff", "::", 5},
	    {"10.9.0.249", "1.2.3.4", 7},
	    {"10.9.0.250", "1.2.3.4", 6},
	    {"10.9.1.5", "255.255.255.255", 6},
	    {"10.9.1.6", "0.0.0.0", 7},
	};

	set(policies, COUNT(policies));
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int outbound = 0; outbound < 2; outbound++)
			cr_expect_eq(match_between(outbound, rows[i].local, rows[i].remote, 6, 1000, 80),
			    rows[i].rule, "row %zu", i);
}

Test(policy, protocol_ports_and_direction)
{
	struct td_dp_policy policies[4];

	for (unsigned i = 0; i < 4; i++)
		policies[i] = policy(i < 3 ? TD_POLICY_BYPASS : TD_POLICY_PROTECT, NULL, NULL);
	policies[0].protocol = IPPROTO_UDP;
	policies[0].remote_port_low = 5000;
	policies[0].remote_port_high = 5010;
	policies[1].protocol = IPPROTO_TCP;
	policies[1].local_port_low = policies[1].local_port_high = 22;
	policies[2].protocol = 99;
	policies[2].directions = TD_POLICY_OUT;
	policies[3].directions = TD_POLICY_IN;
	set(policies, 4);
	static const struct {
		uint8_t protocol;
		uint16_t local_port, remote_port;
		int out, in;
	} rows[] = {
	    {17, 9, 5000, 0, 0},
	    {17, 9, 5010, 0, 0},
	    {17, 9, 4999, -1, 3},
	    {17, 9, 5011, -1, 3},
	    {17, 5000, 9, -1, 3},
	    {6, 22, 40000, 1, 1},
	    {6, 40000, 22, -1, 3},
	    {99, 0, 0, 2, 3},
	};
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int family = 4; family <= 6; family += 2) {
			const char *local = family == 4 ? "10.1.2.3" : "2001:db8::1";
			const char *remote = family == 4 ? "8.8.8.8" : "2001:db8::2";

			cr_expect_eq(match_between(true, local, remote, rows[i].protocol, rows[i].local_port,
			                 rows[i].remote_port),
			    rows[i].out, "row %zu out", i);
			cr_expect_eq(match_between(false, local, remote, rows[i].protocol, rows[i].local_port,
			                 rows[i].remote_port),
			    rows[i].in, "row %zu in", i);
		}
}

// To ping out, and to take no ping: what is sent and what comes are two
// selectors of one policy.
Test(policy, icmp_types)
{
	struct td_dp_policy policies[3];

	for (unsigned i = 0; i < 3; i++)
		policies[i] = policy(TD_POLICY_BYPASS, NULL, NULL);
	policies[0].protocol = IPPROTO_ICMP;
	policies[0].local_port_low = 0x800;
	policies[0].local_port_high = 0x8ff;
	policies[0].remote_port_high = 0xff;
	policies[1].protocol = IPPROTO_ICMPV6;
	policies[1].local_port_low = policies[1].local_port_high = 0x8000;
	policies[2].protocol = IPPROTO_ICMP;
	policies[2].remote_port_low = policies[2].remote_port_high = 0x304; // fragmentation needed
	policies[2].directions = TD_POLICY_IN;
	set(policies, 3);
	static const struct {
		const char *address;
		uint8_t protocol;
		uint16_t number;
		int out, in;
		bool later;
	} rows[] = {
	    {"10.0.0.1", 1, 0x800, 0, -1, false}, // echo request
	    {"10.0.0.1", 1, 0x8ff, 0, -1, false}, {"10.0.0.1", 1, 0x900, -1, -1, false},
	    {"10.0.0.1", 1, 0x000, -1, 0, false}, // echo reply
	    {"10.0.0.1", 1, 0x000, -1, -1, true}, // shows no type, and is no echo reply
	    {"10.0.0.1", 1, 0x304, -1, 2, false}, {"10.0.0.1", 1, 0x303, -1, -1, false},
	    {"2001:db8::1", 58, 0x8000, 1, 1, false}, {"2001:db8::1", 58, 0x8001, -1, 1, false},
	    {"2001:db8::1", 58, 0x8000, -1, 1, true}, // any also matches what shows nothing
	    {"2001:db8::1", 1, 0x800, -1, -1, false}, // ICMP of IPv4 has no place in IPv6
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct packet packet =
		    between(true, rows[i].address, rows[i].address, rows[i].protocol, rows[i].number, 0x77);

		packet.later = rows[i].later;
		cr_expect_eq(match(true, &packet), rows[i].out, "row %zu out", i);
		cr_expect_eq(match(false, &packet), rows[i].in, "row %zu in", i);
	}
}

Test(policy, what_is_refused_changes_nothing)
{
	struct td_dp_policy good = policy(TD_POLICY_BYPASS, "10.1.0.0/16", NULL);
	struct td_dp_policy bad[] = {
	    policy(TD_POLICY_BYPASS, "10.1.0.0/16", "2001:db8::/32"),
	    policy(TD_POLICY_BYPASS, "10.1.0.0-2001:db8::", NULL),
	    policy(TD_POLICY_BYPASS, "10.1.0.9-10.1.0.8", NULL),
	    policy(TD_POLICY_BYPASS, NULL, "2001:db8::1-2001:db8::"),
	    good,
	    good,
	    good,
	    good,
	    good,
	    good,
	    good,
	    good,
	    good,
	    good,
	    good,
	};
	static const char *const fields[] = {"remote", "local", "local", "remote", "remote_port",
	    "local_port", "local_port", "local_port", "remote_port", "tunnel", "tunnel", "local", "remote",
	    "direction", "local_port"};
	struct td_error error;

	bad[4].remote_port_low = 5; // ports without a protocol
	bad[5].protocol = 99;
	bad[5].local_port_high = 7;
	bad[6].protocol = IPPROTO_TCP; // reversed
	bad[6].local_port_low = 9;
	bad[6].local_port_high = 8;
	bad[7].protocol = IPPROTO_TCP; // no port 0
	bad[7].local_port_high = 8;
	bad[8].protocol = IPPROTO_ICMPV6; // with IPv4
	bad[8].remote_port_high = 8;
	bad[9].action = TD_POLICY_PROTECT; // without a tunnel
	bad[10].tunnel = &tunnels[0]; // with one, for bypass
	bad[11].local.length = 33;
	bad[12].remote_high = ip("10.0.0.1"); // and no first address
	bad[13].directions = 0;
	bad[14].protocol = IPPROTO_ICMP;
	bad[14].local_port_low = 0x900;
	bad[14].local_port_high = 0x800;
	set(&good, 1);
	const struct td_policy_set *before = td_dp.policies;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct td_dp_policy both[] = {good, bad[i]};

		cr_expect_eq(td_dp_policy_set(both, 2, &error), -EINVAL, "%zu", i);
		cr_expect_str_eq(error.object, "policy 1");
		cr_expect_str_eq(error.field, fields[i], "%zu", i);
		cr_expect_neq(error.reason[0], '\0');
	}
	cr_assert_eq(td_dp.policies, before);
	cr_assert_eq(match_between(true, "10.1.0.1", "1.1.1.1", 6, 1, 2), 0);
}

// ---- keys
// -----------------------------------------------------------------------------------------

Test(policy, key_of_an_ipv4_packet)
{
	uint8_t bytes[64] = {0x46, [9] = 17, [12] = 10, 1, 0, 1, 10, 2, 0, 2, [24] = 0x12, 0x34, 0x56, 0x78};
	struct rte_mbuf mbuf = {.buf_addr = bytes, .data_len = 32};
	struct td_policy_key out, in;

	td_policy_key_fill(&out, &mbuf, true);
	td_policy_key_fill(&in, &mbuf, false);
	cr_expect_eq(out.ports[0], rte_cpu_to_be_16(0x1234), "behind the options");
	cr_expect_eq(out.ports[1], rte_cpu_to_be_16(0x5678));
	cr_expect_eq(in.ports[0], rte_cpu_to_be_16(0x5678));
	cr_expect_arr_eq(out.local, in.remote, 16);
	cr_expect_arr_eq(out.remote, in.local, 16);
	mbuf.data_len = 27;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.ports[0], 0, "ports cut off");
	mbuf.data_len = 32;
	bytes[7] = 1;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.ports[0], 0, "fragment behind the first");
	bytes[6] = 0x20;
	bytes[7] = 0;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.ports[0], rte_cpu_to_be_16(0x1234), "first fragment");
	bytes[9] = 99;
	td_policy_key_fill(&out, &mbuf, true);
	cr_expect_eq(out.ports[0], 0, "a protocol without ports");
}

Test(policy, key_of_an_ipv6_packet)
{
	uint8_t bytes[64] = {0x60, [6] = 60, [23] = 1, [39] = 2, [40] = 17, [48] = 0x12, 0x34, 0x56, 0x78};
	struct rte_mbuf mbuf = {.buf_addr = bytes, .data_len = 56};
	struct rte_mbuf *mbufs[] = {&mbuf};
	struct td_policy_key out, in;
	const struct td_policy_rule *rule;

	td_policy_key_fill(&out, &mbuf, true);
	td_policy_key_fill(&in, &mbuf, false);
	cr_expect_eq(out.protocol, 17, "behind the options");
	cr_expect_eq(out.ports[0], rte_cpu_to_be_16(0x1234));
	cr_expect_eq(in.ports[0], rte_cpu_to_be_16(0x5678));
	cr_expect_eq(in.local[3], rte_cpu_to_be_32(2));
	cr_expect_eq(in.remote[3], rte_cpu_to_be_32(1));
	bytes[41] = 7; // options longer than the packet
	struct td_dp_policy any = policy(TD_POLICY_BYPASS, NULL, NULL);
	struct td_prefix all = {.ip.family = 6};
	set(&any, 1);
	cr_assert_eq(td_dp_tunnel_route_set(&all, &tunnels[0]), 0);
	td_policy_lookup(td_dp.policies, true, mbufs, &rule, 1);
	cr_expect_null(rule, "not even any matches what cannot be read");
}

// ---- the plain definition
// ---------------------------------------------------------------------------

static unsigned seed = 1;

static unsigned draw(unsigned below)
{
	return (unsigned)rand_r(&seed) % below;
}

// Addresses near each other and near the ends of words.
static struct td_ip draw_ip(uint8_t family)
{
	static const uint8_t bytes[] = {0, 0, 0, 1, 0x7f, 0x80, 0xfe, 0xff, 0xff, 0xff};
	struct td_ip drawn = {.family = family};
	uint8_t byte = 0;

	for (unsigned i = 0; i < td_ip_length(family); i++) {
		if (i % 4 == 0 || draw(3) == 0)
			byte = bytes[draw(sizeof(bytes))];
		drawn.bytes[i] = byte;
	}
	return drawn;
}

static void draw_side(uint8_t family, struct td_prefix *prefix, struct td_ip *high)
{
	unsigned bits = family == 4 ? 32 : 128;

	if (draw(4) == 0)
		return;
	prefix->ip = draw_ip(family);
	prefix->length = (uint8_t)(draw(2) ? draw(9) : draw(bits + 1));
	if (draw(2) == 0)
		return;
	*high = draw_ip(family);
	if (memcmp(prefix->ip.bytes, high->bytes, 16) > 0) {
		struct td_ip swap = prefix->ip;

		prefix->ip = *high;
		*high = swap;
	}
}

static void draw_ports(uint16_t *low, uint16_t *high)
{
	if (draw(2))
		return;
	*low = (uint16_t)(1 + draw(8));
	*high = (uint16_t)(*low + draw(8));
}

static const uint8_t protocols[] = {IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6, 99};

static struct td_dp_policy draw_policy(void)
{
	struct td_dp_policy drawn = policy(TD_POLICY_BYPASS, NULL, NULL);
	uint8_t family = draw(2) ? 4 : 6;

	drawn.directions = (enum td_policy_direction)(1 + draw(3));
	drawn.protocol = draw(2) ? protocols[draw(5)] : 0;
	draw_side(family, &drawn.local, &drawn.local_high);
	draw_side(family, &drawn.remote, &drawn.remote_high);
	bool icmp = drawn.protocol == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (icmp || drawn.protocol == IPPROTO_TCP || drawn.protocol == IPPROTO_UDP) {
		draw_ports(&drawn.local_port_low, &drawn.local_port_high);
		draw_ports(&drawn.remote_port_low, &drawn.remote_port_high);
	}
	return drawn;
}

static bool side_covers(const struct td_prefix *prefix, const struct td_ip *high, const struct td_ip *address)
{
	if (prefix->ip.family == 0)
		return true;
	if (prefix->ip.family != address->family)
		return false;
	if (high->family)
		return memcmp(prefix->ip.bytes, address->bytes, 16) <= 0 &&
		       memcmp(address->bytes, high->bytes, 16) <= 0;
	for (unsigned bit = 0; bit < prefix->length; bit++)
		if ((prefix->ip.bytes[bit / 8] ^ address->bytes[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static bool range_has(uint16_t low, uint16_t high, bool shown, uint16_t number)
{
	return (low == 0 && high == UINT16_MAX) || (shown && low <= number && number <= high);
}

static bool ports_cover(const struct td_dp_policy *one, const struct packet *packet, bool outbound)
{
	bool icmp = packet->protocol == (packet->source.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	bool ports = packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
	bool shown = !packet->later && (icmp || ports);
	uint16_t local = packet->words[icmp || outbound ? 0 : 1], remote = packet->words[!icmp && outbound];
	bool local_good = range_has(one->local_port_low, one->local_port_high, shown, local);
	bool remote_good = range_has(one->remote_port_low, one->remote_port_high, shown, remote);

	if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6)
		return outbound ? local_good : remote_good;
	return local_good && remote_good;
}

static int define(
    const struct td_dp_policy *policies, unsigned count, const struct packet *packet, bool outbound)
{
	const struct td_ip *local = outbound ? &packet->source : &packet->destination;
	const struct td_ip *remote = outbound ? &packet->destination : &packet->source;

	for (unsigned i = 0; i < count; i++) {
		const struct td_dp_policy *one = &policies[i];

		if ((one->directions & (outbound ? TD_POLICY_OUT : TD_POLICY_IN)) &&
		    (one->protocol == 0 || one->protocol == packet->protocol) &&
		    side_covers(&one->local, &one->local_high, local) &&
		    side_covers(&one->remote, &one->remote_high, remote) &&
		    ports_cover(one, packet, outbound))
			return (int)i;
	}
	return -1;
}

Test(policy, agrees_with_the_definition)
{
	enum { POLICIES = 60, MEETS = POLICIES + 1 };
	struct td_dp_policy policies[POLICIES];
	unsigned met[MEETS] = {0}, different = 0;

	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < POLICIES; i++)
			policies[i] = draw_policy();
		set(policies, POLICIES);
		for (unsigned i = 0; i < 1000; i++) {
			uint8_t family = draw(2) ? 4 : 6;
			struct packet packet = {
			    .source = draw_ip(family),
			    .destination = draw_ip(family),
			    .protocol = protocols[draw(5)],
			    .later = draw(5) == 0,
			    .words = {(uint16_t)(1 + draw(16)), (uint16_t)(1 + draw(16))},
			};
			bool outbound = draw(2);
			int expected = define(policies, POLICIES, &packet, outbound);

			cr_assert_eq(match(outbound, &packet), expected, "round %u packet %u", round, i);
			met[expected + 1]++;
		}
		td_rcu_reclaim();
	}
	for (unsigned i = 0; i < MEETS; i++)
		different += met[i] > 0;
	cr_assert_gt(different, POLICIES / 2);
}

// A burst of both families keeps its order.
Test(policy, mixed_burst)
{
	struct td_dp_policy policies[] = {
	    policy(TD_POLICY_BYPASS, "10.0.0.0/8", NULL),
	    policy(TD_POLICY_BYPASS, "2001:db8::/32", NULL),
	};
	uint8_t bytes[TD_BURST][64];
	struct rte_mbuf mbufs[TD_BURST], *pointers[TD_BURST];
	const struct td_policy_rule *rules[TD_BURST];

	set(policies, 2);
	for (unsigned i = 0; i < TD_BURST; i++) {
		struct packet packet = i % 3 ? between(true, "10.0.0.1", "1.1.1.1", 6, 1, 2)
		                             : between(true, "2001:db8::1", "::", 6, 1, 2);

		mbufs[i] =
		    (struct rte_mbuf){.buf_addr = bytes[i], .data_len = packet_write(&packet, bytes[i])};
		pointers[i] = &mbufs[i];
	}
	td_policy_lookup(td_dp.policies, true, pointers, rules, TD_BURST);
	for (unsigned i = 0; i < TD_BURST; i++)
		cr_expect_eq(rules[i], &td_dp.policies->rules[i % 3 == 0], "%u", i);
}
