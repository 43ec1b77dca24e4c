// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the responder share: asked.c, load.c, judge.c and accept.c.

#include "control/onertt/internal.h"

// A message 1 on its way to a session.
struct td_onertt_asked {
	struct td_ike *ike;
	const struct td_path *path;
	const struct td_ike_header *header;
	struct td_bytes body; // of the NOISE payload
	struct td_bytes ephemeral; // key, of the initiator
	bool returned; // a good cookie: the initiator receives at its address
	enum td_noise_pattern pattern;
	struct td_bytes key_id;
	struct td_noise noise;
	struct td_onertt_search search;
	struct td_ike_peer *peer;
	struct td_ike_payloads payloads;
	struct td_accepted_name name;
	uint64_t time_us, now_us; // its own, and ours
	enum td_onertt_source source;
	enum td_onertt_delivery delivery;
	uint32_t spi;
	uint64_t incarnation;
};

// asked.c: an answer with nothing of the session. outer: its payloads.
void td_onertt_answer_clear(const struct td_onertt_asked *asked, const struct td_ike_chain *outer);
// load.c: whether there is time for it; else a cookie may have been sent. request: its payloads.
bool td_onertt_load_passed(struct td_onertt_asked *asked, const struct td_ike_payloads *request);
void td_onertt_cookie_send(const struct td_onertt_asked *asked);
// load.c: whether one who has returned a cookie may be refused in words.
bool td_onertt_refusal_allowed(const struct td_onertt_asked *asked);
// judge.c: an authentic one; else it was refused, or dropped.
bool td_onertt_is_acceptable(struct td_onertt_asked *asked);
// accept.c: makes the session and sends message 2.
void td_onertt_accept(struct td_onertt_asked *asked);
