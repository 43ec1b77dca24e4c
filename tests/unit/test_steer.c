// SPDX-License-Identifier: BSD-3-Clause
// Steering by SPI: the rules that are built, what happens when a device takes all, some or none of them, and
// what real devices without flow rules for ESP do. The fake below stands between port and device.
#include "dataplane/steer.h"

#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <sched.h>
#include <string.h>

// ---- a device that takes what it is told to ---------------------------------------------------

#define RULES_MAX 64

static struct {
	bool on; // otherwise calls go to the device itself
	bool rss_esp;
	unsigned validated, live, destroyed, flushed;
	enum rte_flow_item_type refused; // rules with this item are refused
	unsigned create_fails_at; // the n-th creation fails, from 1 on; 0: none
	unsigned creates;
	struct {
		uint32_t spi, mask;
		uint16_t queue;
		unsigned items;
	} rules[RULES_MAX];
} fake;

int rte_flow_validate(uint16_t port, const struct rte_flow_attr *attributes,
    const struct rte_flow_item *items, const struct rte_flow_action *actions, struct rte_flow_error *error)
{
	if (!fake.on) {
		int (*device)(uint16_t, const struct rte_flow_attr *, const struct rte_flow_item *,
		    const struct rte_flow_action *, struct rte_flow_error *) = dlsym(RTLD_NEXT, __func__);

		return device(port, attributes, items, actions, error);
	}
	fake.validated++;
	for (const struct rte_flow_item *item = items; item->type != RTE_FLOW_ITEM_TYPE_END; item++)
		if (item->type == fake.refused)
			return rte_flow_error_set(
			    error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM, item, "not this item");
	return 0;
}

int rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info)
{
	int (*device)(uint16_t, struct rte_eth_dev_info *) = dlsym(RTLD_NEXT, __func__);
	int result = device(port, info);

	if (fake.rss_esp)
		info->flow_type_rss_offloads |= RTE_ETH_RSS_ESP;
	return result;
}

struct rte_flow *rte_flow_create(uint16_t port, const struct rte_flow_attr *attributes,
    const struct rte_flow_item *items, const struct rte_flow_action *actions, struct rte_flow_error *error)
{
	const struct rte_flow_action_queue *queue = actions->conf;

	(void)port, (void)attributes;
	if (++fake.creates == fake.create_fails_at) {
		rte_flow_error_set(error, ENOSPC, RTE_FLOW_ERROR_TYPE_HANDLE, NULL, "table full");
		return NULL;
	}
	for (; items->type != RTE_FLOW_ITEM_TYPE_END; items++) {
		fake.rules[fake.live].items |= 1u << items->type % 32;
		if (items->type != RTE_FLOW_ITEM_TYPE_ESP)
			continue;
		fake.rules[fake.live].spi =
		    rte_be_to_cpu_32(((const struct rte_flow_item_esp *)items->spec)->hdr.spi);
		fake.rules[fake.live].mask =
		    rte_be_to_cpu_32(((const struct rte_flow_item_esp *)items->mask)->hdr.spi);
	}
	fake.rules[fake.live].queue = queue->index;
	return (struct rte_flow *)&fake.rules[fake.live++];
}

int rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error)
{
	(void)port, (void)flow, (void)error;
	fake.live--;
	fake.destroyed++;
	return 0;
}

int rte_flow_flush(uint16_t port, struct rte_flow_error *error)
{
	(void)port, (void)error;
	fake.live = 0;
	fake.flushed++;
	return 0;
}

static void fake_start(unsigned port, unsigned workers, uint16_t queues)
{
	memset(&fake, 0, sizeof(fake));
	fake.on = true;
	td_dp.worker_count = workers;
	td_dp.ports[port] = (struct td_port){
	    .config = {.name = "outside", .role = TD_ROLE_OUTSIDE},
	    .rx_queues = queues,
	    .steering = TD_STEERING_RSS,
	    .driver = "fake",
	};
}

// ---- SPIs -------------------------------------------------------------------------------------

