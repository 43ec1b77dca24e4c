// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What sites and hub of the one-round-trip exchange know of each other: a static key of each site, one of the
// hub, and a registration secret that all sites share.

#include "control/onertt/onertt.h"

struct td_statics {
	enum td_onertt_authentication authentication;
	unsigned count; // of sites
	struct td_onertt_static *sites, hub;
	struct td_onertt_remote *site_remotes, hub_remote;
	struct td_secret secret;
};

// Returns 0 or -errno; then there is nothing to free.
int td_statics_make(struct td_statics *statics, enum td_onertt_authentication authentication, unsigned count);
void td_statics_free(struct td_statics *statics); // all zeros is fine
// What side 0 (a site) or 1 (the hub) knows of the other.
void td_statics_config(
    const struct td_statics *statics, unsigned side, unsigned number, struct td_onertt_config *config);
