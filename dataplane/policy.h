// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The security policy database (RFC 4301 4.4.1) as the workers see it: two rte_acl contexts, one
// per direction, over keys that speak of local and remote so that one rule serves both.

#include "dataplane/publish.h"
#include "dataplane/rcu.h"

#include <rte_acl.h>
#include <rte_mbuf.h>

// What policies match. Wire order, as rte_acl wants it.
struct td_policy_key {
	uint8_t protocol;
	uint8_t zero[3];
	rte_be32_t local, remote;
	rte_be16_t local_port, remote_port; // 0 when the packet shows none (fragments, other protocols)
};
_Static_assert(sizeof(struct td_policy_key) == 16, "rte_acl reads the key in groups of four bytes");

struct td_policy_rule {
	enum td_policy_action action;
	struct td_dp_tunnel *tunnel;
};

struct td_policy_set {
	struct td_retired retired;
	struct rte_acl_ctx *out, *in; // NULL: no rule for the direction
	unsigned count;
	struct td_policy_rule rules[]; // in order
};

// The key of an IPv4 packet that starts at its header; outbound tells which address is local.
void td_policy_key_fill(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound);
// Finds the first rule for each of count (at most TD_BURST) keys; NULL means that none matches.
// Any worker, inside a read-side section; the rules live until its end.
void td_policy_classify(const struct td_policy_set *set, bool outbound, const struct td_policy_key *keys,
    const struct td_policy_rule **rules, unsigned count);
// Control thread: removes all policies.
void td_policy_fini(void);
