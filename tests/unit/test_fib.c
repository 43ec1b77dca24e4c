// SPDX-License-Identifier: BSD-3-Clause
// Routes and neighbours: what a lookup gives while they come and go.

#include "dataplane/fib.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

static void start(void)
{
	test_eal_start();
	cr_assert_eq(td_fib_init(), 0);
}

TestSuite(fib, .init = start);

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b[6] = {2, 0, 0, 0, 0, 0xb};

static struct td_dp_route route(const char *prefix, enum td_route_kind kind, unsigned port, const char *via)
{
	struct td_dp_route made = {.kind = kind, .port = port};

	cr_assert_eq(td_prefix_parse(prefix, &made.prefix), 0);
	if (via)
		cr_assert_eq(td_ip_parse(via, &made.via), 0);
	return made;
}

static void set(const char *prefix, enum td_route_kind kind, unsigned port, const char *via)
{
	struct td_dp_route made = route(prefix, kind, port, via);

	cr_assert_eq(td_dp_route_set(&made), 0);
}

static void unset(const char *prefix)
{
	struct td_dp_route made = route(prefix, TD_ROUTE_LOCAL, 0, NULL);

	td_dp_route_delete(&made.prefix);
}

static struct td_ip ip(const char *text)
{
	struct td_ip parsed;

	cr_assert_eq(td_ip_parse(text, &parsed), 0);
	return parsed;
}

static const struct td_adjacency *find(const char *text)
{
	struct td_ip address = ip(text);

	return address.family == 4 ? td_fib_lookup(td_ip_v4(&address)) : td_fib_lookup6(address.bytes);
}

static void expect(const char *address, enum td_adjacency_kind kind, unsigned port)
{
	const struct td_adjacency *adjacency = find(address);

	cr_assert_not_null(adjacency, "%s", address);
	cr_expect_eq(adjacency->kind, kind, "%s is %d", address, adjacency->kind);
	cr_expect_eq(adjacency->port, port, "%s", address);
}

Test(fib, longest_prefix_and_default)
{
	cr_assert_null(find("10.0.0.1"));
	set("0.0.0.0/0", TD_ROUTE_VIA, 1, "192.0.2.254");
	set("10.0.0.0/8", TD_ROUTE_CONNECTED, 0, NULL);
	set("10.1.0.0/16", TD_ROUTE_BLACKHOLE, 0, NULL);
	set("10.1.2.3/32", TD_ROUTE_LOCAL, 2, NULL);
	expect("10.1.2.3", TD_ADJ_LOCAL, 2);
	expect("10.1.2.4", TD_ADJ_BLACKHOLE, UINT8_MAX);
	expect("10.2.2.4", TD_ADJ_LINK, 0);
	expect("11.2.2.4", TD_ADJ_UNRESOLVED, 1);
	cr_assert_eq(find("11.2.2.4")->next_hop, 0xc00002fe);
	unset("10.1.2.3");
	expect("10.1.2.3", TD_ADJ_BLACKHOLE, UINT8_MAX);
	unset("10.1.0.0/16");
	unset("0.0.0.0/0");
	expect("10.1.2.3", TD_ADJ_LINK, 0);
	cr_assert_null(find("11.2.2.4"));
}

Test(fib, neighbour_resolves_link_and_gateway)
{
	struct td_ip gateway = ip("192.0.2.254");

	set("192.0.2.0/24", TD_ROUTE_CONNECTED, 1, NULL);
	set("198.51.100.0/24", TD_ROUTE_VIA, 1, "192.0.2.254");
	expect("192.0.2.254", TD_ADJ_LINK, 1);
	expect("198.51.100.1", TD_ADJ_UNRESOLVED, 1);
	cr_assert_eq(td_dp_neighbour_set(1, &gateway, mac_a), 0);
	expect("192.0.2.254", TD_ADJ_RESOLVED, 1);
	expect("198.51.100.1", TD_ADJ_RESOLVED, 1);
	expect("192.0.2.1", TD_ADJ_LINK, 1);
	cr_assert_arr_eq(&find("198.51.100.1")->ether.dst_addr, mac_a, 6);
	cr_assert_eq(td_dp_neighbour_set(1, &gateway, mac_b), 0);
	cr_assert_arr_eq(&find("198.51.100.1")->ether.dst_addr, mac_b, 6);
	td_dp_neighbour_delete(1, &gateway);
	expect("192.0.2.254", TD_ADJ_LINK, 1);
	expect("198.51.100.1", TD_ADJ_UNRESOLVED, 1);
	td_dp_neighbour_delete(1, &gateway); // again: nothing happens
}

