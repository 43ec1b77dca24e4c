// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the engine share with each other and with nobody else.
//
// An IKE SA that ends is closed at once (it is found no more, its keys are wiped) and freed when the engine
// is entered the next time, so that no caller up the stack is left with a dangling pointer: after a call that
// may close an SA, look at sa->state.

#include "common/hash.h"
#include "common/limits.h"
#include "control/ike/ike.h"
#include "control/onertt/engine.h"

#include <sys/queue.h>

#define TD_IKE_MESSAGE_MAX 65535u // bytes of a whole message, put together from fragments or not
#define TD_IKE_FRAGMENTS_MAX 64
#define TD_IKE_NONCE_BYTES 32 // of ours
#define TD_IKE_COOKIE_BYTES 36 // of ours: version of the secret and an HMAC
#define TD_IKE_COOKIE_MAX_BYTES 64 // of a peer's (RFC 7296 2.6)
#define TD_IKE_QCD_BYTES 32
#define TD_IKE_GONE_MAX 8 // the last ones

struct td_ike_nonce {
	uint16_t length;
	uint8_t data[TD_IKE_NONCE_MAX_BYTES];
};

static inline struct td_bytes td_ike_nonce_bytes(const struct td_ike_nonce *nonce)
{
	return (struct td_bytes){nonce->data, nonce->length};
}

struct td_onertt;
struct td_onertt_first;

// One message as it goes out: one datagram, or several fragments.
struct td_ike_packets {
	struct td_ike_plain *plain; // what is sealed, where each sending carries its own time; or NULL
	uint8_t *data; // one behind the other
	unsigned count;
	uint16_t lengths[TD_IKE_FRAGMENTS_MAX];
};

// Fragments that came, of one message (RFC 7383 2.6).
struct td_ike_fragments {
	uint32_t message_id;
	uint16_t total, seen; // total 0: none yet
	uint8_t first; // type of the first payload
	size_t bytes;
	struct td_bytes pieces[TD_IKE_FRAGMENTS_MAX]; // own copies
};

struct td_ike_tunnel {
	struct td_hash_node by_life;
	TAILQ_ENTRY(td_ike_tunnel) of_peer;
	struct td_ike_peer *peer;
	struct td_life_tunnel *life;
	bool leaving; // the peer gets no new child of it: it goes, or is not there yet
	struct td_ike_child_config config;
};

// A child as the engine sees it: which IKE SA it belongs to, and what goes on about it.
struct td_ike_child {
	TAILQ_ENTRY(td_ike_child) of_sa;
	struct td_ike_sa *sa;
	struct td_life_child *life;
	uint32_t spi_in, spi_out;
	bool rekeying; // our request is under way
	bool erasing; // our DELETE waits or is under way
	bool replaced; // a successor is installed, and not deleted again
	bool rekey_lost, erase_lost; // wishes of the lifecycle that there was no memory for
	bool redundant; // it lost against a sibling: erased as soon as that is active
	struct td_ike_nonce lowest; // of the two nonces that made it
};

enum td_ike_task_kind {
	TD_TASK_CREATE,
	TD_TASK_REKEY_CHILD,
	TD_TASK_ERASE,
	TD_TASK_REKEY_IKE,
	TD_TASK_DELETE_IKE,
	TD_TASK_LIVENESS,
	TD_TASK_EXPIRED, // tells that the session has ended
};

// An exchange that this side wants.
struct td_ike_task {
	TAILQ_ENTRY(td_ike_task) entry;
	enum td_ike_task_kind kind;
	struct td_life_tunnel *tunnel; // CREATE
	unsigned slot;
	struct td_ike_child *child; // REKEY_CHILD, ERASE; NULL: gone meanwhile
	struct td_ike_child *rival; // REKEY_CHILD: successor that the peer made while this is under way
	uint64_t not_before_ns;
	uint64_t deadline_ns; // 0: none; retransmissions hurry to be done by then
	uint16_t group; // of Diffie-Hellman that the peer asked for (INVALID_KE_PAYLOAD); 0: ours
	unsigned groups; // how often it asked for another one
	// Inbound SPI of a child that only the peer has, to ERASE, or, once nobody wants what is under way,
	// to be erased if the peer makes it; 0: none.
	uint32_t orphan_spi;
};
TAILQ_HEAD(td_ike_task_list, td_ike_task);

