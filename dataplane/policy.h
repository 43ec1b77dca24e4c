// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The security policy database (RFC 4301 4.4.1) as the workers see it: ordered
// rules in rte_acl contexts, one per direction and family, and behind them the
// tunnel routes (policy_route.h).

#include "dataplane/publish.h"
#include "dataplane/rcu.h"

#include <rte_acl.h>
#include <rte_mbuf.h>

struct td_policy_rule {
	enum td_policy_action action;
	uint32_t hits; // number of its counter (policy_hits.h)
	struct td_dp_tunnel *tunnel;
	bool ports; // it asks for ports or ICMP types, which fragments behind the first do not show
};

struct td_policy_set {
	struct td_retired retired;
	struct rte_acl_ctx *ipv4[2], *ipv6[2]; // inbound, outbound; NULL: no rule
	unsigned count;
	struct td_policy_rule rules[]; // in order
};

// The first rule, or tunnel route, for each of at most TD_BURST packets. They
// are of one segment and start at an IPv4 or IPv6 header whose length has been
// checked. NULL means that nothing matches, which is discard; so it is for a
// packet whose IPv6 headers cannot be read. A NULL set has no rules. Any
// worker, inside a read-side section; the rules live until its end.
void td_policy_lookup(const struct td_policy_set *set, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule **rules, unsigned count);

// The same without tunnel routes, for keys (policy_key.h): NULL where no rule of the set matches.
struct td_policy_key;
void td_policy_match(const struct td_policy_set *set, bool outbound, const struct td_policy_key *keys,
    const struct td_policy_rule **rules, unsigned count);

// Control thread: removes all policies and tunnel routes.
void td_policy_fini(void);
