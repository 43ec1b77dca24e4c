// SPDX-License-Identifier: BSD-3-Clause

// Which child of a slot is sent on, and which ones are surplus.
//
// The newest active child is sent on. "Newest" is by installation at this end: when both ends rekey at once
// they install the two successors in opposite order, and either end may send on either of them until the
// loser of the nonce rule is deleted, because both ends have both inbound (rule 1). An older child that
// becomes active later does not take over again, so that an end switches at most once for each of them, and
// back only when the child that it sends on is given up.

#include "control/lifecycle/internal.h"

#include <stddef.h>

// In times of quiet_ns: proof by the timer takes one, a DELETE and its retransmissions another.
#define SURPLUS_QUIET_TIMES 3

static bool newer(const struct td_life_child *a, const struct td_life_child *b)
{
	return td_life_entry_of(a)->order > td_life_entry_of(b)->order;
}

static bool descends(const struct td_life_child *child, const struct td_life_child *ancestor)
{
	const struct td_life_entry *a = td_life_entry_of(child), *b = td_life_entry_of(ancestor);

	return a->line == b->line && a->generation > b->generation;
}

// ---- what is sent on --------------------------------------------------------------------------

void td_life_up_tell(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	unsigned i;

	if (child->slot != 0 || td_life_slot_of(child)->current != child ||
	    (child->proof == TD_PROOF_EARLY && !td_life_entry_of(child)->heard))
		return;
	if (!tunnel->told_up) {
		tunnel->told_up = true;
		td_life_tell(tunnel, child, "tunnel_up", NULL);
	}
	// What the peer had no room for once it may have room for by now.
	for (i = 1; i < tunnel->config.slots; i++) {
		tunnel->slots[i].unsupported = false;
		td_life_create_later(&tunnel->slots[i]);
	}
}

static void switch_to(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_life_slot *slot = td_life_slot_of(child);

	slot->current = child;
	tunnel->life->env.dataplane.switch_out(tunnel->life->env.dataplane.context, child);
	td_life_tell(tunnel, child, "child_switched", NULL);
	td_life_up_tell(child);
}

static const char *proof_count(struct td_life_stats *stats, enum td_child_proof proof)
{
	switch (proof) {
	case TD_PROOF_ANSWER:
		stats->activated_by_answer++;
		return "answer";
	case TD_PROOF_TRAFFIC:
		stats->activated_by_traffic++;
		return "traffic";
	case TD_PROOF_DELETE:
		stats->activated_by_delete++;
		return "delete";
	case TD_PROOF_TIMER:
		stats->activated_by_timer++;
		return "timer";
	case TD_PROOF_MESSAGE:
		stats->activated_by_message++;
		return "message";
	case TD_PROOF_EARLY:
		stats->activated_early++;
		return "early";
	case TD_PROOF_NONE:
		break;
	}
	return NULL;
}

// Whether traffic may leave a child that works for this one. A successor is asked for by a peer that is
// known; who began a line of its own may have refused this end's last word of it, and its saying so may be
// lost: then only silence would speak for it.
static bool is_trusted_over(const struct td_life_child *child, const struct td_life_child *current)
{
	const struct td_life_entry *a = td_life_entry_of(child), *b = td_life_entry_of(current);

	return child->proof != TD_PROOF_TIMER || a->line == b->line || !b->heard;
}

void td_life_activate(struct td_life_child *child, enum td_child_proof proof)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_life_slot *slot = td_life_slot_of(child);

	if (child->state != TD_CHILD_PENDING)
		return;
	child->state = TD_CHILD_ACTIVE;
	child->proof = proof;
	td_life_entry_of(child)->heard = proof != TD_PROOF_TIMER && proof != TD_PROOF_EARLY;
	td_timers_cancel(td_life_timers(tunnel), &child->quiet_timer);
	td_life_tell(tunnel, child, "child_active", proof_count(&tunnel->stats, proof));
	if (slot->current == NULL || (newer(child, slot->current) && is_trusted_over(child, slot->current)))
		switch_to(child);
	if (td_life_entry_of(child)->soft_due)
		td_timers_set(td_life_timers(tunnel), &child->soft_timer, td_life_now_ns(tunnel));
	td_life_slot_review(slot);
	if (proof != TD_PROOF_ANSWER)
		tunnel->negotiator.active(tunnel->negotiator.context, child);
}

static struct td_life_child *active_newest(const struct td_life_slot *slot)
{
	struct td_life_child *child;

	for (child = slot->children; child != NULL; child = child->next)
		if (child->state == TD_CHILD_ACTIVE)
			return child;
	return NULL;
}

struct td_life_child *td_life_successor_pending(const struct td_life_child *child)
{
	struct td_life_child *other;

	for (other = td_life_slot_of(child)->children; other != NULL; other = other->next)
		if (other->state == TD_CHILD_PENDING && descends(other, child) &&
		    !td_life_entry_of(other)->unproven)
			return other;
	return NULL;
}

