// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The policies as they are now: those of the configuration file to begin with, changed on request, and behind
// them those that the tunnels' prefixes make. A change is all or nothing, stops no worker, and keeps the
// counters of what stays. Changes take place one after the other, in the order in which they were asked for,
// and mostly in another thread. Control thread.

#include "control/config/diff.h"
#include "control/sad/sad.h"

struct td_policy {
	uint32_t id; // never used twice
	struct td_policy_config config;
	struct td_dp_hits *hits;
};

struct td_policies;

// Publishes the configured policies in their order, then for each tunnel a protect rule in both directions
// for every pair of a local and a remote prefix of one family; behind them the tunnels' routes. Returns NULL
// and fills *error; nothing is published then. The configuration and the tunnels must outlive it.
struct td_policies *td_policies_create(
    struct td_loop *loop, const struct td_config *config, const struct td_sad *sad, struct td_error *error);
// Takes back policies and routes: none may outlive the tunnels. Changes that are not done end with
// -ECANCELED. NULL is nothing.
void td_policies_destroy(struct td_policies *policies);

// Who hears how a change ended, from the loop and never before the change was accepted: result is 0, or
// -errno with *error.
struct td_policies_user {
	void (*done)(void *context, int result, const struct td_error *error);
	void *context;
};

// Changes on request. They take the configurations, which must have been checked (td_config_policies_read),
// and free them. Return 0; or -ENOMEM or -EBUSY (too many wait), fill *error, and the user hears nothing.

// Replaces all that are not the tunnels'.
int td_policies_replace(struct td_policies *policies, struct td_policy_config *configs, unsigned count,
    const struct td_policies_user *user, struct td_error *error);
// Puts a policy before another one, with before 0 behind all of them but the tunnels'. *id is set at once.
// Ends with -ENOENT: there is no policy before, or -EINVAL: another has a different action for the same
// packets.
int td_policies_add(struct td_policies *policies, struct td_policy_config *config, uint32_t before,
    uint32_t *id, const struct td_policies_user *user, struct td_error *error);
// Ends with -ENOENT: there is no such policy.
int td_policies_remove(
    struct td_policies *policies, uint32_t id, const struct td_policies_user *user, struct td_error *error);

// The policies of another configuration, whose tunnels are in the SAD or come (td_sad_tunnel_find_next);
// those that are the same go on counting. diff is from the present one. Makes all that can fail; the user
// hears when it is made. Returns 0, or -ENOMEM or -EBUSY and fills *error. Until what was made is taken or
// forgotten other changes wait, and the configuration and diff must live.
int td_policies_change_prepare(struct td_policies *policies, const struct td_config *config,
    const struct td_config_diff *diff, const struct td_policies_user *user, struct td_error *error);
// Publishes what was made. From now on the contents of the present configuration must be those of config.
void td_policies_change_take(struct td_policies *policies);
// Nothing has changed. Waits for the thread if it is not done. The user hears nothing more.
void td_policies_change_forget(struct td_policies *policies);

// The policies that are not the tunnels', in order; NULL behind the last.
const struct td_policy *td_policies_at(const struct td_policies *policies, unsigned index);
// The counter of a tunnel's rule for local prefix i and remote prefix j, of one family.
const struct td_dp_hits *td_policies_tunnel_hits(
    const struct td_policies *policies, unsigned tunnel, unsigned i, unsigned j);