Test(steer, an_spi_names_its_worker)
{
	static const struct {
		unsigned worker;
		uint32_t random, spi;
	} rows[] = {
	    {0, 0, 256},
	    {0, 255, 511},
	    {0, 256, 256},
	    {0, 0xffffffff, 0x03ffffff},
	    {1, 0, 0x04000100},
	    {1, 0xfc001234, 0x04001234},
	    {63, 0xffffffff, 0xffffffff},
	};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		cr_expect_eq(td_dp_spi_make(rows[i].worker, rows[i].random), rows[i].spi, "row %zu", i);
		cr_expect_eq(td_dp_spi_owner(rows[i].spi), rows[i].worker, "row %zu", i);
	}
}

// ---- rules ------------------------------------------------------------------------------------

Test(steer, rules_match_the_bits_of_the_worker)
{
	static const struct {
		uint8_t family;
		enum td_steer_kind kind;
		enum rte_flow_item_type items[5];
	} rows[] = {
	    {4, TD_STEER_ESP, {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_ESP}},
	    {6, TD_STEER_ESP, {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_ESP}},
	    {4, TD_STEER_ESP_IN_UDP,
	        {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP,
	            RTE_FLOW_ITEM_TYPE_ESP}},
	    {6, TD_STEER_ESP_IN_UDP,
	        {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_UDP,
	            RTE_FLOW_ITEM_TYPE_ESP}},
	    {4, TD_STEER_AH, {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_AH}},
	    {6, TD_STEER_AH, {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_AH}},
	};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		struct td_steer_rule rule;
		size_t item = 0;

		td_steer_rule_make(&rule, rows[i].family, rows[i].kind, 5, 3);
		for (; rows[i].items[item]; item++) {
			const struct rte_flow_item *made = &rule.items[item];

			cr_expect_eq(made->type, rows[i].items[item], "row %zu item %zu", i, item);
			cr_expect_null(made->last, "row %zu", i);
			if (made->type == RTE_FLOW_ITEM_TYPE_UDP) {
				cr_expect_eq(((const struct rte_flow_item_udp *)made->spec)->hdr.dst_port,
				    rte_cpu_to_be_16(4500));
				cr_expect_eq(
				    ((const struct rte_flow_item_udp *)made->mask)->hdr.dst_port, UINT16_MAX);
			} else if (made->type == RTE_FLOW_ITEM_TYPE_ESP) {
				cr_expect_eq(((const struct rte_flow_item_esp *)made->spec)->hdr.spi,
				    rte_cpu_to_be_32(0x14000000));
				cr_expect_eq(((const struct rte_flow_item_esp *)made->mask)->hdr.spi,
				    rte_cpu_to_be_32(0xfc000000));
			} else if (made->type == RTE_FLOW_ITEM_TYPE_AH) {
				cr_expect_eq(((const struct rte_flow_item_ah *)made->spec)->spi,
				    rte_cpu_to_be_32(0x14000000));
				cr_expect_eq(((const struct rte_flow_item_ah *)made->mask)->spi,
				    rte_cpu_to_be_32(0xfc000000));
			} else {
				cr_expect_null(made->spec, "row %zu: any header", i);
			}
		}
		cr_expect_eq(rule.items[item].type, RTE_FLOW_ITEM_TYPE_END, "row %zu", i);
		cr_expect(rule.attributes.ingress && !rule.attributes.egress && !rule.attributes.transfer);
		cr_expect_eq(rule.actions[0].type, RTE_FLOW_ACTION_TYPE_QUEUE);
		cr_expect_eq(((const struct rte_flow_action_queue *)rule.actions[0].conf)->index, 3);
		cr_expect_eq(rule.actions[1].type, RTE_FLOW_ACTION_TYPE_END);
	}
}

Test(steer, each_queue_gets_the_spis_of_its_worker)
{
	// Port 1: queue q belongs to worker (1 + q) mod 3.
	fake_start(1, 3, 3);
	td_steer_start(1);
	cr_expect_eq(td_dp.ports[1].steering, TD_STEERING_FLOW);
	cr_assert_eq(fake.live, 3 * 6);
	for (unsigned i = 0; i < fake.live; i++) {
		if (!fake.rules[i].mask)
			continue; // AH
		cr_expect_eq(fake.rules[i].mask, 0xfc000000);
		cr_expect_eq(td_dp_spi_owner(fake.rules[i].spi), td_queue_worker(1, fake.rules[i].queue),
		    "rule %u", i);
	}
	td_steer_stop(1);
	cr_expect_eq(fake.live, 0);
	cr_expect_eq(fake.flushed, 1);
}

