// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the policies share with each other and with nobody else: policies.c (what there is, and
// what the data plane gets), change.c (changes, one after the other), edit.c (those of requests) and reload.c
// (those of another configuration).

#include "control/job.h"
#include "control/policies/policies.h"
#include "control/policies/tunnel_hits.h"

#include <sys/queue.h>

struct td_policies {
	struct td_loop *loop;
	const struct td_config *config;
	const struct td_sad *sad;
	struct td_policy *list;
	unsigned count;
	uint32_t last_id;
	struct td_tunnel_hits tunnels;
	TAILQ_HEAD(td_policies_changes, td_policies_change) changes; // the first is under way, or about to be
	unsigned change_count;
	struct td_timer timer; // begins the first
	struct td_policies_change *reload; // among changes; NULL: none
};

// One change. What it wants is set by whoever makes it; the rest follows when its turn has come.
struct td_policies_change {
	TAILQ_ENTRY(td_policies_change) link;
	struct td_policies *policies;
	struct td_policies_user user;
	// Makes the next list. Returns 0, or -errno and fills *error: what was made till then is taken back.
	int (*make)(struct td_policies_change *change, struct td_error *error);
	// For make of a request: what it says.
	struct td_policy_config *configs; // owned; NULL: none
	unsigned config_count;
	uint32_t id, before;
	// To another configuration; NULL: with the present one's tunnels.
	const struct td_config *config;
	const struct td_config_diff *diff;
	struct td_tunnel_hits tunnels;

	// The next list.
	struct td_policy *list;
	unsigned count;
	bool *kept; // by position of the present list: its number and counter go on
	bool *fresh; // by position of the next list: its counter is

	// The classifier, made by a thread.
	bool same; // set by make: the present one stays
	struct td_job *job; // NULL: it has not begun, or is done
	struct td_dp_policy *dp;
	unsigned dp_count;
	struct td_dp_policies *built;
	int result;
	struct td_error error;
};

// policies.c
// The next list, and behind it the rules of the next configuration's tunnels, as the data plane takes them.
// Returns 0, or -errno and fills *error.
int td_policies_collect(struct td_policies_change *change, struct td_error *error);
int td_policies_no_memory(struct td_error *error);

// change.c
void td_policies_changes_init(struct td_policies *policies);
// What waits ends with -ECANCELED.
void td_policies_changes_cancel(struct td_policies *policies);
// Returns 0, or -ENOMEM or -EBUSY (too many wait) and fills *error.
int td_policies_change_create(struct td_policies *policies,
    int (*make)(struct td_policies_change *change, struct td_error *error),
    const struct td_policies_user *user, struct td_policies_change **change, struct td_error *error);
// It gets its turn.
void td_policies_change_queue(struct td_policies_change *change);
// It is made at once, before the loop runs. Returns 0, or -errno and fills *error.
int td_policies_change_now(struct td_policies_change *change, struct td_error *error);
// For make: room for a list of so many. Returns 0, or -ENOMEM and fills *error.
int td_policies_list_make(struct td_policies_change *change, unsigned count, struct td_error *error);
// For make: a place of the list gets a policy with a number and a counter of its own, or one of the present
// list, which goes on.
int td_policies_list_new(struct td_policies_change *change, unsigned place,
    const struct td_policy_config *config, uint32_t id, struct td_error *error);
void td_policies_list_keep(struct td_policies_change *change, unsigned place, unsigned present);
// For make: a list of new ones. Returns 0, or -ENOMEM and fills *error.
int td_policies_list_replace(struct td_policies_change *change, const struct td_policy_config *configs,
    unsigned count, struct td_error *error);

// reload.c
// The counters of tunnels that are no more, or that will not be.
void td_policies_tunnels_take(struct td_policies_change *change);
void td_policies_tunnels_forget(struct td_policies_change *change);
