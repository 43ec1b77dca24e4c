// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The configuration file, read again while the daemon runs. All of it is taken or nothing. Control thread.

#include "control/config/diff.h"
#include "control/kernel/kernel.h"
#include "control/negotiate/negotiate.h"
#include "control/policies.h"
#include "control/sad/sad.h"

struct td_reload {
	const char *path;
	struct td_config *config; // the present one: its contents are replaced, its place stays
	struct td_sad *sad;
	struct td_policies *policies;
	struct td_negotiate *negotiate;
	struct td_netlink *netlink;
	bool log_level_fixed; // by the command line
};

// Reads the file and fills *diff with what is different in it; with apply set does what it says. Unchanged
// tunnels keep their SAs. Returns 0, or fills *error and returns
// -EBADMSG: the file is not good; *lines has all errors, one per line "FILE:LINE: ...", to be freed,
// -EBUSY:   it needs a restart; diff->restart has the keys,
// or another -errno: a file that it names, or what it wants, cannot be had. Nothing has changed then. *diff
// is to be freed (td_config_diff_free) in any case, *lines too, which may be NULL.
int td_reload_run(
    struct td_reload *reload, bool apply, struct td_config_diff *diff, char **lines, struct td_error *error);
// The same for a signal: the result goes to the log.
void td_reload_signal(struct td_reload *reload);
