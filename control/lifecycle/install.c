// SPDX-License-Identifier: BSD-3-Clause

// The beginning of a child (rule 1).

#include "control/lifecycle/internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static int offer_check(const struct td_life_offer *offer, struct td_error *error)
{
	const struct td_life_tunnel *tunnel = offer->tunnel;

	if (offer->slot >= tunnel->config.slots)
		return td_error_set(error, -EINVAL, tunnel->config.name, "slot", "does not exist");
	if (tunnel->wish == TD_WISH_DOWN)
		return td_error_set(
		    error, -EBUSY, tunnel->config.name, NULL, "was taken down by an operator");
	if (offer->predecessor != NULL &&
	    (offer->predecessor->tunnel != tunnel || offer->predecessor->slot != offer->slot))
		return td_error_set(
		    error, -EINVAL, tunnel->config.name, "predecessor", "belongs to another slot");
	return 0;
}

static struct td_life_entry *entry_create(const struct td_life_offer *offer)
{
	struct td_life_entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	entry->child = (struct td_life_child){
	    .tunnel = offer->tunnel,
	    .slot = offer->slot,
	    .spi_in = offer->spi_in,
	    .spi_out = offer->spi_out,
	    .initiator = offer->initiator,
	    .installed_ns = td_life_now_ns(offer->tunnel),
	    .predecessor = offer->predecessor,
	    .negotiator = offer->negotiator,
	    .soft_timer = {.fn = td_life_soft_due, .context = &entry->child},
	    .hard_timer = {.fn = td_life_hard_due, .context = &entry->child},
	    .quiet_timer = {.fn = td_life_quiet_due, .context = &entry->child},
	    .drain_timer = {.fn = td_life_drain_due, .context = &entry->child},
	};
	entry->surplus_timer = (struct td_timer){.fn = td_life_surplus_due, .context = &entry->child};
	entry->unproven = offer->unproven;
	entry->order = ++offer->tunnel->orders;
	entry->hard_ns = offer->tunnel->config.hard_ns != 0
	                     ? entry->child.installed_ns + offer->tunnel->config.hard_ns
	                     : UINT64_MAX;
	if (offer->predecessor != NULL) {
		const struct td_life_entry *before = td_life_entry_of(offer->predecessor);

		entry->line = before->line;
		entry->line_key = before->line_key;
		entry->surplus_since_ns = before->surplus_since_ns;
		entry->line_initiator = before->line_initiator;
		entry->generation = before->generation + 1;
		if (td_life_child_is_ghost(offer->predecessor))
			entry->child.predecessor = NULL;
	} else {
		entry->line = entry->order;
		entry->line_key = offer->initiator ? (uint64_t)offer->spi_in << 32 | offer->spi_out
		                                   : (uint64_t)offer->spi_out << 32 | offer->spi_in;
		entry->line_initiator = offer->initiator;
	}
	return entry;
}

static void timers_start(struct td_life_child *child)
{
	struct td_life_tunnel *tunnel = child->tunnel;
	struct td_timers *timers = td_life_timers(tunnel);
	uint64_t soft_ns = td_life_soft_ns(tunnel, child->initiator);

	if (soft_ns != 0)
		td_timers_set(timers, &child->soft_timer, child->installed_ns + soft_ns);
	if (td_life_hard_ns(child) != UINT64_MAX)
		td_timers_set(timers, &child->hard_timer, td_life_hard_ns(child));
	if (!child->initiator && !td_life_entry_of(child)->unproven)
		td_timers_set(timers, &child->quiet_timer,
		    child->installed_ns + td_life_quiet_ns(td_life_slot_of(child)));
}

struct td_life_child *td_life_child_install(const struct td_life_offer *offer, struct td_error *error)
{
	struct td_life_tunnel *tunnel = offer->tunnel;
	const struct td_life_dataplane *dataplane = &tunnel->life->env.dataplane;
	struct td_life_slot *slot;
	struct td_life_entry *entry;

	if (offer_check(offer, error) < 0)
		return NULL;
	entry = entry_create(offer);
	if (entry == NULL) {
		(void)td_error_set(error, -ENOMEM, tunnel->config.name, NULL, "no memory for a child");
		return NULL;
	}
	if (dataplane->install(dataplane->context, &entry->child, offer, error) < 0) {
		free(entry);
		return NULL;
	}
	slot = &tunnel->slots[offer->slot];
	entry->child.next = slot->children;
	slot->children = &entry->child;
	tunnel->stats.installed++;
	if (offer->initiator && offer->predecessor != NULL) {
		offer->predecessor->rekeying = false;
	} else if (offer->initiator) {
		slot->creating = false;
		td_timers_cancel(td_life_timers(tunnel), &slot->create_timer);
	}
	timers_start(&entry->child);
	td_life_tell(tunnel, &entry->child, "child_installed", NULL);
	td_life_slot_review(slot);
	return &entry->child;
}
