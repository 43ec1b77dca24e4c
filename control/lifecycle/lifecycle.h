// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The life of tunnels and of their children: which child a tunnel sends on, when the next one is negotiated,
// when an old one goes. Plain C: timers, random numbers, the data plane and the negotiators are passed in.
//
// The rules that make a rollover lossless (S1 and S2 of docs/architecture.md):
// 1. Whoever will receive on an SPI installs it inbound before telling the peer that SPI.
// 2. Nobody sends on an SA before knowing that the peer has it inbound: the initiator knows on the answer,
// the
//    responder on the first authenticated packet of the child, on the DELETE of the old one, or after a time
//    as long as all retransmissions of the peer's request without hearing one.
// 3. An old inbound SA stays until the peer's DELETE plus a drain time, or, where none comes, for a bounded
//    time after its hard lifetime: rule 2's time and the drain time. The peer may have installed the child
//    later by the former, counts its lifetime from then, and until then sends what would be lost here.
// 4. Soft limits start the next negotiation; hard limits stop the child outbound: traffic is held or dropped,
//    never sent in plaintext. Soft times are jittered, so that both ends seldom start at once.
// 5. Simultaneous rekeys converge on one child by the nonce rule (RFC 7296 2.8.1), which the negotiator works
// out.
//
// A tunnel has slots, each with one child at rest: slot 0 is the child for all workers, slot w + 1 one of
// worker w's own (RFC 9611).

#include "common/error.h"
#include "common/limits.h"
#include "common/secret.h"
#include "control/path.h"
#include "control/timers.h"
#include "dataplane/publish.h"

struct td_lifecycle;
struct td_ts_list;
struct td_life_child;
struct td_life_tunnel;

enum td_life_start {
	TD_START_BOOT, // at once, and again whenever it goes down
	TD_START_TRAP, // on the first packet that needs it
	TD_START_RESPOND, // never by itself
};

struct td_life_config {
	char name[TD_NAME_MAX];
	enum td_life_start start;
	unsigned slots; // 1, or 1 + workers
	// Since a child was installed. The end that made it rekeys it within the last tenth of soft_ns, the
	// other end within another tenth after that if there is no successor by then. 0: never; hard_ns 0: no
	// end.
	uint64_t soft_ns, hard_ns;
	struct td_sa_limits limits;
	uint64_t drain_ns; // an old inbound SA decrypts this long after the DELETE
	// All retransmissions of one request of the peer lie within this time (rule 2).
	uint64_t quiet_ns;
	uint64_t retry_ns; // after a failed negotiation; doubles up to 64 times this
};

enum td_child_state {
	TD_CHILD_PENDING, // installed; decrypts; not known to be in place at the peer
	TD_CHILD_ACTIVE, // the peer has it: it may be sent on
	TD_CHILD_RETIRED, // not sent on any more; the DELETE is under way
	TD_CHILD_DRAINING, // deleted; still decrypts what was under way
};

// Why a child became active.
enum td_child_proof {
	TD_PROOF_NONE,
	TD_PROOF_ANSWER, // this side started the exchange and has the answer
	TD_PROOF_TRAFFIC, // a packet authenticated on it (S2)
	TD_PROOF_MESSAGE, // a control message authenticated that only a peer with the child sends
	TD_PROOF_DELETE, // the peer deleted the old one
	TD_PROOF_TIMER, // rule 2's time passed, or the old one reached its end
	TD_PROOF_EARLY, // none: the operator wants to send without waiting for the answer
};

struct td_life_child {
	struct td_life_tunnel *tunnel;
	unsigned slot;
	uint32_t spi_in, spi_out; // host order
	enum td_child_state state;
	enum td_child_proof proof;
	bool initiator; // this side started the exchange that made it
	uint64_t installed_ns;
	struct td_life_child *predecessor; // that it replaces; NULL when there was none or it is gone
	void *negotiator; // the negotiator's part; NULL once the child is deleted there
	void *dataplane; // the data plane's part
	// Of the lifecycle alone.
	bool rekeying; // the negotiator was asked
	struct td_timer soft_timer, hard_timer, quiet_timer, drain_timer;
	struct td_life_child *next; // of the slot, newest first
};

// All that is known of a child when it is installed. Keys stay the caller's, who wipes them.
struct td_life_offer {
	struct td_life_tunnel *tunnel;
	unsigned slot;
	bool initiator;
	uint32_t spi_in, spi_out; // spi_in from td_life_spi_reserve
	const char *suite; // name in the data plane's table
	bool esn;
	enum td_sa_mode mode;
	const struct td_secret *key_in, *key_out;
	struct td_path path;
	const struct td_ts_list *ts_local, *ts_remote; // as negotiated
	struct td_life_child *predecessor; // for a rekey
	// The peer has not proved yet who it is: only traffic or a message of its does, no timer, no DELETE.
	bool unproven;
	void *negotiator;
};