// What this side has put into a request and needs for the answer.
struct td_ike_negotiation {
	struct td_ike_nonce nonce;
	struct td_dh *dh;
	uint32_t spi; // of the child; reserved
	struct td_ike_sa *successor; // that a rekey makes
	struct td_ike_proposals proposals; // as offered
	struct td_ike_child *early; // of the one-round-trip exchange: installed before the answer
	// Children that the peer has deleted, of which this side knows nothing: what is being made may be
	// among them, its answer being late.
	uint32_t gone[TD_IKE_GONE_MAX];
	unsigned gone_count;
};

struct td_ike_exchange {
	// Called with the answer's payloads; NULL: no exchange is under way.
	void (*answered)(struct td_ike_sa *sa, const struct td_ike_payloads *answer);
	uint8_t type; // enum td_ike_exchange_type
	uint32_t id;
	struct td_ike_packets packets;
	uint64_t sent_ns; // for the first time
	uint64_t wait_ns, hurry_until_ns;
	uint64_t give_up_ns;
	struct td_timer timer;
	struct td_ike_task *task; // that it does; owned
	struct td_ike_negotiation negotiation;
};

// Kept until IKE_AUTH is over.
struct td_ike_handshake {
	struct td_dh *dh;
	struct td_onertt_first *first; // how the first child gets its keys, if not as RFC 7296 says
	struct td_ike_nonce nonce_i, nonce_r;
	struct td_ike_proposal chosen; // by a responder
	uint8_t *own_message, *peer_message; // IKE_SA_INIT as sent and received, for AUTH
	size_t own_length, peer_length;
	uint8_t cookie[TD_IKE_COOKIE_MAX_BYTES];
	uint16_t cookie_length;
	uint16_t group;
	unsigned restarts; // cookies and other groups asked for
	// What the attempt failed for, if no good answer comes; without a reason: nothing was said.
	struct td_error refusal;
	enum td_life_failure failure;
};

enum td_ike_state { TD_IKE_CONNECTING, TD_IKE_ESTABLISHED, TD_IKE_REKEYED, TD_IKE_DELETING, TD_IKE_CLOSED };

struct td_ike_sa {
	struct td_hash_node by_spi; // our SPI
	struct td_hash_node by_init; // responder, half-open: the initiator's SPI and address
	struct td_hash_node by_path; // the addresses
	struct td_hash_node by_source; // responder, half-open: the initiator's address
	LIST_ENTRY(td_ike_sa) all;
	TAILQ_ENTRY(td_ike_sa) of_peer; // linked when peer is set
	struct td_ike *ike;
	struct td_ike_peer *peer; // NULL: a responder that does not know yet
	enum td_ike_state state;
	uint64_t spi_i, spi_r;
	bool initiator;
	bool half_open; // counted as such
	bool init_linked; // in by_init
	struct td_onertt *onertt; // its session, where it is one of the one-round-trip exchange
	struct td_path path;
	bool nat_local, nat_remote;
	struct td_ike_suite suite;
	struct td_ike_keys keys;
	struct td_ike_handshake *handshake;
	struct td_ike_id remote_id;
	uint32_t peer_hashes; // 1 << enum td_ike_hash
	bool peer_fragments;
	uint8_t peer_token[TD_IKE_QCD_BYTES * 4]; // RFC 6290: what the peer proves a crash with
	uint16_t peer_token_length;

	uint32_t next_id; // of our next request
	uint32_t expected_id; // of the peer's next request
	struct td_ike_exchange exchange; // ours
	struct td_ike_task_list tasks;
	struct td_timer task_timer;
	struct td_ike_packets answer; // to the peer's last request
	struct td_ike_fragments request_fragments, answer_fragments;

