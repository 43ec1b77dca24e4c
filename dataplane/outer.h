// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What an outbound SA puts in front of ESP: an IPv4 or IPv6 header in tunnel mode (RFC 4301 5.1.2), a UDP
// header when it is encapsulated (RFC 3948). Replaced whole by RCU when the peer moves.

#include "dataplane/publish.h"
#include "dataplane/rcu.h"

#include <rte_ip.h>
#include <rte_udp.h>

#define TD_OUTER_MAX_BYTES (sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr))

struct td_outer {
	uint8_t header[TD_OUTER_MAX_BYTES]; // IP header (tunnel mode) and UDP header (if encapsulated)
	uint8_t ip_length, udp_length; // bytes of each; 0: not there
	uint8_t protocol; // what the IP header in front names: ESP, UDP or AH
	uint8_t family;
	enum td_df df;
	int16_t dscp;
	uint16_t sum; // IPv4: folded sum of the template's header, not inverted
	struct td_ip remote;
	struct td_retired retired;
};

// What of the inner packet shows in the outer header.
struct td_outer_inner {
	uint8_t tos; // DSCP and ECN
	bool df; // IPv4: don't fragment; IPv6 inner: true
	rte_be32_t flow; // IPv6 flow label, 0 otherwise
};

// Control thread. NULL without memory.
struct td_outer *td_outer_create(const struct td_sa_params *params);
// The same towards another peer address (of the same family) and port. NULL without memory.
struct td_outer *td_outer_copy(
    const struct td_outer *outer, const struct td_ip *remote, uint16_t udp_remote_port);
void td_outer_free(struct td_outer *outer);

// Writes the IP and UDP headers to start, for an ESP packet of esp_bytes behind them. identification is for
// IPv4 packets that may be fragmented. Owner worker.
void td_outer_fill(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes,
    struct td_outer_inner inner, uint16_t identification);
// Writes just the UDP header (transport mode).
void td_outer_fill_udp(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes);