// A host route of the kernel counts more than a neighbour of the same address, in whatever order they come.
Test(fib, route_hides_neighbour)
{
	struct td_ip host = ip("10.0.0.5");

	set("10.0.0.0/24", TD_ROUTE_CONNECTED, 0, NULL);
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0);
	set("10.0.0.5/32", TD_ROUTE_LOCAL, 3, NULL);
	expect("10.0.0.5", TD_ADJ_LOCAL, 3);
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_b), 0);
	expect("10.0.0.5", TD_ADJ_LOCAL, 3);
	unset("10.0.0.5/32");
	expect("10.0.0.5", TD_ADJ_RESOLVED, 0);
	td_dp_neighbour_delete(0, &host);
	expect("10.0.0.5", TD_ADJ_LINK, 0);
}

// The kernel takes a neighbour from any ARP packet that asks for one of our addresses. Such a one once pulled
// an inside host's packets to the outside.
Test(fib, neighbour_counts_only_on_the_link_of_its_port)
{
	struct td_ip host = ip("10.0.0.5");

	cr_assert_eq(td_dp_neighbour_set(1, &host, mac_b), 0);
	cr_assert_null(find("10.0.0.5"), "no route says that it is on a link");
	set("10.0.0.0/24", TD_ROUTE_CONNECTED, 0, NULL);
	expect("10.0.0.5", TD_ADJ_LINK, 0);
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0);
	expect("10.0.0.5", TD_ADJ_RESOLVED, 0);
	cr_assert_eq(td_dp_neighbour_set(1, &host, mac_b), 0);
	expect("10.0.0.5", TD_ADJ_RESOLVED, 0);
	// A longer route takes the address away from the link, and gives it back.
	set("10.0.0.0/28", TD_ROUTE_BLACKHOLE, 0, NULL);
	expect("10.0.0.5", TD_ADJ_BLACKHOLE, UINT8_MAX);
	unset("10.0.0.0/28");
	expect("10.0.0.5", TD_ADJ_RESOLVED, 0);
	// The link moves to the other port.
	set("10.0.0.0/24", TD_ROUTE_CONNECTED, 1, NULL);
	expect("10.0.0.5", TD_ADJ_RESOLVED, 1);
	unset("10.0.0.0/24");
	cr_assert_null(find("10.0.0.5"));
}

Test(fib, every_change_advances_the_generation)
{
	struct td_ip host = ip("10.0.0.5");
	uint32_t generation = td_fib.generation;

	set("10.0.0.0/24", TD_ROUTE_CONNECTED, 0, NULL);
	cr_expect_gt(td_fib.generation, generation);
	generation = td_fib.generation;
	td_dp_neighbour_set(0, &host, mac_a);
	cr_expect_gt(td_fib.generation, generation);
	generation = td_fib.generation;
	td_dp_neighbour_set(0, &host, mac_b);
	cr_expect_gt(td_fib.generation, generation);
}

// Indexes are given back: far more next hops over time than there are at once.
Test(fib, churn)
{
	set("10.0.0.0/8", TD_ROUTE_CONNECTED, 0, NULL);
	for (unsigned i = 0; i < 3 * TD_ADJACENCIES_MAX; i++) {
		struct td_ip host = td_ip_from_v4(0x0a000000 + i);

		cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0, "neighbour %u", i);
		td_dp_neighbour_delete(0, &host);
		(void)td_rcu_reclaim();
	}
}