// ---- what the lifecycle drives ----------------------------------------------------------------

// The data plane: control/sad in the daemon, a model in the simulation.
struct td_life_dataplane {
	void *context;
	// An unused inbound SPI that belongs to the owner of a slot; 0: none to be had.
	uint32_t (*spi_reserve)(void *context, const struct td_life_tunnel *tunnel, unsigned slot);
	void (*spi_release)(void *context, uint32_t spi);
	// Both SAs: the inbound one decrypts when this returns, the outbound one waits. Returns 0 or -errno.
	int (*install)(void *context, struct td_life_child *child, const struct td_life_offer *offer,
	    struct td_error *error);
	// Packets of the child's slot are sealed by it from now on.
	void (*switch_out)(void *context, struct td_life_child *child);
	// Nothing is sent on it any more: packets go to another child switched to before, or are held.
	void (*stop_out)(void *context, struct td_life_child *child);
	// Sends one dummy packet (RFC 4303 2.6), which proves to the peer that this side has the child.
	void (*prove)(void *context, struct td_life_child *child);
	// Only packets under way are expected inbound any more (what a list of SAs shows).
	void (*drain)(void *context, struct td_life_child *child);
	// Both SAs go; keys are wiped.
	void (*remove)(void *context, struct td_life_child *child);
	// Reserves this very SPI, which a peer has chosen. False: it is taken. NULL: none can be.
	bool (*spi_claim)(void *context, const struct td_life_tunnel *tunnel, unsigned slot, uint32_t spi);
};

// Who makes children of a tunnel. Each call only starts something; what comes of it is told by the functions
// below, never from within the call.
struct td_life_negotiator {
	void *context;
	void (*create)(void *context, struct td_life_tunnel *tunnel, unsigned slot);
	// A successor is wanted before deadline_ns, when the child stops; UINT64_MAX: it never stops.
	void (*rekey)(void *context, struct td_life_child *child, uint64_t deadline_ns);
	// Tell the peer that the child is gone. td_life_child_deleted follows; the child stays in memory
	// until then, even if it has long been removed.
	void (*erase)(void *context, struct td_life_child *child);
	// The child has become active by another proof than the answer to this side's own request.
	void (*active)(void *context, struct td_life_child *child);
	// Nothing of the tunnel is wanted any more: stop negotiating, delete its children and what served
	// only it.
	void (*down)(void *context, struct td_life_tunnel *tunnel);
};

// What happened, for subscribers, the log and counters. child may be NULL; reason too.
// kind: "tunnel_connecting", "tunnel_up", "tunnel_down", "tunnel_failed" (with a child: its rekey),
// "child_installed", "child_active" (reason: the proof), "child_switched", "child_rekeying",
// "child_draining", "child_removed", "child_expired".
typedef void (*td_life_event_fn)(void *context, const char *kind, const struct td_life_tunnel *tunnel,
    const struct td_life_child *child, const char *reason);

struct td_life_env {
	struct td_timers *timers;
	void *random_context;
	void (*random)(void *context, void *bytes, size_t length);
	struct td_life_dataplane dataplane;
	void *event_context;
	td_life_event_fn event;
};

struct td_lifecycle *td_lifecycle_create(const struct td_life_env *env);
// Removes every child without a word to the peers.
void td_lifecycle_destroy(struct td_lifecycle *life);

struct td_life_stats {
	uint64_t installed, removed;
	uint64_t activated_by_answer, activated_by_traffic, activated_by_delete, activated_by_timer;
	uint64_t activated_by_message, activated_early;
	uint64_t failed; // negotiations
	uint64_t expired; // children that reached a hard limit before their successor was there
};

// ---- tunnels ----------------------------------------------------------------------------------

// The tunnel is down until td_life_tunnel_start. user is the caller's, for td_life_tunnel_user. Returns NULL
// when there is no memory.
struct td_life_tunnel *td_life_tunnel_add(struct td_lifecycle *life, const struct td_life_config *config,
    const struct td_life_negotiator *negotiator, void *user);
