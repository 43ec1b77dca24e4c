// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Policies and packets, written shortly, for unit tests.

#include "dataplane/policy.h"
#include "dataplane/policy_key.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <rte_malloc.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// More memory than other tests: tunnel routes of both families, and room for
// large sets.
static inline void start(void)
{
	struct td_dp_config config = {.program = "test", .memory_mb = 1024, .main_core = -1};
	struct td_error error;

	snprintf(config.file_prefix, sizeof(config.file_prefix), "unit%d", (int)getpid());
	cr_assert_eq(td_eal_start(&config, &error), 0, "%s", error.reason);
	cr_assert_eq(td_rcu_init(1), 0);
}

static inline void stop(void)
{
	td_policy_fini();
	td_rcu_drain();
}

static struct td_dp_tunnel tunnels[3];

// ---- policies and packets, written shortly
// --------------------------------------------------------

static inline struct td_ip ip(const char *text)
{
	struct td_ip parsed;

	cr_assert_eq(td_ip_parse(text, &parsed), 0, "%s", text);
	return parsed;
}

// NULL for any, "prefix", or "first-last".
static inline void side(const char *text, struct td_prefix *prefix, struct td_ip *high)
{
	char first[TD_PREFIX_TEXT_MAX];
	const char *dash = text ? strchr(text, '-') : NULL;

	if (!text)
		return;
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(text, "-"), text);
	cr_assert_eq(td_prefix_parse(first, prefix), 0, "%s", text);
	if (dash)
		*high = ip(dash + 1);
}

static inline struct td_dp_policy policy(enum td_policy_action action, const char *local, const char *remote)
{
	struct td_dp_policy made = {
	    .directions = TD_POLICY_BOTH,
	    .action = action,
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX,
	    .tunnel = action == TD_POLICY_PROTECT ? &tunnels[0] : NULL,
	};

	side(local, &made.local, &made.local_high);
	side(remote, &made.remote, &made.remote_high);
	return made;
}

static inline void set(const struct td_dp_policy *policies, unsigned count)
{
	struct td_error error;

	cr_assert_eq(td_dp_policy_set(policies, count, &error), 0, "%s", error.reason);
}

struct packet {
	struct td_ip source, destination;
	uint8_t protocol;
	bool later; // a fragment behind the first
	uint16_t words[2]; // the ports; of ICMP the type << 8 | code, and the checksum
};

static inline void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

// Writes the packet's headers and 4 bytes behind them; returns its length.
static inline uint16_t packet_write(const struct packet *packet, uint8_t bytes[64])
{
	uint16_t header = packet->source.family == 4 ? 20 : packet->later ? 48 : 40;

	memset(bytes, 0, 64);
	if (packet->source.family == 4) {
		bytes[0] = 0x45;
		put16(bytes + 6, packet->later ? 5 : 0);
		bytes[9] = packet->protocol;
		memcpy(bytes + 12, packet->source.bytes, 4);
		memcpy(bytes + 16, packet->destination.bytes, 4);
	} else {
		bytes[0] = 0x60;
		bytes[6] = packet->later ? IPPROTO_FRAGMENT : packet->protocol;
		memcpy(bytes + 8, packet->source.bytes, 16);
		memcpy(bytes + 24, packet->destination.bytes, 16);
		bytes[40] = packet->protocol;
		put16(bytes + 42, 0x40);
	}
	put16(bytes + header, packet->words[0]);
	put16(bytes + header + 2, packet->words[1]);
	return header + 4;
}

// Every packet is also looked up as a worker does, which learns its flow and then remembers it: it has to
// find the same, whatever has changed since it met the flow last.
static inline const struct td_policy_rule *rule_of(bool outbound, const struct packet *packet)
{
	static struct td_worker *worker;
	uint8_t bytes[64];
	struct rte_mbuf mbuf = {.buf_addr = bytes, .data_len = packet_write(packet, bytes)};
	struct rte_mbuf *mbufs[] = {&mbuf};
	const struct td_policy_rule *rule;

	if (!worker)
		worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);
	cr_assert_not_null(worker);
	td_policy_lookup(td_dp.policies, outbound, mbufs, &rule, 1);
	for (unsigned i = 0; i < 2; i++) {
		const struct td_policy_rule *found;

		td_policy_find(worker, outbound, mbufs, &found, 1);
		cr_expect_eq(found, rule, "%s", i ? "remembered" : "learnt");
	}
	return rule;
}

// Index of the policy that a packet meets, -1: none.
static inline int match(bool outbound, const struct packet *packet)
{
	const struct td_policy_rule *rule = rule_of(outbound, packet);

	return rule ? (int)(rule - td_dp.policies->rules) : -1;
}

// A packet between a local and a remote address; ICMP has one number, whichever
// way it goes.
static inline struct packet between(bool outbound, const char *local, const char *remote, uint8_t protocol,
    uint16_t local_word, uint16_t remote_word)
{
	bool swap = !outbound && protocol != IPPROTO_ICMP && protocol != IPPROTO_ICMPV6;

	return (struct packet){
	    .source = ip(outbound ? local : remote),
	    .destination = ip(outbound ? remote : local),
	    .protocol = protocol,
	    .words = {swap ? remote_word : local_word, swap ? local_word : remote_word},
	};
}

static inline int match_between(bool outbound, const char *local, const char *remote, uint8_t protocol,
    uint16_t local_word, uint16_t remote_word)
{
	struct packet packet = between(outbound, local, remote, protocol, local_word, remote_word);

	return match(outbound, &packet);
}

// The tunnel that a packet without ports meets, as an index; -1: none, -2: no
// protection.
static inline int tunnel_of(bool outbound, const char *local, const char *remote)
{
	struct packet packet = between(outbound, local, remote, 99, 0, 0);
	const struct td_policy_rule *rule = rule_of(outbound, &packet);

	if (!rule)
		return -1;
	return rule->action == TD_POLICY_PROTECT ? (int)(rule->tunnel - tunnels) : -2;
}

static inline void settle(void)
{
	while (td_rcu_reclaim())
		;
}