Test(fib, too_many_next_hops_are_refused_cleanly)
{
	unsigned made = 0;

	set("10.0.0.0/8", TD_ROUTE_CONNECTED, 0, NULL);
	for (unsigned i = 0; i < TD_ADJACENCIES_MAX + 10; i++) {
		struct td_ip host = td_ip_from_v4(0x0a000000 + i);

		made += td_dp_neighbour_set(0, &host, mac_a) == 0;
	}
	cr_assert_lt(made, TD_ADJACENCIES_MAX);
	cr_assert_gt(made, 1000);
	expect("10.0.0.1", TD_ADJ_RESOLVED, 0);
	struct td_ip host = ip("10.0.0.1");
	td_dp_neighbour_delete(0, &host);
	while (td_rcu_reclaim())
		;
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_b), 0, "room again");
}

static void reclaim(void)
{
	while (td_rcu_reclaim())
		;
}

Test(fib, ipv6_longest_prefix_and_default)
{
	static const uint8_t gateway[16] = {0x20, 1, 0xd, 0xb8, [15] = 0xfe};

	cr_assert_null(find("2001:db8::1"));
	set("::/0", TD_ROUTE_VIA, 1, "2001:db8::fe");
	set("2001:db8:1::/48", TD_ROUTE_CONNECTED, 0, NULL);
	set("2001:db8:1:2::/63", TD_ROUTE_BLACKHOLE, 0, NULL);
	set("2001:db8:1:2::7/128", TD_ROUTE_LOCAL, 2, NULL);
	reclaim();
	expect("2001:db8:1:2::7", TD_ADJ_LOCAL, 2);
	expect("2001:db8:1:2::8", TD_ADJ_BLACKHOLE, UINT8_MAX);
	expect("2001:db8:1:3::8", TD_ADJ_BLACKHOLE, UINT8_MAX);
	expect("2001:db8:1:4::8", TD_ADJ_LINK, 0);
	expect("2001:db9::", TD_ADJ_UNRESOLVED, 1);
	cr_expect_eq(find("2001:db9::")->family, 6);
	cr_expect_arr_eq(find("2001:db9::")->next_hop6, gateway, 16);
	unset("2001:db8:1:2::7/128");
	unset("2001:db8:1:2::/63");
	unset("::/0");
	reclaim();
	expect("2001:db8:1:2::7", TD_ADJ_LINK, 0);
	cr_assert_null(find("2001:db9::"));
}

// One table of adjacencies, but the families do not see each other.
Test(fib, families_are_apart)
{
	struct td_ip host4 = ip("10.0.0.5"), host6 = ip("a00:5::");

	set("0.0.0.0/0", TD_ROUTE_CONNECTED, 0, NULL);
	reclaim();
	cr_assert_null(find("a00:5::"));
	set("::/0", TD_ROUTE_CONNECTED, 0, NULL);
	cr_assert_eq(td_dp_neighbour_set(0, &host4, mac_a), 0);
	cr_assert_eq(td_dp_neighbour_set(0, &host6, mac_b), 0);
	reclaim();
	expect("10.0.0.5", TD_ADJ_RESOLVED, 0);
	expect("a00:5::", TD_ADJ_RESOLVED, 0);
	cr_expect_eq(find("10.0.0.5")->ether.ether_type, rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4));
	cr_expect_eq(find("a00:5::")->ether.ether_type, rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6));
	td_dp_neighbour_delete(0, &host4);
	reclaim();
	expect("10.0.0.5", TD_ADJ_LINK, 0);
	expect("a00:5::", TD_ADJ_RESOLVED, 0);
	cr_expect_eq(find("10.0.0.5")->family, 4);
	unset("0.0.0.0/0");
	reclaim();
	expect("a00:5::", TD_ADJ_RESOLVED, 0);
}

