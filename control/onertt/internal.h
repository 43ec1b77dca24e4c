// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the exchange share with each other and with nobody else.

#include "control/ike/internal.h"
#include "control/onertt/noise.h"

#define TD_ONERTT_EXPORT_BYTES 32

// What the initiator keeps until message 2 is here.
struct td_onertt_attempt {
	struct td_noise noise; // behind message 1
	struct td_x25519 own; // our static key, which a new configuration may replace meanwhile
	struct td_bytes body; // of the NOISE payload; owned
	uint64_t time_us; // in message 1
	uint64_t sent_ns;
	bool again; // after STALE
	uint64_t heard_second; // answers in this second
	unsigned heard;
	struct td_timer early_timer;
	uint32_t early_spi; // inbound, of a child installed before the answer; 0: none
	bool early_in_udp; // how its packets go
};

// A session: what an IKE SA has more than one of IKEv2.
struct td_onertt {
	bool client; // this side began it: its times are by the peer's clock
	struct td_freshness freshness;
	struct td_onertt_attempt *attempt; // NULL: message 2 is here, or this side has sent it
	uint64_t continues_i, continues_r; // the SPIs of the session before; 0: none
	uint8_t digest[32]; // responder: of message 1
	uint64_t incarnation; // of the peer
	bool over, renewing;
	uint64_t end_ns; // 0: none
	struct td_timer end_timer; // of the validity, and then of the patience with the peer
	struct td_timer soon_timer;
};

struct td_onertt_first {
	enum td_onertt_source source;
	enum td_onertt_delivery delivery;
	uint32_t spi; // of ESP to the responder; 0: the responder chooses
	struct td_secret traffic; // source initiator, derived: HMAC(export_1, "traffic")
	// Wrapped: the keys. Empty: whoever draws them has not yet.
	struct td_secret key_i, key_r;
};

static inline uint64_t td_onertt_steady_us(const struct td_ike *ike)
{
	return td_ike_now(ike) / 1000;
}

static inline struct td_onertt_stats *td_onertt_stats_of(struct td_ike *ike)
{
	return &ike->stats.onertt;
}

// ---- begin.c ------------------------------------------------------------------------------------------

// The responder's clock, as far as it is known.
uint64_t td_onertt_time_now(const struct td_ike_sa *sa);
// Message 1 as it is, maybe with a cookie. Returns 0 or -errno.
int td_onertt_message_1_send(struct td_ike_sa *sa);
// Makes message 1 anew and sends it. Returns 0, -EALREADY (the child that was to have a successor has gone)
// or another -errno.
int td_onertt_attempt_send(struct td_ike_sa *sa);
// What was prepared for an attempt that is made anew.
void td_onertt_early_undo(struct td_ike_sa *sa);

// ---- load.c ------------------------------------------------------------------------------------------

// Whether there is time to open one more answer in this second.
bool td_onertt_answer_allowed(struct td_ike *ike);

// ---- index.c ------------------------------------------------------------------------------------------

// A search for peers between the addresses of a message; what it points to stays. Nothing that changes peers
// may happen while it lasts.
struct td_onertt_search {
	const struct td_path *path;
	enum td_noise_pattern pattern;
	struct td_bytes key_id; // of the key of ours that is meant
	int kind;
	uint8_t id_type;
	struct td_bytes who;
	const struct td_ip *remote; // as configured
	uint64_t hash;
	size_t at;
};

// Any peer of the pattern with this key of ours. Further ones: those with a static key, or an identity, for
// which a search begins anew.
void td_onertt_search_key(struct td_onertt_search *search, const struct td_path *path,
    enum td_noise_pattern pattern, struct td_bytes key_id);
void td_onertt_search_static(struct td_onertt_search *search, const uint8_t static_key[TD_X25519_BYTES]);
void td_onertt_search_id(struct td_onertt_search *search, uint8_t type, struct td_bytes data);
struct td_ike_peer *td_onertt_search_next(struct td_ike *ike, struct td_onertt_search *search); // NULL: none
void td_onertt_index_free(struct td_ike *ike);

// ---- message.c: what both messages have in common -------------------------------------------------

