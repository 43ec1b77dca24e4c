// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The configuration file, read again while the daemon runs. All of it is taken or nothing. Control thread,
// which goes on with everything else meanwhile: files are read and checked by another one, and the rest is
// done in pieces of TD_RELOAD_SLICE_US.

#include "control/config/diff.h"
#include "control/kernel/kernel.h"
#include "control/loop.h"
#include "control/negotiate/negotiate.h"
#include "control/policies/policies.h"
#include "control/sad/sad.h"

struct td_reload {
	struct td_loop *loop;
	const char *path;
	struct td_config *config; // the present one: its contents are replaced, its place stays
	struct td_sad *sad;
	struct td_policies *policies;
	struct td_negotiate *negotiate;
	struct td_netlink *netlink;
	bool log_level_fixed; // by the command line
	void (*signal_done)(void *context); // what td_reload_signal began is over
	void *signal_context;
	struct td_reload_run *run; // that is under way; NULL: none
	bool signalled; // another is to follow
};

// How it ended: 0; or *error, and
// -EBADMSG:   the file is not good; lines has all errors, one per line "FILE:LINE: ...",
// -EBUSY:     it needs a restart; diff->restart has the keys,
// -ECANCELED: the gateway stops,
// or another -errno: a file that it names, or what it wants, cannot be had. Nothing has changed then.
struct td_reload_result {
	int result;
	struct td_error error;
	const struct td_config_diff *diff;
	char *lines; // or NULL; may be cut into pieces
};

struct td_reload_user {
	// What is different, before anything is done about it; called by another thread. May be NULL.
	void (*differs)(void *context, const struct td_config_diff *diff);
	// It is over; from the loop, later than td_reload_start.
	void (*done)(void *context, struct td_reload_result *result);
	void *context;
};

// Reads the file and finds what is different in it; with apply does what it says. Unchanged tunnels keep
// their SAs. Returns 0, -EBUSY (one is under way) or -ENOMEM, and fills *error; only after 0 the user is
// called.
int td_reload_start(
    struct td_reload *reload, bool apply, const struct td_reload_user *user, struct td_error *error);
// The same for a signal: the result goes to the log. Waits for one that is under way.
void td_reload_signal(struct td_reload *reload);
// Ends one that is under way, at once: it has changed nothing, or everything. None may follow.
void td_reload_stop(struct td_reload *reload);
