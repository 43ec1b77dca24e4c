// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The one-round-trip exchange (docs/one-round-trip.md) as the engine's users see it.

#include "control/onertt/accepted.h"
#include "control/onertt/options.h"
#include "control/onertt/static_key.h"

struct td_onertt_config {
	bool enabled; // a peer negotiates by this and nothing else, or not at all
	enum td_onertt_authentication authentication;
	enum td_onertt_source source;
	enum td_onertt_delivery delivery;
	bool early_data;
	uint64_t early_delay_ns;
	struct td_freshness_window window;
	uint64_t session_ns; // 0: no end
	// Both are the caller's, who keeps them until the peer is gone. Without remote (mode "secret") this
	// side only responds, without own it only begins.
	const struct td_onertt_static *own;
	const struct td_onertt_remote *remote;
	struct td_secret secret; // mode "secret"
};

// What the engine counts. The refusals are of messages of handshakes and of sessions alike.
#define TD_ONERTT_COUNTERS(X)                                                                                \
	X(asked, "first messages that came")                                                                 \
	X(answers, "answers to first messages that came")                                                    \
	X(accepted, "first messages that became a session")                                                  \
	X(answered, "answers that became a session")                                                         \
	X(renewed, "sessions that went on in another one")                                                   \
	X(cookies_sent, "cookies asked for, under load")                                                     \
	X(limited, "messages of an address, or answers to a request, that are too many")                     \
	X(malformed, "messages that cannot be read")                                                         \
	X(unknown_key, "static keys that nobody has, or whose certificates are not valid")                   \
	X(unknown_id, "identities that no tunnel has, or not with that static key")                          \
	X(unauthentic, "handshakes that do not verify: altered, a wrong key or secret")                      \
	X(stale, "times before the window")                                                                  \
	X(future, "times behind the window")                                                                 \
	X(replayed, "times that were seen before")                                                           \
	X(wrong_code, "codes that are wrong or missing")                                                     \
	X(mismatched, "first messages with another key source or delivery")                                  \
	X(not_kept, "first messages refused because their time could not be kept on disk")                   \
	X(told_stale, "answers that say stale")

struct td_onertt_stats {
#define TD_ONERTT_COUNTER_FIELD(name, help) uint64_t name;
	TD_ONERTT_COUNTERS(TD_ONERTT_COUNTER_FIELD)
#undef TD_ONERTT_COUNTER_FIELD
};