	TAILQ_HEAD(, td_ike_child) children;
	struct td_ike_sa *successor; // made by a rekey that is finished
	struct td_ike_sa
	    *peers; // made by the peer's rekey while ours is under way, or what has replaced that
	struct td_ike_nonce peers_lowest; // of the nonces that made it
	struct td_ike_nonce lowest; // of the two nonces that made it by a rekey
	bool rekeying; // our request is under way
	uint64_t created_ns, established_ns, heard_ns;
	uint64_t probe_ns; // last probe that a hint caused
	struct td_timer rekey_timer, liveness_timer, end_timer;
};

// Two addresses that peers are configured between; remote of family 0: from anywhere.
struct td_ike_place {
	struct td_hash_node node;
	struct td_ip local, remote;
	LIST_HEAD(, td_ike_peer) peers;
	// So that an IKE_SA_INIT, which proves nothing, costs no walk over all peers: one for each set of
	// proposals, and one for each set of authorities, as many as fit a message. Made when first needed
	// after a change.
	bool surveyed;
	unsigned offer_count, truster_count;
	struct td_ike_peer **offers;
	const struct td_ike_peer *trusters[TD_IKE_CERTS_MAX];
};

struct td_ike_peer {
	struct td_hash_node by_identities;
	LIST_ENTRY(td_ike_peer) all;
	LIST_ENTRY(td_ike_peer) of_place;
	struct td_ike_place *place; // NULL: it goes, and is found no more
	bool hidden; // not there yet, and not found
	struct td_ike *ike;
	struct td_ike_peer_config config;
	TAILQ_HEAD(, td_ike_tunnel) tunnels;
	TAILQ_HEAD(, td_ike_sa) sas;
	struct td_ike_task_list waiting; // CREATE tasks without an IKE SA
	uint64_t shortest_life_ns; // of the children of its tunnels; 0: none ends
	struct td_timer start_timer;
	uint64_t refused_ns; // when an operator last heard of a refused IKE_SA_INIT or IKE_AUTH
	// The responder's clock, as far as this side knows it, less our steady one.
	bool ahead_known;
	int64_t ahead_us;
	uint64_t first_us; // of its last first message from here
	uint64_t met_us, met_incarnation; // when this side last began a session with whom; 0: never
	// How often this side was left without a session with it: what the peer has from before is of a
	// former life, too.
	uint64_t lives;
	uint64_t told_second; // refusals of its first messages in this second
	unsigned told;
};

struct td_ike {
	struct td_ike_env env;
	struct td_life_negotiator negotiator;
	struct td_hash by_spi, by_init, by_path, by_source, tunnels, places, identities;
	LIST_HEAD(, td_ike_peer) peers;
	unsigned peer_count;
	LIST_HEAD(, td_ike_sa) sas, closed;
	unsigned half_open; // begun by IKE_SA_INIT
	unsigned unproven; // the same, begun by the one-round-trip exchange
	// IKE_SA_INITs that cost something and came to nothing, until then: they count as if half-open.
	unsigned spoiled;
	uint64_t spoiled_until_ns;
	uint8_t cookie_secret[2][32]; // now, and before that
	uint32_t cookie_version;
	uint64_t cookie_changed_ns;
	uint64_t hint_second, hints; // unprotected answers of this second
	struct td_onertt_load *onertt_load; // first messages of this second
	struct td_onertt_index *onertt_index; // of the peers, NULL: none is made
	uint64_t peer_changes;
	uint64_t incarnation; // tells this life of ours from former ones
	struct td_ike_stats stats;
	uint8_t plain[TD_IKE_MESSAGE_MAX]; // of a message that came
	uint8_t chain[TD_IKE_MESSAGE_MAX]; // payloads being written
	uint8_t message[TD_IKE_MESSAGE_MAX];
};

static inline struct td_ike_random td_ike_random_of(const struct td_ike *ike)
{
	return (struct td_ike_random){ike->env.random, ike->env.context};
}

static inline uint64_t td_ike_now(const struct td_ike *ike)
{
	return ike->env.timers->now_ns;
}

