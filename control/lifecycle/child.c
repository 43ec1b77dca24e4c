// SPDX-License-Identifier: BSD-3-Clause

// A child after its installation, to its removal: pending, active, retired, draining, gone.

#include "control/lifecycle/internal.h"

#include <stddef.h>
#include <stdlib.h>

static void timers_cancel(struct td_life_child *child)
{
	struct td_timers *timers = td_life_timers(child->tunnel);

	td_timers_cancel(timers, &child->soft_timer);
	td_timers_cancel(timers, &child->hard_timer);
	td_timers_cancel(timers, &child->quiet_timer);
	td_timers_cancel(timers, &td_life_entry_of(child)->surplus_timer);
}

// ---- its end ----------------------------------------------------------------------------------

void td_life_child_remove(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_life_slot *slot = td_life_slot_of(child);
	struct td_life_dataplane *dataplane = &tunnel->life->env.dataplane;
	struct td_life_child **link, *other;

	timers_cancel(child);
	td_timers_cancel(td_life_timers(tunnel), &child->drain_timer);
	if (slot->current == child) {
		slot->current = NULL;
		dataplane->stop_out(dataplane->context, child);
	}
	for (link = &slot->children; *link != child; link = &(*link)->next)
		;
	*link = child->next;
	child->next = NULL;
	for (other = slot->children; other != NULL; other = other->next)
		if (other->predecessor == child)
			other->predecessor = NULL;
	child->predecessor = NULL;
	child->state = TD_CHILD_DRAINING;
	dataplane->remove(dataplane->context, child);
	child->dataplane = NULL;
	tunnel->stats.removed++;
	td_life_tell(tunnel, child, "child_removed", NULL);
	if (child->negotiator == NULL)
		free(td_life_entry_of(child));
	else
		LIST_INSERT_HEAD(&tunnel->ghosts, td_life_entry_of(child), ghost);
}

void td_life_drain_due(void *child)
{
	td_life_child_remove(child);
}

// Decrypts what is under way, but an end that was set before stays.
static void drain(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_timers *timers = td_life_timers(tunnel);
	uint64_t end_ns = timers->now_ns + tunnel->config.drain_ns;

	timers_cancel(child);
	child->state = TD_CHILD_DRAINING;
	tunnel->life->env.dataplane.drain(tunnel->life->env.dataplane.context, child);
	td_life_tell(tunnel, child, "child_draining", NULL);
	if (!child->drain_timer.armed || child->drain_timer.deadline_ns > end_ns)
		td_timers_set(timers, &child->drain_timer, end_ns);
}

// Nothing is sent on it any more: another child takes over if one can.
static void resign(struct td_life_child *child)
{
	struct td_timers *timers = td_life_timers(child->tunnel);

	if (!td_life_child_lives(child))
		return;
	child->state = TD_CHILD_RETIRED;
	td_timers_cancel(timers, &child->soft_timer);
	td_timers_cancel(timers, &child->quiet_timer);
	td_timers_cancel(timers, &td_life_entry_of(child)->surplus_timer);
	td_life_replace(child, true);
}

void td_life_child_end(struct td_life_child *child, bool erase)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_timers *timers = td_life_timers(tunnel);

	resign(child);
	timers_cancel(child);
	if (child->negotiator == NULL) {
		if (child->state != TD_CHILD_DRAINING)
			drain(child);
	} else {
		// A peer that does not answer keeps neither keys nor memory. It may have installed the child
		// later than this end, by all retransmissions of its request, and sends until its own end
		// (rule 3).
		if (!child->drain_timer.armed)
			td_timers_set(timers, &child->drain_timer,
			    timers->now_ns + tunnel->config.quiet_ns + tunnel->config.drain_ns);
		if (erase)
			tunnel->negotiator.erase(tunnel->negotiator.context, child);
	}
	td_life_rekey_review(td_life_slot_of(child));
	td_life_slot_review(td_life_slot_of(child));
}

void td_life_child_retire(struct td_life_child *child)
{
	struct td_life_slot *slot = td_life_slot_of(child);

	if (!td_life_child_lives(child))
		return;
	resign(child);
	td_life_create_after(slot, child);
	td_life_rekey_review(slot);
	td_life_slot_review(slot);
}

