// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The counters of the rules that the tunnels' prefixes make.

#include "control/config/config.h"
#include "dataplane/publish.h"

#include <stddef.h>

// Those of a tunnel begin at its place in first, by local and then by remote prefix. Pairs of two families,
// which make no rule, have a place without a counter.
struct td_tunnel_hits {
	struct td_dp_hits **hits;
	size_t *first; // one more than there are tunnels
};

// Makes places for a configuration's tunnels, all empty. Returns 0 or -ENOMEM; then too there may be
// something to free.
int td_tunnel_hits_places(const struct td_config *config, struct td_tunnel_hits *tunnels);
// Makes the counters of one tunnel at hits. Returns 0 or -ENOMEM: some may be there.
int td_tunnel_hits_make(const struct td_tunnel_config *tunnel, struct td_dp_hits **hits);
// Frees the places, not the counters.
void td_tunnel_hits_free(struct td_tunnel_hits *tunnels);