// ---- engine.c: the engine, peers and tunnels ----------------------------------------------------

struct td_ike_tunnel *td_ike_tunnel_of(struct td_ike *ike, const struct td_life_tunnel *life);
void td_ike_event(const struct td_ike_sa *sa, const char *kind, const char *reason);
// receive.c: whether one more unprotected answer may go out in this second.
bool td_ike_hint_allowed(struct td_ike *ike);
// place.c: a number for two addresses.
uint64_t td_ike_addresses_hash(const struct td_ip *local, const struct td_ip *remote);
// It is found from now on. Returns 0 or -ENOMEM.
int td_ike_place_enter(struct td_ike_peer *peer);
void td_ike_place_changed(struct td_ike_peer *peer); // its proposals, or whom it trusts
// Surveyed ones that a message between two addresses may be for: that of the addresses before that from
// anywhere. after is NULL or the one found before.
const struct td_ike_place *td_ike_place_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_place *after);
// The peer that a message between two addresses may belong to; after is NULL or the one found before. Those
// with the address come before those from anywhere.
struct td_ike_peer *td_ike_peer_next(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_peer *after);
// It is found no more.
void td_ike_place_leave(struct td_ike_peer *peer);
// change.c: works out shortest_life_ns.
void td_ike_peer_life_update(struct td_ike_peer *peer);
// Frees the SAs that were closed.
void td_ike_bury(struct td_ike *ike);

// ---- negotiator.c: wishes of the lifecycle -------------------------------------------------------

void td_ike_negotiator_init(struct td_ike *ike);
// Timer of a peer: what waits goes to an SA, or starts one.
void td_ike_start_due(void *context);
// The child's DELETE is sent when its turn comes, also if there is no memory for it now.
void td_ike_child_erase(struct td_ike_child *child);
// What there was no memory for is tried again, or has failed.
void td_ike_wishes_retry(struct td_ike_sa *sa);
// Nothing is wanted for the tunnel (NULL: for any) any more.
void td_ike_waiting_forget(struct td_ike_peer *peer, const struct td_life_tunnel *life);
void td_ike_tasks_forget_tunnel(struct td_ike_sa *sa, const struct td_life_tunnel *life);

// ---- refusal.c: what an operator is told -----------------------------------------------------------

// Whether an operator is told of one more refusal of somebody who says to be this peer.
bool td_ike_refusal_due(struct td_ike_peer *peer);
// An IKE_SA_INIT without a proposal in common; sometimes.
void td_ike_init_refused(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_payloads *request);
// A child of the peer's; tunnel is NULL when none fits, reason may be.
void td_ike_child_refused(const struct td_ike_sa *sa, const struct td_ike_payloads *offer,
    const struct td_ike_tunnel *tunnel, uint16_t refusal, const char *reason);

// ---- sa.c: IKE SAs --------------------------------------------------------------------------------

// A new SA with an SPI of ours, in no state but CONNECTING. NULL: no memory.
struct td_ike_sa *td_ike_sa_create(struct td_ike *ike, bool initiator, const struct td_path *path);
void td_ike_sa_peer_set(struct td_ike_sa *sa, struct td_ike_peer *peer);
struct td_ike_sa *td_ike_sa_find(struct td_ike *ike, uint64_t own_spi);
// An established one between two addresses.
struct td_ike_sa *td_ike_sa_find_path(
    struct td_ike *ike, const struct td_ip *local, const struct td_ip *remote);
// The one that a first message of this kind has begun: IKE_SA_INIT or one of the one-round-trip exchange.
struct td_ike_sa *td_ike_sa_find_init(
    struct td_ike *ike, uint64_t spi_i, const struct td_path *path, bool onertt);