Test(fib, ipv6_neighbour_resolves_link_and_gateway)
{
	struct td_ip gateway = ip("2001:db8::fe"), on_link = ip("fe80::1");

	set("2001:db8::/64", TD_ROUTE_CONNECTED, 1, NULL);
	set("2001:db8:5::/48", TD_ROUTE_VIA, 1, "2001:db8::fe");
	set("2001:db8:6::/48", TD_ROUTE_VIA, 1, "fe80::1");
	set("2001:db8:7::/48", TD_ROUTE_VIA, 0, "fe80::1");
	cr_assert_eq(td_dp_neighbour_set(1, &gateway, mac_a), 0);
	cr_assert_eq(td_dp_neighbour_set(1, &on_link, mac_b), 0);
	reclaim();
	expect("2001:db8::fe", TD_ADJ_RESOLVED, 1);
	expect("2001:db8::1", TD_ADJ_LINK, 1);
	expect("2001:db8:5::1", TD_ADJ_RESOLVED, 1);
	cr_assert_arr_eq(&find("2001:db8:5::1")->ether.dst_addr, mac_a, 6);
	expect("2001:db8:6::1", TD_ADJ_RESOLVED, 1);
	cr_assert_arr_eq(&find("2001:db8:6::1")->ether.dst_addr, mac_b, 6);
	expect("2001:db8:7::1", TD_ADJ_UNRESOLVED, 0);
	td_dp_neighbour_delete(1, &gateway);
	td_dp_neighbour_delete(1, &on_link);
	reclaim();
	expect("2001:db8::fe", TD_ADJ_LINK, 1);
	expect("2001:db8:5::1", TD_ADJ_UNRESOLVED, 1);
	expect("2001:db8:6::1", TD_ADJ_UNRESOLVED, 1);
}

Test(fib, ipv6_neighbour_counts_only_on_the_link_of_its_port)
{
	struct td_ip host = ip("2001:db8::5");

	cr_assert_eq(td_dp_neighbour_set(1, &host, mac_b), 0);
	reclaim();
	cr_assert_null(find("2001:db8::5"), "no route says that it is on a link");
	set("2001:db8::/64", TD_ROUTE_CONNECTED, 0, NULL);
	reclaim();
	expect("2001:db8::5", TD_ADJ_LINK, 0);
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0);
	reclaim();
	expect("2001:db8::5", TD_ADJ_RESOLVED, 0);
	set("2001:db8::/126", TD_ROUTE_BLACKHOLE, 0, NULL);
	reclaim();
	expect("2001:db8::5", TD_ADJ_RESOLVED, 0);
	set("2001:db8::/125", TD_ROUTE_BLACKHOLE, 0, NULL);
	reclaim();
	expect("2001:db8::5", TD_ADJ_BLACKHOLE, UINT8_MAX);
	unset("2001:db8::/125");
	set("2001:db8::/64", TD_ROUTE_CONNECTED, 1, NULL);
	reclaim();
	expect("2001:db8::5", TD_ADJ_RESOLVED, 1);
	set("2001:db8::5/128", TD_ROUTE_LOCAL, 2, NULL);
	reclaim();
	expect("2001:db8::5", TD_ADJ_LOCAL, 2);
}

Test(fib, link_scope_is_local_to_the_port)
{
	static const struct {
		const char *address;
		bool local;
	} rows[] = {{"fe80::1", true}, {"febf:ffff::1", true}, {"fec0::1", false}, {"fe7f::1", false},
	    {"ff02::1", true}, {"ff0e::1", true}, {"ff00::", true}, {"fd00::1", false}};
	struct td_ip host = ip("fe80::5");

	// The kernel has these on every port; one port's must not count for another.
	set("fe80::/64", TD_ROUTE_CONNECTED, 0, NULL);
	set("ff00::/8", TD_ROUTE_BLACKHOLE, 0, NULL);
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0);
	unset("fe80::/64");
	reclaim();
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct td_ip address = ip(rows[i].address);
		const struct td_adjacency *adjacency = td_fib_lookup6_from(3, address.bytes);

		cr_expect_eq(adjacency != NULL, rows[i].local, "%s", rows[i].address);
		if (!adjacency)
			continue;
		cr_expect_eq(adjacency->kind, TD_ADJ_LOCAL, "%s", rows[i].address);
		cr_expect_eq(adjacency->port, 3, "%s", rows[i].address);
	}
}