bool td_life_child_is_ghost(const struct td_life_child *child)
{
	const struct td_life_entry *entry;

	LIST_FOREACH (entry, &child->tunnel->ghosts, ghost)
		if (&entry->child == child)
			return true;
	return false;
}

void td_life_child_deleted(struct td_life_child *child, bool by_peer)
{
	struct td_life_slot *slot = td_life_slot_of(child);
	bool lived = td_life_child_lives(child);
	struct td_life_child *other;

	child->negotiator = NULL;
	if (td_life_child_is_ghost(child)) {
		LIST_REMOVE(td_life_entry_of(child), ghost);
		free(td_life_entry_of(child));
		return;
	}
	if (child->state == TD_CHILD_DRAINING)
		return;
	// The peer deletes what it has replaced only when it has the answer about the successor.
	for (other = slot->children; by_peer && other != NULL; other = other->next) {
		if (other->state == TD_CHILD_PENDING && other->predecessor == child &&
		    !td_life_entry_of(other)->unproven) {
			td_life_activate(other, TD_PROOF_DELETE);
			break;
		}
	}
	child->state = TD_CHILD_DRAINING;
	td_life_replace(child, false);
	drain(child);
	if (!lived)
		return;
	td_life_create_after(slot, child);
	td_life_rekey_review(slot);
	td_life_slot_review(slot);
}

void td_life_ghosts_free(struct td_life_tunnel *tunnel)
{
	struct td_life_entry *entry;

	while ((entry = LIST_FIRST(&tunnel->ghosts)) != NULL) {
		LIST_REMOVE(entry, ghost);
		free(entry);
	}
}

// ---- hard limits ------------------------------------------------------------------------------

static void expire(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_life_slot *slot = td_life_slot_of(child);
	bool current = slot->current == child;

	if (child->state == TD_CHILD_DRAINING)
		return;
	resign(child);
	if (current && slot->current == NULL) {
		tunnel->stats.expired++;
		td_life_tell(tunnel, child, "child_expired", NULL);
	}
	td_life_child_end(child, true);
}

void td_life_hard_due(void *child)
{
	expire(child);
}

void td_life_hard_limit(struct td_life_child *child)
{
	expire(child);
}

// ---- proofs -----------------------------------------------------------------------------------

void td_life_quiet_due(void *child)
{
	td_life_activate(child, TD_PROOF_TIMER);
}

// The peer is known, or known better than by a timer, to have the child.
static void heard(struct td_life_child *child, enum td_child_proof proof)
{
	if (child->state == TD_CHILD_PENDING) {
		td_life_activate(child, proof);
	} else if (child->state == TD_CHILD_ACTIVE && !td_life_entry_of(child)->heard) {
		td_life_entry_of(child)->heard = true;
		td_life_up_tell(child);
		td_life_slot_review(td_life_slot_of(child));
	}
}

void td_life_first_use(struct td_life_child *child)
{
	heard(child, TD_PROOF_TRAFFIC);
}

void td_life_child_answered(struct td_life_child *child)
{
	struct td_life_dataplane *dataplane = &child->tunnel->life->env.dataplane;
	bool news = td_life_child_lives(child) && !td_life_entry_of(child)->heard;

	heard(child, TD_PROOF_ANSWER);
	// After traffic a late answer tells nothing new, neither to this side nor, by a dummy, to the peer
	// (S2).
	if (news)
		dataplane->prove(dataplane->context, child);
}

void td_life_child_early(struct td_life_child *child)
{
	td_life_activate(child, TD_PROOF_EARLY);
}

void td_life_child_confirmed(struct td_life_child *child)
{
	heard(child, TD_PROOF_MESSAGE);
}

void td_life_child_asked_again(struct td_life_child *child)
{
	struct td_timers *timers = td_life_timers(child->tunnel);

	if (child->state == TD_CHILD_PENDING && !child->initiator && !td_life_entry_of(child)->unproven)
		td_timers_set(
		    timers, &child->quiet_timer, timers->now_ns + td_life_quiet_ns(td_life_slot_of(child)));
}
