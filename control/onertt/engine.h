// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where the engine (control/ike) goes over to the one-round-trip exchange. All but the first three do nothing
// for an IKE SA of IKEv2.

#include "common/secret.h"
#include "control/ike/message.h"
#include "control/path.h"

struct td_ike;
struct td_ike_sa;
struct td_ike_agreement;
struct td_ike_proposals;
struct td_onertt_first;

// ---- begin.c, answered.c, asked.c, load.c: the two messages
// -----------------------------------------------------------

// A new SA with a peer, tasks and a nonce begins; it fails by td_ike_sa_fail. old: the session that it goes
// on for; or NULL.
void td_onertt_start(struct td_ike_sa *sa, struct td_ike_sa *old);
void td_onertt_answered(struct td_ike_sa *sa, const struct td_path *path, const struct td_ike_header *header,
    const struct td_ike_payloads *answer);
void td_onertt_asked(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    struct td_bytes message);
void td_onertt_load_free(struct td_ike *ike);

// ---- session.c: what every message of a session carries -------------------------------------------

// Adds N(FRESHNESS) to what is about to be sealed. Returns 0 or -EIO.
int td_onertt_stamp(struct td_ike_sa *sa, struct td_ike_chain *chain);
// Whether the payloads of an authentic message are fresh; else it is counted why not.
bool td_onertt_fresh(struct td_ike_sa *sa, bool response, struct td_bytes inside, uint8_t first);
// The successor of a rekey belongs to the same session. Returns 0 or -errno.
int td_onertt_inherit(struct td_ike_sa *successor, const struct td_ike_sa *sa);
// The peer has proved who it is, by a message under the session's keys: what is inside.
void td_onertt_proved(struct td_ike_sa *sa, struct td_bytes inside, uint8_t first);
void td_onertt_proved_soon(struct td_ike_sa *sa); // the same by a packet, not within the call
// The peer deletes an SA: it has the answer about the session that this one goes on in.
void td_onertt_overtaken(struct td_ike_sa *sa);
bool td_onertt_is_unproven(const struct td_ike_sa *sa);
// An IKE SA ends.
void td_onertt_free(struct td_ike_sa *sa, const char *reason);

// ---- expiry.c: the end of a session's validity ----------------------------------------------------

// Nothing new is made with its keys.
bool td_onertt_is_over(const struct td_ike_sa *sa);
// Nothing is under way on an SA whose session is over: a new one begins, if that is for this side to do.
// True: there is a task to run first.
bool td_onertt_go_on(struct td_ike_sa *sa);
// The peer says so, in a request (answer NULL) or instead of an answer.
void td_onertt_told(struct td_ike_sa *sa, const struct td_ike_payloads *answer);

// ---- first.c: the keys of the first child -----------------------------------------------------------

void td_onertt_first_free(struct td_onertt_first *first); // wipes; NULL is fine
// The SPI that the initiator has chosen for ESP to the responder; 0: none.
uint32_t td_onertt_first_spi(const struct td_onertt_first *first);
// Keys that are known before the answer are for one suite only.
void td_onertt_offer_narrow(const struct td_onertt_first *first, struct td_ike_proposals *proposals);
// As td_ike_child_keys.
int td_onertt_child_keys(struct td_ike_sa *sa, const struct td_ike_agreement *agreement, size_t key_bytes,
    struct td_secret *key_i, struct td_secret *key_r);