void td_ike_sa_init_link(struct td_ike_sa *sa, bool half_open);
void td_ike_sa_init_unlink(struct td_ike_sa *sa);
// How many half-open ones an address has.
unsigned td_ike_source_count(const struct td_ike *ike, const struct td_ip *remote);
// IKE_AUTH or a rekey is done: timers start, the handshake is forgotten.
void td_ike_sa_established(struct td_ike_sa *sa);
void td_ike_handshake_free(struct td_ike_sa *sa);
// The same for a handshake that failed: the lifecycle hears of what kind the failure is.
void td_ike_sa_fail(struct td_ike_sa *sa, enum td_life_failure failure, const char *reason);
// Ends it here, without a word to the peer. Children it still has are given back as deleted, tasks as failed.
void td_ike_sa_close(struct td_ike_sa *sa, const char *kind, const char *reason);
// The SA that tasks of a peer go to: the newest established; NULL: none.
struct td_ike_sa *td_ike_peer_sa(const struct td_ike_peer *peer);
// Children, tasks and what is known of the peer go to the successor.
void td_ike_sa_inherit(struct td_ike_sa *successor, struct td_ike_sa *sa);
void td_ike_sa_path_set(struct td_ike_sa *sa, const struct td_path *path);
// An authentic message has come this way: follows the peer as far as it may move.
void td_ike_sa_path_update(struct td_ike_sa *sa, const struct td_path *path);
static inline uint64_t td_ike_own_spi(const struct td_ike_sa *sa)
{
	return sa->initiator ? sa->spi_i : sa->spi_r;
}

// ---- child.c: children of an IKE SA -----------------------------------------------------------------

struct td_ike_child *td_ike_child_find_out(struct td_ike_sa *sa, uint32_t spi_out);
// The peer has made its successor while this side wanted to.
void td_ike_child_overtaken(struct td_ike_child *child);
// The peer has deleted it or acknowledged our DELETE, or the IKE SA ended: the lifecycle drains it.
void td_ike_child_forget(struct td_ike_child *child, bool by_peer);
// What both sides of an exchange have agreed on.
struct td_ike_agreement {
	struct td_ike_tunnel *tunnel;
	unsigned slot;
	bool initiator;
	uint32_t spi_in, spi_out;
	struct td_ike_suite suite;
	struct td_ts_list local, remote;
	struct td_bytes nonce_i, nonce_r;
	struct td_bytes shared; // empty without PFS
	struct td_ike_child *predecessor;
	struct td_onertt_first *first; // NULL: keys as RFC 7296 2.17 says
};
// Derives the keys and installs. Returns NULL and fills *error.
struct td_ike_child *td_ike_child_make(
    struct td_ike_sa *sa, const struct td_ike_agreement *agreement, struct td_error *error);
// Payloads of a request: [N(USE_TRANSPORT_MODE)] [N(SA_RESOURCE_INFO)] SA [Ni] [KE] TSi TSr. Returns 0 or
// -errno (no SPI, no memory); in_auth leaves nonce and KE out.
int td_ike_child_offer(struct td_ike_sa *sa, const struct td_ike_tunnel *tunnel, unsigned slot,
    uint16_t group, bool in_auth, struct td_ike_chain *chain);
// The answer to it. Returns the child installed, or NULL with the failure and its reason in *error.
struct td_ike_child *td_ike_child_accept(struct td_ike_sa *sa, const struct td_ike_payloads *answer,
    struct td_ike_tunnel *tunnel, unsigned slot, struct td_ike_child *predecessor, bool in_auth,
    enum td_life_failure *failure, struct td_error *error);
// Answers a peer's offer in payloads: installs the child and writes the payloads of the answer. Returns the
// child, or NULL with the notify to answer with in *refusal (data: of INVALID_KE_PAYLOAD the group).
struct td_ike_child *td_ike_child_answer(struct td_ike_sa *sa, const struct td_ike_payloads *offer,
    struct td_ike_child *predecessor, bool in_auth, struct td_ike_chain *chain, uint16_t *refusal,
    uint16_t *group);