void td_life_replace(struct td_life_child *child, bool pending)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_life_slot *slot = td_life_slot_of(child);
	struct td_life_child *next = active_newest(slot);

	if (slot->current != child)
		return;
	if (next != NULL) {
		switch_to(next);
		return;
	}
	next = pending ? td_life_successor_pending(child) : NULL;
	slot->current = NULL;
	if (next != NULL) {
		td_life_activate(next, TD_PROOF_TIMER);
		return;
	}
	tunnel->life->env.dataplane.stop_out(tunnel->life->env.dataplane.context, child);
}

uint64_t td_life_quiet_ns(const struct td_life_slot *slot)
{
	const struct td_life_tunnel *tunnel = slot->tunnel;
	bool sending = slot->current != NULL || tunnel->slots[0].current != NULL;

	if (!sending && tunnel->config.quiet_ns > TD_LIFE_FIRST_QUIET_NS)
		return TD_LIFE_FIRST_QUIET_NS;
	return tunnel->config.quiet_ns;
}

// ---- what is surplus --------------------------------------------------------------------------

// Whether a slot does without child because of other. Within a line the negotiator deletes what a rekey has
// replaced, and the loser of two rekeys at once. What is left for here is what should be gone and is not: a
// child that an end has made another one after, because it was replaced, or because that end gave up on it or
// lost its state and began anew; and the second line when both ends began one at the same time, where the one
// with the lower SPIs goes, at both ends.
static bool surplus_beside(const struct td_life_child *child, const struct td_life_child *other)
{
	const struct td_life_entry *a = td_life_entry_of(child), *b = td_life_entry_of(other);

	if (!td_life_child_lives(child) || other->state != TD_CHILD_ACTIVE || !b->heard)
		return false;
	if (a->line != b->line)
		return a->line_initiator == b->line_initiator ? a->line < b->line : a->line_key < b->line_key;
	if (a->generation != b->generation)
		return descends(other, child);
	return child->initiator == other->initiator && newer(other, child);
}

static bool surplus(const struct td_life_child *child)
{
	const struct td_life_child *other;

	for (other = td_life_slot_of(child)->children; other != NULL; other = other->next)
		if (surplus_beside(child, other))
			return true;
	return false;
}

static void surplus_arm(struct td_life_child *child)
{
	struct td_timers *timers = td_life_timers(child->tunnel);
	struct td_life_entry *entry = td_life_entry_of(child);

	if (!surplus(child)) {
		// A successor has the time of its line until it is active.
		if (child->state == TD_CHILD_ACTIVE)
			entry->surplus_since_ns = 0;
		td_timers_cancel(timers, &entry->surplus_timer);
		return;
	}
	if (entry->surplus_since_ns == 0)
		entry->surplus_since_ns = timers->now_ns;
	if (!entry->surplus_timer.armed)
		td_timers_set(timers, &entry->surplus_timer,
		    entry->surplus_since_ns + SURPLUS_QUIET_TIMES * child->tunnel->config.quiet_ns);
}

// The peer may send on it until it hears of the DELETE: rule 3 holds for it as for any other.
void td_life_surplus_due(void *context)
{
	struct td_life_child *child = context;
	const struct td_life_negotiator *negotiator = &child->tunnel->negotiator;

	if (!surplus(child))
		return;
	td_life_child_retire(child);
	if (child->negotiator != NULL)
		negotiator->erase(negotiator->context, child);
}

bool td_life_child_has_successor(const struct td_life_child *child)
{
	const struct td_life_child *other;

	for (other = td_life_slot_of(child)->children; other != NULL; other = other->next)
		if (td_life_child_lives(other) && descends(other, child))
			return true;
	return false;
}

bool td_life_child_is_superseded(const struct td_life_child *child)
{
	return td_life_child_has_successor(child) || surplus(child);
}

// ---- a slot as a whole ------------------------------------------------------------------------

// Nothing can be sent on: what would prove itself within quiet_ns has less time to.
static void pending_hurry(struct td_life_slot *slot)
{
	struct td_timers *timers = td_life_timers(slot->tunnel);
	uint64_t soon_ns = timers->now_ns + td_life_quiet_ns(slot);
	struct td_life_child *child;

	for (child = slot->children; child != NULL; child = child->next)
		if (child->state == TD_CHILD_PENDING && child->quiet_timer.armed &&
		    child->quiet_timer.deadline_ns > soon_ns)
			td_timers_set(timers, &child->quiet_timer, soon_ns);
}

void td_life_slot_review(struct td_life_slot *slot)
{
	struct td_life_tunnel *tunnel = slot->tunnel;
	struct td_life_child *child;

	for (child = slot->children; child != NULL; child = child->next)
		surplus_arm(child);
	if (slot->current != NULL)
		return;
	if (td_life_slot_has_child(slot)) {
		pending_hurry(slot);
		return;
	}
	if (slot->number == 0 && tunnel->told_up) {
		tunnel->told_up = false;
		td_life_tell(tunnel, NULL, "tunnel_down", NULL);
	}
	td_life_create_later(slot);
}