static void expect_own(unsigned port, uint8_t family, const char *address)
{
	char text[TD_IP_TEXT_MAX];
	struct td_ip own;
	bool found = td_fib_port_address(port, family, &own);

	cr_expect_str_eq(found ? td_ip_format(&own, text) : "", address);
}

// Broadcast and anycast addresses are local to the kernel, but nothing to send from.
Test(fib, own_address_of_a_port)
{
	expect_own(1, 4, "");
	set("192.0.2.0/32", TD_ROUTE_LOCAL, 1, NULL);
	set("192.0.2.255/32", TD_ROUTE_LOCAL, 1, NULL);
	set("192.0.2.7/32", TD_ROUTE_LOCAL, 1, NULL);
	set("192.0.2.0/24", TD_ROUTE_CONNECTED, 1, NULL);
	expect_own(1, 4, "192.0.2.7");
	expect_own(0, 4, "");
	expect_own(1, 6, "");
	set("fe80::1/128", TD_ROUTE_LOCAL, 1, NULL);
	set("2001:db8::/64", TD_ROUTE_CONNECTED, 1, NULL);
	set("2001:db8::/128", TD_ROUTE_LOCAL, 1, NULL);
	expect_own(1, 6, "");
	set("2001:db8::7/128", TD_ROUTE_LOCAL, 1, NULL);
	expect_own(1, 6, "2001:db8::7");
	set("192.0.2.7/32", TD_ROUTE_LOCAL, 2, NULL);
	expect_own(1, 4, "");
	expect_own(2, 4, "192.0.2.7");
	unset("192.0.2.7/32");
	unset("2001:db8::7/128");
	expect_own(2, 4, "");
	expect_own(1, 6, "");
	set("203.0.113.0/31", TD_ROUTE_CONNECTED, 0, NULL);
	set("203.0.113.0/32", TD_ROUTE_LOCAL, 0, NULL);
	expect_own(0, 4, "203.0.113.0");
}

// Indexes wait for both tables to forget them, and come back all the same.
Test(fib, ipv6_churn)
{
	struct td_ip host = ip("2001:db8::");

	set("2001:db8::/64", TD_ROUTE_CONNECTED, 0, NULL);
	for (unsigned i = 0; i < 2 * TD_ADJACENCIES_MAX; i++) {
		host.bytes[13] = (uint8_t)(i >> 16);
		host.bytes[14] = (uint8_t)(i >> 8);
		host.bytes[15] = (uint8_t)i;
		cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0, "neighbour %u", i);
		td_dp_neighbour_delete(0, &host);
		(void)td_rcu_reclaim();
	}
	reclaim();
	expect("2001:db8::1", TD_ADJ_LINK, 0);
}

Test(fib, next_hop_of_the_other_family_is_refused)
{
	struct td_dp_route made = route("10.0.0.0/8", TD_ROUTE_VIA, 0, "2001:db8::1");

	cr_expect_eq(td_dp_route_set(&made), -ENOTSUP);
	made = route("2001:db8::/32", TD_ROUTE_VIA, 0, "10.0.0.1");
	cr_expect_eq(td_dp_route_set(&made), -ENOTSUP);
}

Test(fib, init_and_fini_again)
{
	struct td_ip host = ip("2001:db8::5");

	for (unsigned i = 0; i < 3; i++) {
		set("2001:db8::/64", TD_ROUTE_CONNECTED, 0, NULL);
		set("10.0.0.0/8", TD_ROUTE_CONNECTED, 0, NULL);
		cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), 0);
		unset("2001:db8::/64");
		td_rcu_drain();
		td_fib_fini();
		cr_assert_eq(td_fib_init(), 0);
		cr_expect_null(find("2001:db8::5"));
	}
}
