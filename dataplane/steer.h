// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Steering by the NIC: flow rules that bring packets whose SPI names a worker (td_dp_spi_make) to a receive
// queue of that worker, so that they need no hand-off. Control thread.

#include <rte_flow.h>
#include <stdint.h>

enum td_steer_kind { TD_STEER_ESP, TD_STEER_ESP_IN_UDP, TD_STEER_AH, TD_STEER_KINDS };

// One rule; the lists point into the structure, which must not be moved.
struct td_steer_rule {
	struct rte_flow_attr attributes;
	struct rte_flow_item items[5]; // Ethernet, IP, perhaps UDP, ESP or AH, end
	struct rte_flow_action actions[2];
	struct rte_flow_action_queue queue;
	struct rte_flow_item_udp udp, udp_mask;
	struct rte_flow_item_esp esp, esp_mask;
	struct rte_flow_item_ah ah, ah_mask;
};

// The rule that sends packets of one kind over IP of a family, whose SPI names the worker, to the queue.
void td_steer_rule_make(
    struct td_steer_rule *rule, uint8_t family, enum td_steer_kind kind, unsigned worker, uint16_t queue);

// Gives a started outside port the rules that its device takes and writes to the log what it does not take.
void td_steer_start(unsigned port);
// Before the port is stopped.
void td_steer_stop(unsigned port);
