// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/steer.h"

#include "common/log.h"
#include "dataplane/worker.h"

#include <stdio.h>
#include <string.h>

#define ESP_UDP_PORT 4500

// ---- one rule ---------------------------------------------------------------------------------

void td_steer_rule_make(
    struct td_steer_rule *rule, uint8_t family, enum td_steer_kind kind, unsigned worker, uint16_t queue)
{
	rte_be32_t spi = rte_cpu_to_be_32((uint32_t)worker << TD_SPI_OWNER_SHIFT);
	rte_be32_t mask = rte_cpu_to_be_32(UINT32_MAX << TD_SPI_OWNER_SHIFT);
	struct rte_flow_item *item = rule->items;

	*rule = (struct td_steer_rule){
	    .attributes = {.ingress = 1},
	    .queue = {.index = queue},
	    .udp = {.hdr = {.dst_port = rte_cpu_to_be_16(ESP_UDP_PORT)}},
	    .udp_mask = {.hdr = {.dst_port = UINT16_MAX}},
	    .esp = {.hdr = {.spi = spi}},
	    .esp_mask = {.hdr = {.spi = mask}},
	    .ah = {.spi = spi},
	    .ah_mask = {.spi = mask},
	};
	item++->type = RTE_FLOW_ITEM_TYPE_ETH;
	item++->type = family == 4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6;
	if (kind == TD_STEER_ESP_IN_UDP)
		*item++ = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &rule->udp, .mask = &rule->udp_mask};
	if (kind == TD_STEER_AH)
		*item++ = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_AH, .spec = &rule->ah, .mask = &rule->ah_mask};
	else
		*item++ = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_ESP, .spec = &rule->esp, .mask = &rule->esp_mask};
	item->type = RTE_FLOW_ITEM_TYPE_END;
	rule->actions[0] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &rule->queue};
	rule->actions[1].type = RTE_FLOW_ACTION_TYPE_END;
}

static int rule_create(const struct td_port *port, const struct td_steer_rule *rule, struct rte_flow **flow,
    struct rte_flow_error *error)
{
	int result = rte_flow_validate(port->eth_id, &rule->attributes, rule->items, rule->actions, error);

	if (result)
		return result;
	*flow = rte_flow_create(port->eth_id, &rule->attributes, rule->items, rule->actions, error);
	return *flow ? 0 : -rte_errno;
}

// ---- the rules of a port ----------------------------------------------------------------------

// One rule per queue, all or none: half of them would only shift the load.
static int rules_create(unsigned index, uint8_t family, enum td_steer_kind kind, struct rte_flow_error *error)
{
	const struct td_port *port = &td_dp.ports[index];
	struct rte_flow *flows[TD_QUEUES_MAX];
	struct rte_flow_error ignored;

	for (uint16_t queue = 0; queue < port->rx_queues; queue++) {
		struct td_steer_rule rule;

		td_steer_rule_make(&rule, family, kind, td_queue_worker(index, queue), queue);
		int result = rule_create(port, &rule, &flows[queue], error);
		if (result == 0)
			continue;
		while (queue-- > 0)
			(void)rte_flow_destroy(port->eth_id, flows[queue], &ignored);
		return result;
	}
	return 0;
}

struct outcome {
	char taken[160], refused[160]; // lists of kinds, for people
	char reason[128]; // of the first refusal
};

static void outcome_add(char *list, size_t size, uint8_t family, enum td_steer_kind kind)
{
	static const char *const names[] = {
	    [TD_STEER_ESP] = "ESP", [TD_STEER_ESP_IN_UDP] = "ESP in UDP", [TD_STEER_AH] = "AH"};
	size_t used = strlen(list);

	snprintf(list + used, size - used, "%s%s over IPv%u", used ? ", " : "", names[kind], family);
}

static void outcome_tell(const struct td_port *port, const struct outcome *outcome)
{
	static const char consequence[] =
	    "such packets may reach another worker than the owner of their SA, "
	    "which then hands them over through a ring (handoff_out of worker.list)";

	if (!outcome->refused[0])
		td_log_info("port %s: the device steers packets to the worker that their SPI names: %s",
		    port->config.name, outcome->taken);
	else if (outcome->taken[0])
		td_log_info(
		    "port %s: the device steers packets to the worker that their SPI names: %s; it refused "
		    "this for %s (%s): %s",
		    port->config.name, outcome->taken, outcome->refused, outcome->reason, consequence);
	else
		td_log_info("port %s: the device (%s) takes no flow rules by SPI (%s): %s", port->config.name,
		    port->driver, outcome->reason, consequence);
}

static void kind_start(unsigned index, uint8_t family, enum td_steer_kind kind, struct outcome *outcome)
{
	struct rte_flow_error error = {0};
	int result = rules_create(index, family, kind, &error);

	if (result == 0) {
		td_dp.ports[index].steering = TD_STEERING_FLOW;
		outcome_add(outcome->taken, sizeof(outcome->taken), family, kind);
		return;
	}
	outcome_add(outcome->refused, sizeof(outcome->refused), family, kind);
	if (!outcome->reason[0])
		snprintf(outcome->reason, sizeof(outcome->reason), "%s",
		    error.message ? error.message : rte_strerror(-result));
}

void td_steer_start(unsigned index)
{
	const struct td_port *port = &td_dp.ports[index];
	struct outcome outcome = {0};

	// Only what comes from outside has an SPI, and one worker owns everything.
	if (td_dp.worker_count == 1 || port->config.role != TD_ROLE_OUTSIDE)
		return;
	if (port->rx_queues == 1) {
		outcome_tell(port, &(struct outcome){.refused = "all", .reason = "it has one receive queue"});
		return;
	}
	for (unsigned kind = 0; kind < TD_STEER_KINDS; kind++) {
		kind_start(index, 4, kind, &outcome);
		kind_start(index, 6, kind, &outcome);
	}
	outcome_tell(port, &outcome);
}

void td_steer_stop(unsigned index)
{
	const struct td_port *port = &td_dp.ports[index];
	struct rte_flow_error ignored;

	if (port->steering == TD_STEERING_FLOW)
		(void)rte_flow_flush(port->eth_id, &ignored);
}
