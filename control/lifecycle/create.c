// SPDX-License-Identifier: BSD-3-Clause

// First children of slots: when the negotiator is asked for one. Everything that happens within a call of the
// negotiator's goes through the slot's timer, so that the negotiator is not called back from within its own
// calls.

#include "control/lifecycle/internal.h"

#include <stddef.h>

#define BACKOFF_SHIFT_MAX 6 // 64 times retry_ns
#define PERMANENT_FAILURES 3 // a failure that will happen again counts for so many

bool td_life_slot_has_child(const struct td_life_slot *slot)
{
	const struct td_life_child *child;

	for (child = slot->children; child != NULL; child = child->next)
		if (td_life_child_lives(child))
			return true;
	return false;
}

// Whether this side sees to it, without being asked by a packet, that a slot has a child. The others than
// slot 0 belong to the side that began slot 0's line: both making them would make each twice.
static bool wanted(const struct td_life_slot *slot)
{
	const struct td_life_tunnel *tunnel = slot->tunnel;
	const struct td_life_child *first = tunnel->slots[0].current;

	if (tunnel->wish == TD_WISH_NOTHING || tunnel->wish == TD_WISH_DOWN)
		return false;
	if (slot->number > 0)
		return !slot->unsupported && first != NULL && td_life_entry_of(first)->line_initiator;
	return tunnel->wish == TD_WISH_UP || tunnel->config.start == TD_START_BOOT;
}

// The next attempt has to wait: so many more failures in a row.
static void block(struct td_life_slot *slot, unsigned failures)
{
	struct td_life_tunnel *tunnel = slot->tunnel;
	unsigned shift;
	uint64_t delay_ns;

	slot->failures += failures;
	if (slot->failures > BACKOFF_SHIFT_MAX + 1)
		slot->failures = BACKOFF_SHIFT_MAX + 1;
	shift = slot->failures > 0 ? slot->failures - 1 : 0;
	delay_ns = tunnel->config.retry_ns << shift;
	slot->blocked_until_ns = td_life_now_ns(tunnel) + delay_ns - td_life_random_ns(tunnel, delay_ns / 4);
}

void td_life_create_after(struct td_life_slot *slot, const struct td_life_child *lost)
{
	if (td_life_slot_has_child(slot))
		return;
	// Peers that take a child and delete it at once get no storm of new ones.
	if (td_life_now_ns(slot->tunnel) - lost->installed_ns < slot->tunnel->config.retry_ns) {
		block(slot, 1);
	} else {
		slot->failures = 0;
		slot->blocked_until_ns = 0;
	}
}

void td_life_create_later(struct td_life_slot *slot)
{
	struct td_timers *timers = td_life_timers(slot->tunnel);
	uint64_t when_ns = slot->blocked_until_ns;

	if (!wanted(slot) || slot->creating || td_life_slot_has_child(slot))
		return;
	td_timers_set(timers, &slot->create_timer, when_ns > timers->now_ns ? when_ns : timers->now_ns);
}

// How long an answer of the negotiator's may take: it has forgotten the question then (for lack of memory),
// and is asked again.
static uint64_t patience_ns(const struct td_life_tunnel *tunnel)
{
	return 4 * tunnel->config.quiet_ns + (tunnel->config.retry_ns << BACKOFF_SHIFT_MAX);
}

void td_life_create(struct td_life_slot *slot)
{
	struct td_life_tunnel *tunnel = slot->tunnel;
	struct td_timers *timers = td_life_timers(tunnel);

	if (slot->creating || td_life_slot_has_child(slot) || timers->now_ns < slot->blocked_until_ns)
		return;
	slot->creating = true;
	td_timers_set(timers, &slot->create_timer, timers->now_ns + patience_ns(tunnel));
	if (slot->number == 0)
		td_life_tell(tunnel, NULL, "tunnel_connecting", NULL);
	tunnel->negotiator.create(tunnel->negotiator.context, tunnel, slot->number);
}

void td_life_create_due(void *context)
{
	struct td_life_slot *slot = context;

	slot->creating = false;
	if (wanted(slot))
		td_life_create(slot);
}

void td_life_create_failed(
    struct td_life_tunnel *tunnel, unsigned number, enum td_life_failure failure, const char *reason)
{
	struct td_life_slot *slot;

	if (number >= tunnel->config.slots)
		return;
	slot = &tunnel->slots[number];
	slot->creating = false;
	td_timers_cancel(td_life_timers(tunnel), &slot->create_timer);
	tunnel->stats.failed++;
	if (failure == TD_FAIL_UNSUPPORTED && number > 0)
		slot->unsupported = true;
	// Whoever made the child that is there, it serves.
	if (td_life_slot_has_child(slot))
		return;
	if (number == 0)
		td_life_tell(tunnel, NULL, "tunnel_failed", reason);
	block(slot, failure == TD_FAIL_TEMPORARY ? 1 : PERMANENT_FAILURES);
	td_life_create_later(slot);
}

void td_life_acquire(struct td_life_tunnel *tunnel)
{
	bool starts = tunnel->wish == TD_WISH_START && tunnel->config.start != TD_START_RESPOND;

	if (starts || tunnel->wish == TD_WISH_UP)
		td_life_create(&tunnel->slots[0]);
}
