// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which message 1 of whom was accepted last, so that none is accepted twice, over restarts too.
//
// In memory: the time of the last one of each initiator that is not older than the window; the time of what
// was forgotten is a floor for all. On disk: one time, the bound, that no accepted message 1 is later than.
// It is saved ahead of need, so that not every handshake waits for the disk.
//
// The clock of all this, which stale initiators are told, is the system's, but it never goes back: after a
// restart, and when the system's clock is set back, it starts behind the bound and then comes nearer to the
// system's clock, because it goes slower by an eighth. Initiators follow it by their offsets, so nobody has
// to wait for a window to pass.

#include "control/onertt/freshness.h"

#include <stdbool.h>

#define TD_ACCEPTED_NAME_BYTES 32

struct td_accepted;

// Whom a message 1 is of.
struct td_accepted_name {
	uint8_t digest[TD_ACCEPTED_NAME_BYTES];
};

// By static key (32 bytes), or by the body of IDi in mode "secret". Return 0 or -EIO.
int td_accepted_name_key(const uint8_t static_key[32], struct td_accepted_name *name);
int td_accepted_name_id(uint8_t type, const void *data, size_t length, struct td_accepted_name *name);

struct td_accepted_setup {
	struct td_freshness_window window; // the widest of all tunnels
	unsigned capacity; // initiators that are remembered; those in excess raise the floor
	bool
	    found; // the bound was kept from the last run; else nothing is accepted that could have been then
	uint64_t bound_us; // where found
	uint64_t wall_us, steady_us; // now, by the system's clock and by one that nobody sets
	// Keeps the bound, synced to disk. Returns 0 or -errno.
	int (*save)(void *context, uint64_t bound_us);
	void *context;
};

// NULL without memory.
struct td_accepted *td_accepted_create(const struct td_accepted_setup *setup);
void td_accepted_free(struct td_accepted *accepted); // NULL is fine

// The responder's time: for the window of message 1 and for message 2.
uint64_t td_accepted_now(const struct td_accepted *accepted, uint64_t wall_us, uint64_t steady_us);
// TD_FRESHNESS_FRESH or TD_FRESHNESS_REPLAYED: whether it is later than all that were accepted. Changes
// nothing.
enum td_freshness_verdict td_accepted_check(
    const struct td_accepted *accepted, const struct td_accepted_name *name, uint64_t time_us);
// The time to be told to an initiator whose message 1 is refused: with it the next one is accepted.
uint64_t td_accepted_tell(const struct td_accepted *accepted, const struct td_accepted_name *name,
    uint64_t wall_us, uint64_t steady_us);
// Once everything else of message 1 is good, and before anything comes of it. Returns 0, -EALREADY (replayed)
// or what save returned: then the message must not be accepted, and nothing has changed.
int td_accepted_commit(struct td_accepted *accepted, const struct td_accepted_name *name, uint64_t time_us,
    uint64_t wall_us, uint64_t steady_us);