// Prologue of the Noise handshake.
#define TD_ONERTT_PROLOGUE_BYTES (23 + 8 + 1 + 1 + 1 + TD_ONERTT_KEY_ID_BYTES)
struct td_bytes td_onertt_prologue(uint64_t spi_i, enum td_noise_pattern pattern,
    const uint8_t key_id[TD_ONERTT_KEY_ID_BYTES], uint8_t bytes[TD_ONERTT_PROLOGUE_BYTES]);
enum td_noise_pattern td_onertt_pattern(enum td_onertt_authentication authentication);
int td_onertt_random(void *ike, void *bytes, size_t length); // a td_noise_random_fn
// The key named by a label, out of what the handshake exports now. Returns 0 or -errno.
int td_onertt_export_key(const struct td_noise *noise, const char *label, struct td_secret *key);
// The chain inside a Noise message lies one byte behind the start of the engine's buffer, which takes the
// type of the first payload.
void td_onertt_chain_start(struct td_ike *ike, struct td_ike_chain *chain);
struct td_bytes td_onertt_chain_end(struct td_ike *ike, const struct td_ike_chain *chain);
void td_onertt_stamp_write(struct td_ike_chain *chain, const struct td_freshness_stamp *stamp);
// False: there is none, or it is malformed.
bool td_onertt_stamp_read(const struct td_ike_payloads *payloads, struct td_freshness_stamp *stamp);
void td_onertt_incarnation_write(const struct td_ike_peer *peer, struct td_ike_chain *chain);
uint64_t td_onertt_incarnation_of(const struct td_ike_payloads *payloads); // 0: it does not say
// Opens what is left of a Noise message into the engine's buffer and reads its payloads. Returns 0, -EACCES
// (not authentic) or -EBADMSG.
int td_onertt_payloads_read(
    struct td_ike *ike, struct td_noise *noise, struct td_cursor *message, struct td_ike_payloads *payloads);
// Puts header and payloads (in the engine's message buffer behind room for the header) together.
struct td_bytes td_onertt_message_end(
    struct td_ike *ike, struct td_ike_header header, const struct td_ike_chain *outer);
void td_onertt_message_start(struct td_ike *ike, struct td_ike_chain *outer);
// Keys of the IKE SA out of a handshake whose last message is written or read. Returns 0 or -errno.
int td_onertt_keys_make(struct td_ike_sa *sa, const struct td_noise *noise);

// ---- first.c ----------------------------------------------------------------------------------------

struct td_onertt_first *td_onertt_first_create(
    enum td_onertt_source source, enum td_onertt_delivery delivery);
// N(WRAPPED_KEY) under the handshake's export of now. Returns 0 or -errno.
int td_onertt_wrapped_write(
    const struct td_onertt_first *first, const struct td_noise *noise, struct td_ike_chain *chain);
// Returns 0, -ENOENT (not there) or another -errno.
int td_onertt_wrapped_read(
    struct td_onertt_first *first, const struct td_noise *noise, const struct td_ike_payloads *payloads);
// The initiator's keys, drawn.
void td_onertt_first_draw(struct td_ike *ike, struct td_onertt_first *first, size_t key_bytes);

// ---- session.c ----------------------------------------------------------------------------------------

struct td_onertt *td_onertt_create(struct td_ike_sa *sa, bool client); // NULL: no memory
// The session's messages can be stamped from now. Times of the first two messages.
int td_onertt_begin(struct td_ike_sa *sa, uint64_t session_us, uint64_t own_us, uint64_t seen_us);
// Both sides have proved themselves: timers start.
void td_onertt_established(struct td_ike_sa *sa);
// What is left of sessions that the peer had before it began anew.
void td_onertt_former_close(struct td_ike_sa *sa);
struct td_ike_sa *td_onertt_continued(struct td_ike_sa *sa);
void td_onertt_verdict_count(struct td_ike *ike, enum td_freshness_verdict verdict);
void td_onertt_attempt_free(struct td_ike_sa *sa);

// ---- expiry.c ---------------------------------------------------------------------------------------

void td_onertt_end_due(void *sa);
// The peer is busy in the session that this attempt is to go on for: later once more. False: there is none.
bool td_onertt_again(struct td_ike_sa *sa);
