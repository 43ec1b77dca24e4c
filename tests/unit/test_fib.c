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

	return td_fib_lookup(td_ip_v4(&address));
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

Test(fib, ipv6_is_refused)
{
	struct td_dp_route made = route("2001:db8::/32", TD_ROUTE_CONNECTED, 0, NULL);
	struct td_ip host = ip("2001:db8::1");

	cr_assert_eq(td_dp_route_set(&made), -ENOTSUP);
	cr_assert_eq(td_dp_neighbour_set(0, &host, mac_a), -ENOTSUP);
	td_dp_neighbour_delete(0, &host);
	td_dp_route_delete(&made.prefix);
}
