// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the lifecycle share with each other and with nobody else: lifecycle.c has the tunnels,
// create.c asks for first children, child.c has what happens to a child, rollover.c decides which child is
// sent on.

#include "control/lifecycle/lifecycle.h"

#include <sys/queue.h>

struct td_life_entry {
	struct td_life_child child; // first: a pointer to it is a pointer to the entry
	uint64_t order; // of installation, within the tunnel: what is newer has more
	// The child that a slot began with, and all that came of it by rekeys, are a line. Both ends tell
	// lines apart, and order them, by the SPIs of that first child.
	uint64_t line; // order of that first child at this end
	uint64_t line_key; // the same number at both ends
	bool line_initiator; // this side made the line's first child
	unsigned generation; // rekeys since then
	bool heard; // the peer is known, not only supposed, to have the child
	bool unproven; // nothing but the peer's own word activates it
	bool soft_due; // a successor is wanted
	uint64_t hard_ns; // its end; UINT64_MAX: none. Fixed by the configuration that it was made with
	unsigned rekey_failures; // in a row
	// The slot does without it: it goes when nobody deletes it before. The other end may not think so and
	// go on to rekey it: the time counts for a line. 0: not surplus.
	struct td_timer surplus_timer;
	uint64_t surplus_since_ns;
	LIST_ENTRY(td_life_entry) ghost;
};
LIST_HEAD(td_life_ghosts, td_life_entry);

struct td_life_slot {
	struct td_life_tunnel *tunnel;
	unsigned number;
	struct td_life_child *children; // newest first
	struct td_life_child *current; // that is sent on; NULL: none
	bool creating; // the negotiator was asked
	bool unsupported; // the peer does not want it
	unsigned failures; // in a row
	uint64_t blocked_until_ns; // because of them
	struct td_timer create_timer;
};

// What is wanted of a tunnel, by its configuration and by an operator.
enum td_life_wish { TD_WISH_NOTHING, TD_WISH_START, TD_WISH_UP, TD_WISH_DOWN };

struct td_life_tunnel {
	LIST_ENTRY(td_life_tunnel) all;
	struct td_lifecycle *life;
	struct td_life_config config;
	struct td_life_negotiator negotiator;
	void *user;
	enum td_life_wish wish;
	bool told_up; // by an event
	uint64_t orders; // given to children
	struct td_life_stats stats;
	// Removed from the data plane and from their slots, but the negotiator still refers to them.
	struct td_life_ghosts ghosts;
	struct td_life_slot slots[];
};

struct td_lifecycle {
	struct td_life_env env;
	LIST_HEAD(, td_life_tunnel) tunnels;
};

static inline struct td_life_entry *td_life_entry_of(const struct td_life_child *child)
{
	return (struct td_life_entry *)(uintptr_t)child;
}

static inline struct td_life_slot *td_life_slot_of(const struct td_life_child *child)
{
	return &child->tunnel->slots[child->slot];
}

static inline struct td_timers *td_life_timers(const struct td_life_tunnel *tunnel)
{
	return tunnel->life->env.timers;
}

static inline uint64_t td_life_now_ns(const struct td_life_tunnel *tunnel)
{
	return td_life_timers(tunnel)->now_ns;
}

// Neither given up nor deleted.
static inline bool td_life_child_lives(const struct td_life_child *child)
{
	return child->state == TD_CHILD_PENDING || child->state == TD_CHILD_ACTIVE;
}

// ---- lifecycle.c ------------------------------------------------------------------------------

// From 0 to most_ns, both included.
uint64_t td_life_random_ns(struct td_life_tunnel *tunnel, uint64_t most_ns);
void td_life_tell(
    struct td_life_tunnel *tunnel, const struct td_life_child *child, const char *kind, const char *reason);

// ---- create.c ---------------------------------------------------------------------------------

bool td_life_slot_has_child(const struct td_life_slot *slot); // that lives
void td_life_create_due(void *slot);
// Lets the slot's timer ask for a first child, if one is wanted, as soon as failures allow.
void td_life_create_later(struct td_life_slot *slot);
// Asks for one now, unless there is one, or is about to be, or failures forbid it.
void td_life_create(struct td_life_slot *slot);
// The slot has lost a child: the next attempt waits if that is the last one and has not lasted.
void td_life_create_after(struct td_life_slot *slot, const struct td_life_child *lost);

// ---- rekey.c ----------------------------------------------------------------------------------

// When a child is rekeyed, in time since its installation; 0: never.
uint64_t td_life_soft_ns(struct td_life_tunnel *tunnel, bool initiator);
// When a child ends; UINT64_MAX: never.
uint64_t td_life_hard_ns(const struct td_life_child *child);
// Asks for a successor. False: there is one, or will be.
bool td_life_child_rekey(struct td_life_child *child);
void td_life_soft_due(void *child);
// A child of the slot goes: what it was the successor of lives on, and still wants one.
void td_life_rekey_review(struct td_life_slot *slot);

// ---- child.c ----------------------------------------------------------------------------------

// Ends it without waiting for the peer. erase: the negotiator is to tell the peer.
void td_life_child_end(struct td_life_child *child, bool erase);
// Removes it from the data plane.
void td_life_child_remove(struct td_life_child *child);
// It is removed, and only the negotiator still refers to it.
bool td_life_child_is_ghost(const struct td_life_child *child);
// Frees what the negotiator has forgotten together with the tunnel.
void td_life_ghosts_free(struct td_life_tunnel *tunnel);
void td_life_hard_due(void *child);
void td_life_quiet_due(void *child);
void td_life_drain_due(void *child);

// ---- rollover.c -------------------------------------------------------------------------------

// Pending becomes active, and is sent on if it is the newest of the active ones.
void td_life_activate(struct td_life_child *child, enum td_child_proof proof);
// Another child takes over from one that is not a candidate any more. Pending successors of it are taken, for
// want of an active child, if pending says so. Without any, nothing is sent.
void td_life_replace(struct td_life_child *child, bool pending);
// A slot sends on the child: tells that the tunnel is up, unless it sends early and without proof.
void td_life_up_tell(struct td_life_child *child);
// The newest pending child that came of this one by rekeys; NULL: none.
struct td_life_child *td_life_successor_pending(const struct td_life_child *child);
// Another child has taken this one's place, or is about to.
bool td_life_child_is_superseded(const struct td_life_child *child);
// After any change: starts to get rid of children that both ends do without, and looks after what remains.
void td_life_slot_review(struct td_life_slot *slot);
void td_life_surplus_due(void *child);
// Time without a repeated request after which a pending child is taken to be in place at the peer.
uint64_t td_life_quiet_ns(const struct td_life_slot *slot);