Test(steer, fewer_queues_than_workers)
{
	fake_start(0, 4, 2);
	td_steer_start(0);
	cr_expect_eq(fake.live, 2 * 6, "workers 2 and 3 poll no queue and have no rule");
	td_steer_stop(0);
}

Test(steer, a_kind_that_is_refused_leaves_the_others)
{
	fake_start(0, 2, 2);
	fake.refused = RTE_FLOW_ITEM_TYPE_UDP;
	td_steer_start(0);
	cr_expect_eq(td_dp.ports[0].steering, TD_STEERING_FLOW);
	cr_expect_eq(fake.live, 2 * 4);
	cr_expect_eq(fake.destroyed, 0);
}

Test(steer, a_kind_is_steered_wholly_or_not_at_all)
{
	fake_start(0, 3, 3);
	fake.create_fails_at = 3;
	td_steer_start(0);
	cr_expect_eq(fake.destroyed, 2, "the rules of the first two queues are taken back");
	cr_expect_eq(fake.live, 3 * 5);
}

Test(steer, what_is_refused_changes_nothing)
{
	static const struct {
		const char *name;
		unsigned workers;
		uint16_t queues;
		enum td_port_role role;
		enum rte_flow_item_type refused;
		bool asked;
	} rows[] = {
	    {"no rules at all", 2, 2, TD_ROLE_OUTSIDE, RTE_FLOW_ITEM_TYPE_ETH, true},
	    {"one queue", 2, 1, TD_ROLE_OUTSIDE, RTE_FLOW_ITEM_TYPE_VOID, false},
	    {"one worker", 1, 1, TD_ROLE_OUTSIDE, RTE_FLOW_ITEM_TYPE_VOID, false},
	    {"inside", 2, 2, TD_ROLE_INSIDE, RTE_FLOW_ITEM_TYPE_VOID, false},
	};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		fake_start(0, rows[i].workers, rows[i].queues);
		td_dp.ports[0].config.role = rows[i].role;
		fake.refused = rows[i].refused;
		td_steer_start(0);
		cr_expect_eq(fake.live, 0, "%s", rows[i].name);
		cr_expect_eq(fake.validated > 0, rows[i].asked, "%s", rows[i].name);
		cr_expect_eq(td_dp.ports[0].steering, TD_STEERING_RSS, "%s", rows[i].name);
		td_steer_stop(0);
		cr_expect_eq(fake.flushed, 0, "%s: nothing of ours is there", rows[i].name);
	}
}

// ---- devices ----------------------------------------------------------------------------------

Test(steer, devices_without_rules_for_esp)
{
	static const struct {
		const char *device;
		unsigned rx_queues;
		bool rss_esp; // is made to say that it hashes SPIs
		enum td_steering steering;
	} rows[] = {
	    {"net_null0", 2, false, TD_STEERING_RSS}, {"net_null1", 1, false, TD_STEERING_NONE},
	    {"net_null2", 2, true, TD_STEERING_RSS_SPI},
	    {"net_tap0,iface=steer0", 2, false, TD_STEERING_RSS}, // has rte_flow, without ESP
	};

	// The TAP of net_tap stays out of sight.
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	test_eal_start();
	td_dp.worker_count = 2;
	td_dp.pool = rte_pktmbuf_pool_create("packets", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	cr_assert_not_null(td_dp.pool);
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct td_dp_port_config config = {
		    .name = "outside",
		    .role = TD_ROLE_OUTSIDE,
		    .mtu = 1500,
		    .rx_queues = rows[i].rx_queues,
		    .rx_descriptors = 64,
		    .tx_descriptors = 64,
		};
		struct td_error error = {0};

		fake.rss_esp = rows[i].rss_esp;
		snprintf(config.device, sizeof(config.device), "%s", rows[i].device);
		cr_assert_eq(td_port_open(0, &config, &error), 0, "%s: %s", config.device, error.reason);
		cr_assert_eq(td_port_start(0, &error), 0, "%s: %s", config.device, error.reason);
		cr_expect_eq(td_dp.ports[0].rx_queues, rows[i].rx_queues, "%s", config.device);
		cr_expect_eq(td_dp.ports[0].steering, rows[i].steering, "%s: %d", config.device,
		    td_dp.ports[0].steering);
		td_port_close(0);
	}
}