// Tells the lifecycle of a CREATE or REKEY_CHILD task that came to nothing.
void td_ike_task_failed(const struct td_ike_task *task, enum td_life_failure failure, const char *reason);
// What is left of a request under way, its SPI included, is given back.
void td_ike_negotiation_clear(struct td_ike_sa *sa);
// Bytes of one direction's keys of an ESP suite: cipher key, salt, integrity key.
size_t td_ike_suite_key_bytes(const struct td_ike_suite *suite);
// Installs, before the answer, what a request offers with a single choice of everything. Returns NULL and
// fills *error.
struct td_ike_child *td_ike_child_early(struct td_ike_sa *sa, struct td_ike_tunnel *tunnel, unsigned slot,
    struct td_ike_child *predecessor, uint32_t spi_out, struct td_error *error);
// The answer about it. False: the peer has refused it, or has something else; failure and *error say so.
bool td_ike_child_early_check(struct td_ike_sa *sa, const struct td_ike_payloads *answer,
    struct td_ike_tunnel *tunnel, const struct td_ike_child *child, enum td_life_failure *failure,
    struct td_error *error);
// Only the peer has a child with this inbound SPI of ours: it is told to delete it.
void td_ike_orphan_erase(struct td_ike_sa *sa, uint32_t spi);

// ---- exchange.c: requests and answers ---------------------------------------------------------------

struct td_ike_task *td_ike_task_add(struct td_ike_sa *sa, enum td_ike_task_kind kind);
// Starts the next task, when none is under way. Called whenever an exchange is over.
void td_ike_tasks_run(struct td_ike_sa *sa);
void td_ike_task_free(struct td_ike_task *task);
// Tasks about a child that is gone are dropped.
void td_ike_tasks_forget_child(struct td_ike_sa *sa, const struct td_ike_child *child);
// An empty chain in the engine's buffer.
void td_ike_chain_start(struct td_ike *ike, struct td_ike_chain *chain);
// Seals a request and sends it until answered is called or the SA ends. Returns 0 or -errno.
int td_ike_request(struct td_ike_sa *sa, uint8_t exchange, struct td_ike_chain *chain,
    void (*answered)(struct td_ike_sa *sa, const struct td_ike_payloads *answer));
// The same for a message in the clear, the first one.
int td_ike_request_clear(struct td_ike_sa *sa, uint8_t exchange, struct td_bytes message,
    void (*answered)(struct td_ike_sa *sa, const struct td_ike_payloads *answer));
// The exchange is over; its task, which is now the caller's, or NULL.
struct td_ike_task *td_ike_exchange_end(struct td_ike_sa *sa);
void td_ike_exchange_drop(struct td_ike_sa *sa); // at the end of an SA
// What waits for the exchange under way has to be over by then.
void td_ike_exchange_hurry(struct td_ike_sa *sa, uint64_t deadline_ns);
// Seals the answer to the peer's request expected_id, sends it and keeps it for repetitions.
void td_ike_answer(struct td_ike_sa *sa, uint8_t exchange, struct td_ike_chain *chain);
void td_ike_answer_notify(struct td_ike_sa *sa, uint8_t exchange, uint16_t notify, struct td_bytes data);
// The kept answer, to where the request came from this time.
void td_ike_answer_again(struct td_ike_sa *sa, const struct td_path *path);
// packets.c: messages on the wire. Seals a chain as one datagram, or as fragments when it is too long and the
// peer knows RFC 7383. Returns 0 or -errno.
int td_ike_packets_seal(struct td_ike_sa *sa, uint8_t exchange, bool response, uint32_t id,
    struct td_ike_chain *chain, struct td_ike_packets *packets);
void td_ike_packets_send(struct td_ike_sa *sa, const struct td_ike_packets *packets);
// The same once more, in a session with a new time.
void td_ike_packets_repeat(struct td_ike_sa *sa, const struct td_path *path, struct td_ike_packets *packets);
void td_ike_packets_free(struct td_ike_packets *packets);
int td_ike_packets_clear(struct td_ike_packets *packets, struct td_bytes message);
// A whole message out of one fragment more. Returns 0 and *whole when it is complete (in ike->plain), -EAGAIN
// before, or -EBADMSG: no message, or one of more than most bytes.
int td_ike_fragment_add(struct td_ike *ike, struct td_ike_fragments *fragments, uint32_t message_id,
    uint8_t first, struct td_bytes piece, uint16_t number, uint16_t total, size_t most,
    struct td_bytes *whole);