// Removes its children and forgets it. The negotiator must have forgotten it before.
void td_life_tunnel_remove(struct td_life_tunnel *tunnel);
void *td_life_tunnel_user(const struct td_life_tunnel *tunnel);
const struct td_life_config *td_life_tunnel_config(const struct td_life_tunnel *tunnel);
// Does what its start says (boot: connects).
void td_life_tunnel_start(struct td_life_tunnel *tunnel);
// An operator wants it up, or down until further notice: what its start says is suspended, its children are
// deleted, and new ones are refused until td_life_tunnel_up.
void td_life_tunnel_up(struct td_life_tunnel *tunnel);
void td_life_tunnel_down(struct td_life_tunnel *tunnel);
// Another configuration, with as many slots. Children that there are keep the limits that they were made
// with.
void td_life_tunnel_update(struct td_life_tunnel *tunnel, const struct td_life_config *config);
// It has no children any more.
bool td_life_tunnel_is_idle(const struct td_life_tunnel *tunnel);
// An operator wants new keys on all slots. Returns how many negotiations that starts: none where one is under
// way.
unsigned td_life_tunnel_rekey(struct td_life_tunnel *tunnel);
// Slot 0 has a child that may be sent on.
bool td_life_tunnel_is_up(const struct td_life_tunnel *tunnel);
// The child that a slot sends on; NULL: none. The children of a slot, newest first.
struct td_life_child *td_life_tunnel_current(const struct td_life_tunnel *tunnel, unsigned slot);
struct td_life_child *td_life_tunnel_children(const struct td_life_tunnel *tunnel, unsigned slot);
const struct td_life_stats *td_life_tunnel_stats(const struct td_life_tunnel *tunnel);

// ---- for negotiators --------------------------------------------------------------------------

uint32_t td_life_spi_reserve(struct td_life_tunnel *tunnel, unsigned slot); // 0: none
void td_life_spi_release(
    struct td_life_tunnel *tunnel, uint32_t spi); // not when a child was installed with it
bool td_life_spi_claim(struct td_life_tunnel *tunnel, unsigned slot, uint32_t spi); // false: it is taken
// Rule 1: both SAs are in place when this returns, pending; a responder calls it before it answers. On error
// returns NULL, fills *error and has changed nothing: the SPI is then the caller's still.
struct td_life_child *td_life_child_install(const struct td_life_offer *offer, struct td_error *error);
// The initiator has the answer: the peer has the child. It is sent on from now; a dummy proves it to the
// peer.
void td_life_child_answered(struct td_life_child *child);
// The initiator sends on it without the answer. The tunnel is told to be up when that, or a packet, is here.
void td_life_child_early(struct td_life_child *child);
// The responder has a message that the peer sends only when it has the child.
void td_life_child_confirmed(struct td_life_child *child);
// The peer sent its request for this child again: it had no answer yet (rule 2).
void td_life_child_asked_again(struct td_life_child *child);
// Before a DELETE of ours: nothing is sent on the child any more. Packets go to another child of the slot,
// active or the pending successor, or are held.
void td_life_child_retire(struct td_life_child *child);
// The peer's DELETE, or its answer to ours, or its death: the child drains and then goes. The negotiator's
// part is not looked at any more, and the negotiator forgets the child. A DELETE of the peer (by_peer) proves
// that the peer has the pending successor.
void td_life_child_deleted(struct td_life_child *child, bool by_peer);
enum td_life_failure {
	TD_FAIL_TEMPORARY,
	TD_FAIL_PERMANENT, // it makes no sense to try again soon: wrong key, no common proposal
	// The peer does not want a child for this slot, ever (RFC 9611 TS_MAX_QUEUE). Only for slots other
	// than 0.
	TD_FAIL_UNSUPPORTED,
};
// A negotiation that create or rekey started came to nothing.
void td_life_create_failed(
    struct td_life_tunnel *tunnel, unsigned slot, enum td_life_failure failure, const char *reason);
void td_life_rekey_failed(struct td_life_child *child, enum td_life_failure failure, const char *reason);
// The same without a failure: there was nothing to ask the peer for. It is asked for again when there is.
void td_life_rekey_moot(struct td_life_child *child);
// What was made of the child by rekeys, pending or active, is there still.
bool td_life_child_has_successor(const struct td_life_child *child);

// ---- from the data plane ----------------------------------------------------------------------

// A packet authenticated on an inbound SA for the first time: the only thing of a packet's that activates a
// child (S2).
void td_life_first_use(struct td_life_child *child);
// Soft and hard limits of bytes, packets or sequence numbers.
void td_life_soft_limit(struct td_life_child *child);
void td_life_hard_limit(struct td_life_child *child);
// A packet met no outbound SA.
void td_life_acquire(struct td_life_tunnel *tunnel);
