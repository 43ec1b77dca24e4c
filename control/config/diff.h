// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is different between the configuration that runs and one that is to take its place.

#include "control/config/config.h"

#define TD_CONFIG_RESTART_MAX 16
#define TD_CONFIG_NO_TUNNEL UINT32_MAX

struct td_config_tunnel_diff {
	char name[TD_NAME_MAX];
	uint32_t before, after; // positions in the two configurations, or TD_CONFIG_NO_TUNNEL
	// Keys of the schema's section "tunnels" that differ, by position; 0: none, or it is added or
	// removed.
	uint64_t keys;
	bool in_place; // its SAs stay: nothing differs, or keys do that SAs need not end for
};

struct td_config_diff {
	// What only a restart can change, "SECTION.KEY"; more than fit are not named.
	unsigned restart_count;
	char restart[TD_CONFIG_RESTART_MAX][64];
	bool log_level, routes;
	// The two files differ in it. What was changed while the daemon runs does not count.
	bool policies;
	bool order; // tunnels of both stand in another one
	unsigned added, removed, changed, in_place; // tunnels; in_place: of which keys differ
	unsigned tunnel_count;
	struct td_config_tunnel_diff
	    *tunnels; // those of the new configuration in their order, then removed ones
};

// Returns 0 or -ENOMEM. *diff is to be freed.
int td_config_diff(
    const struct td_config *before, const struct td_config *after, struct td_config_diff *diff);
void td_config_diff_free(struct td_config_diff *diff);
// Nothing would change. Files that the configuration names may have.
bool td_config_diff_is_empty(const struct td_config_diff *diff);
// The name of a tunnels' key, by its position; NULL behind the last.
const char *td_config_tunnel_key(unsigned position);
// True when two policies are the same.
bool td_config_policy_equal(const struct td_policy_config *a, const struct td_policy_config *b);
