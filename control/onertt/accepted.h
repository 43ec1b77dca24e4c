// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which message 1 of whom was accepted last, so that none is accepted twice, over restarts too.
//
// In memory: the time of the last one of each initiator; of initiators in excess of the capacity the oldest
// is forgotten, and its time becomes a floor for all. On disk: one time, the bound, that no accepted message
// 1 is later than. It is saved ahead of need, so that not every handshake waits for the disk. What is not
// later than the bound of the last run is refused by the next.
//
// The clock of all this, which stale initiators are told, is the system's, but it never goes back: after a
// restart it starts behind the bound, and when the system's clock is set back it goes on. Then it comes
// nearer to the system's clock because it is slower by an eighth. Initiators follow it by their offsets, so
// nobody has to wait until the system's clock is past the bound.

#include "control/onertt/freshness.h"

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
	struct td_freshness_window window; // of the first tunnel; others by td_accepted_widen
	unsigned capacity; // initiators that are remembered, at least 1
	bool found; // the bound was kept from the last run; else it is taken to be one window from now
	uint64_t bound_us; // where found
	uint64_t wall_us, steady_us; // now, by the system's clock and by one that nobody sets
	// Keeps the bound, synced to disk. Returns 0 or -errno; -EINPROGRESS: td_accepted_saved will tell,
	// and until then it is not called again.
	int (*save)(void *context, uint64_t bound_us);
	void *context;
};

// NULL without memory.
struct td_accepted *td_accepted_create(const struct td_accepted_setup *setup);
// There is a tunnel with this window. Where the bound was not kept, nothing is taken that the last run may
// have accepted of this one either.
void td_accepted_widen(struct td_accepted *accepted, const struct td_freshness_window *window,
    uint64_t wall_us, uint64_t steady_us);
// Saves the last time accepted as the bound, so that the next run has hardly anything to refuse. Before
// td_accepted_free, when the gateway stops; no saving may be under way, nor begin. Returns 0 or what save
// returned.
int td_accepted_settle(struct td_accepted *accepted);
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
// Once everything else of message 1 is good, and before anything comes of it. Returns 0, -EALREADY
// (replayed), -EAGAIN (the bound is being saved: it is good when it comes again after that) or what save
// returned: then the message must not be accepted, and nothing has changed.
int td_accepted_commit(struct td_accepted *accepted, const struct td_accepted_name *name, uint64_t time_us,
    uint64_t wall_us, uint64_t steady_us);
// How often that was -EAGAIN.
unsigned td_accepted_put_off(const struct td_accepted *accepted);
// What save began is over, with 0 or -errno.
void td_accepted_saved(struct td_accepted *accepted, int result);
// Saves the next bound when the present one is near, so that no handshake has to: every TD_ONERTT_RESERVE_US
// / 4 or so where handshakes come all the time. Returns 0 or what save returned.
int td_accepted_tick(struct td_accepted *accepted, uint64_t wall_us, uint64_t steady_us);
