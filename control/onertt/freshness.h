// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Whether a sealed message is fresh: it carries its sender's time and the code of that time under a key of
// the session. Times are microseconds since 1970.

#include "control/onertt/code.h"

#include <stdbool.h>

enum td_freshness_verdict {
	TD_FRESHNESS_FRESH,
	TD_FRESHNESS_STALE, // older than the window
	TD_FRESHNESS_FUTURE, // newer than the window
	TD_FRESHNESS_REPLAYED, // not later than one seen before
	TD_FRESHNESS_WRONG_CODE,
	TD_FRESHNESS_FAILED, // libcrypto
};

const char *td_freshness_text(enum td_freshness_verdict verdict); // "stale", "wrong code", ...

// The same on both sides.
struct td_freshness_window {
	uint32_t step_s; // of a code; not 0
	uint32_t steps; // so many each way are taken
};

// Body of N(FRESHNESS).
struct td_freshness_stamp {
	uint64_t time_us;
	uint32_t code;
};

// A stamp for a message of the handshake. Returns 0 or -EIO.
int td_freshness_stamp_make(const struct td_freshness_window *window, const struct td_secret *code_key,
    uint64_t time_us, struct td_freshness_stamp *stamp);
// The code first, and then the window around now_us: who says that a time is stale knows that the peer named
// it. Never TD_FRESHNESS_REPLAYED.
enum td_freshness_verdict td_freshness_judge(const struct td_freshness_window *window,
    const struct td_secret *code_key, const struct td_freshness_stamp *stamp, uint64_t now_us);

// ---- a session --------------------------------------------------------------------------------

enum td_freshness_kind { TD_FRESHNESS_REQUEST, TD_FRESHNESS_ANSWER };

// Both sides' clock in a session is the responder's at its start, carried on by a clock that nobody sets: a
// step of either system's clock disturbs no session. steady_us is that clock, from any origin of one's own.
// The initiator follows the drift of the responder's by what its messages say, but only as fast as clocks
// drift (TD_ONERTT_DRIFT_SHARE): who delays messages cannot draw it out of the window.
struct td_freshness {
	struct td_freshness_window window;
	struct td_secret code_key; // of the IKE SA
	bool follows; // the initiator of the exchange
	int64_t offset_us; // the session's time less steady_us
	uint64_t followed_us; // steady_us when it last followed
	uint64_t sent_us; // of the last message of ours
	uint64_t seen_us[2]; // by kind: of the last one of the peer
};

// session_us: the responder's time, its own for the responder, the one in message 2 for the initiator.
void td_freshness_start(struct td_freshness *freshness, const struct td_freshness_window *window,
    bool initiator, uint64_t session_us, uint64_t steady_us);
// The key of the IKE SA: of the first one, and of one that was rekeyed, whose struct is a copy of the old
// one's.
void td_freshness_key_set(struct td_freshness *freshness, const struct td_secret *code_key);
// What the handshake's messages have shown: own and the peer's time, so that the session's are later.
// seen_kind is the kind of the peer's: a request for the responder.
void td_freshness_note(
    struct td_freshness *freshness, uint64_t own_us, enum td_freshness_kind seen_kind, uint64_t seen_us);
void td_freshness_wipe(struct td_freshness *freshness);

// For our next message; always later than the last. Returns 0 or -EIO, then *freshness is as it was.
int td_freshness_next(struct td_freshness *freshness, uint64_t steady_us, struct td_freshness_stamp *stamp);
// For a message of the peer that has been opened. Anything but TD_FRESHNESS_FRESH changes nothing.
enum td_freshness_verdict td_freshness_accept(struct td_freshness *freshness, enum td_freshness_kind kind,
    const struct td_freshness_stamp *stamp, uint64_t steady_us);
