// SPDX-License-Identifier: BSD-3-Clause

// When the negotiator is asked for the successor of a child.

#include "common/clock.h"
#include "control/lifecycle/internal.h"

#include <stddef.h>

#define BACKOFF_SHIFT_MAX 6 // 64 times retry_ns
// Shares of the time that is left until the hard limit, after which a failed rekey is tried again.
#define AGAIN_SHARE 8
#define AGAIN_SHARE_PERMANENT 3

uint64_t td_life_hard_ns(const struct td_life_child *child)
{
	return td_life_entry_of(child)->hard_ns;
}

// The end that made a child rekeys it first, in the tenth of soft_ns before it; the other one in the tenth
// behind, if that has not happened by then: both at once is rare. Where soft_ns is too near to the hard
// limit, the other end's part is half of what is between them.
uint64_t td_life_soft_ns(struct td_life_tunnel *tunnel, bool initiator)
{
	const struct td_life_config *config = &tunnel->config;
	uint64_t soft_ns = config->soft_ns, spread_ns;

	if (soft_ns == 0)
		return 0;
	if (config->hard_ns != 0 && soft_ns >= config->hard_ns)
		soft_ns = config->hard_ns - config->hard_ns / 10;
	spread_ns = soft_ns / 10;
	if (initiator)
		return soft_ns - td_life_random_ns(tunnel, spread_ns);
	if (config->hard_ns != 0 && spread_ns > (config->hard_ns - soft_ns) / 2)
		spread_ns = (config->hard_ns - soft_ns) / 2;
	return soft_ns + spread_ns - td_life_random_ns(tunnel, spread_ns);
}

// A pending child is not rekeyed: the peer may not have it.
bool td_life_child_rekey(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;

	td_life_entry_of(child)->soft_due = true;
	if (child->state != TD_CHILD_ACTIVE || child->rekeying || child->negotiator == NULL ||
	    td_life_child_is_superseded(child))
		return false;
	child->rekeying = true;
	td_timers_cancel(td_life_timers(tunnel), &child->soft_timer);
	td_life_tell(tunnel, child, "child_rekeying", NULL);
	tunnel->negotiator.rekey(tunnel->negotiator.context, child, td_life_hard_ns(child));
	return true;
}

void td_life_soft_due(void *child)
{
	(void)td_life_child_rekey(child);
}

void td_life_soft_limit(struct td_life_child *child)
{
	(void)td_life_child_rekey(child);
}

// A rekey came to nothing: another try, as long as there is time.
static void rekey_later(struct td_life_child *child, enum td_life_failure failure)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_timers *timers = td_life_timers(tunnel);
	unsigned share = failure == TD_FAIL_TEMPORARY ? AGAIN_SHARE : AGAIN_SHARE_PERMANENT;
	unsigned shift = td_life_entry_of(child)->rekey_failures;
	uint64_t end_ns = td_life_hard_ns(child), delay_ns;

	if (failure != TD_FAIL_TEMPORARY || shift > BACKOFF_SHIFT_MAX)
		shift = BACKOFF_SHIFT_MAX;
	delay_ns = tunnel->config.retry_ns << shift;
	if (end_ns != UINT64_MAX) {
		if (end_ns <= timers->now_ns)
			return;
		if (delay_ns > (end_ns - timers->now_ns) / share)
			delay_ns = (end_ns - timers->now_ns) / share;
		if (delay_ns < TD_NS_PER_MS)
			return;
	}
	delay_ns -= td_life_random_ns(tunnel, delay_ns / 4);
	td_timers_set(timers, &child->soft_timer, timers->now_ns + delay_ns);
}

void td_life_rekey_review(struct td_life_slot *slot)
{
	struct td_life_child *child;

	for (child = slot->children; child != NULL; child = child->next)
		if (child->state == TD_CHILD_ACTIVE && td_life_entry_of(child)->soft_due &&
		    !child->rekeying && !child->soft_timer.armed && !td_life_child_is_superseded(child))
			rekey_later(child, TD_FAIL_TEMPORARY);
}

void td_life_rekey_moot(struct td_life_child *child)
{
	child->rekeying = false;
	td_life_rekey_review(td_life_slot_of(child));
}

void td_life_rekey_failed(struct td_life_child *child, enum td_life_failure failure, const char *reason)
{
	struct td_life_entry *entry = td_life_entry_of(child);

	child->rekeying = false;
	child->tunnel->stats.failed++;
	td_life_tell(child->tunnel, child, "tunnel_failed", reason);
	if (child->state != TD_CHILD_ACTIVE)
		return;
	if (failure == TD_FAIL_UNSUPPORTED && child->slot > 0)
		td_life_slot_of(child)->unsupported = true;
	rekey_later(child, failure);
	entry->rekey_failures++;
}