void td_ike_fragments_free(struct td_ike_fragments *fragments);

// ---- the exchanges ----------------------------------------------------------------------------------

// init.c: IKE_SA_INIT.
void td_ike_init_start(struct td_ike_peer *peer);
void td_ike_init_answered(struct td_ike_sa *sa, const struct td_ike_header *header, struct td_bytes message,
    const struct td_ike_payloads *answer);
void td_ike_init_asked(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    struct td_bytes message);
// auth.c: IKE_AUTH.
void td_ike_auth_start(struct td_ike_sa *sa);
void td_ike_auth_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request);
// The first child that was wanted, slot 0's before others.
struct td_ike_task *td_ike_create_take(struct td_ike_sa *sa);
// create_child.c: CREATE_CHILD_SA for children.
int td_ike_create_start(struct td_ike_sa *sa, struct td_ike_task *task);
void td_ike_create_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request);
// A sibling of a redundant child is active.
void td_ike_child_activated(struct td_ike_child *child);
// rekey_ike.c: CREATE_CHILD_SA for the IKE SA.
// An attempt has failed: the old keys go on, and the next one comes after a tenth of the lifetime.
void td_ike_rekey_later(struct td_ike_sa *sa);
int td_ike_rekey_start(struct td_ike_sa *sa, struct td_ike_task *task);
void td_ike_rekey_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request);
// Children and tasks move over; who answered waits for the DELETE.
void td_ike_replace(struct td_ike_sa *sa, struct td_ike_sa *successor);
void td_ike_sa_delete(struct td_ike_sa *sa); // as its next task
// The peer has deleted or forgotten an SA while our request to rekey it is under way: the peer's own
// successor, if there is one, has won, whatever the answer would say.
void td_ike_rekey_overtaken(struct td_ike_sa *sa);
// The peer asks for something on an SA: if that is its successor of one that this side is rekeying, it has
// won.
void td_ike_rekey_settle(struct td_ike_sa *sa);
// informational.c
int td_ike_erase_start(struct td_ike_sa *sa, struct td_ike_task *task);
int td_ike_delete_start(struct td_ike_sa *sa);
int td_ike_liveness_start(struct td_ike_sa *sa);
int td_ike_expired_start(struct td_ike_sa *sa);
void td_ike_informational_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request);
// A hint: asks the peer whether it lives, at most once a second.
void td_ike_probe(struct td_ike_sa *sa);
// natd.c: NAT detection (RFC 7296 2.23).
void td_ike_natd_write(
    struct td_ike_chain *chain, const struct td_ike_sa *sa, uint64_t spi_i, uint64_t spi_r);
void td_ike_natd_check(
    struct td_ike_sa *sa, const struct td_ike_payloads *payloads, uint64_t spi_i, uint64_t spi_r);
// cookie.c: COOKIE (RFC 7296 2.6) and crash detection (RFC 6290).
void td_ike_cookie_make(struct td_ike *ike, const struct td_path *path, uint64_t spi_i, struct td_bytes nonce,
    uint8_t cookie[TD_IKE_COOKIE_BYTES]);
bool td_ike_cookie_valid(struct td_ike *ike, const struct td_path *path, uint64_t spi_i,
    struct td_bytes nonce, struct td_bytes cookie);
// The token that this side, or after a restart its successor, proves a crash with.
void td_ike_token_make(const struct td_ike *ike, uint64_t own_spi, uint8_t token[TD_IKE_QCD_BYTES]);
void td_ike_token_write(const struct td_ike_sa *sa, struct td_ike_chain *chain);
void td_ike_token_read(struct td_ike_sa *sa, const struct td_ike_payloads *payloads);

// Nonces compare as RFC 7296 2.8.1 says; *lowest becomes the lower one.
int td_ike_nonce_compare(const struct td_ike_nonce *a, const struct td_ike_nonce *b);
void td_ike_nonce_lowest(struct td_bytes a, struct td_bytes b, struct td_ike_nonce *lowest);
