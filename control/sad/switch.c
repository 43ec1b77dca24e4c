// SPDX-License-Identifier: BSD-3-Clause
// Which outbound SA each worker of a tunnel sends on.
#include "control/sad/internal.h"

static void slot_set(struct td_sad_tunnel *tunnel, unsigned worker, struct td_sad_entry *entry)
{
	struct td_sad_entry *old = tunnel->slots[worker];

	if (old == entry)
		return;
	tunnel->slots[worker] = entry;
	if (old && --old->slot_count == 0 && old->sa.state == TD_SA_ACTIVE)
		old->sa.state = TD_SA_RETIRED;
	if (entry && entry->slot_count++ == 0 && entry->sa.state != TD_SA_EXPIRED)
		entry->sa.state = TD_SA_ACTIVE;
}

// The owner's slot first: a packet that another worker hands over then finds the same SA there, and does
// not come back.
static void slots_publish(struct td_sad_tunnel *tunnel)
{
	struct td_dp_tunnel *dp = tunnel->tunnel.dp;

	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned worker = 0; worker < tunnel->slot_count; worker++) {
			const struct td_sad_entry *slot = tunnel->slots[worker];
			struct td_sa_out *wanted = slot ? slot->sa.out : NULL;
			bool own = slot && slot->sa.owner == worker;

			if (own == (pass == 0) && td_dp_tunnel_current(dp, worker) != wanted)
				td_dp_tunnel_switch(dp, worker, wanted);
		}
}

// A worker keeps an SA of its own, unless that is what the entry replaces and the change does not name it.
static bool slot_wants(const struct td_sad_tunnel *tunnel, unsigned worker, const struct td_sad_entry *entry)
{
	const struct td_sad_entry *current = tunnel->slots[worker];

	if (!current || current->sa.owner != worker)
		return true;
	return current == entry->replaced && current->batch != entry->batch;
}

void td_sad_switch_apply(struct td_sad *sad, struct td_sad_entry **entries, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct td_sad_tunnel *tunnel = td_sad_tunnel_of(entries[i]->sa.tunnel);

		entries[i]->replaced = tunnel->slots[entries[i]->sa.owner];
		slot_set(tunnel, entries[i]->sa.owner, entries[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		struct td_sad_tunnel *tunnel = td_sad_tunnel_of(entries[i]->sa.tunnel);

		// Another SA of the same owner in this change came later and took the slot.
		if (tunnel->slots[entries[i]->sa.owner] != entries[i])
			continue;
		for (unsigned worker = 0; worker < tunnel->slot_count; worker++)
			if (worker != entries[i]->sa.owner && slot_wants(tunnel, worker, entries[i]))
				slot_set(tunnel, worker, entries[i]);
	}
	for (unsigned i = 0; i < count; i++)
		slots_publish(td_sad_tunnel_of(entries[i]->sa.tunnel));
	for (unsigned i = 0; i < count; i++) {
		entries[i]->replaced = NULL;
		if (entries[i]->slot_count)
			td_sad_tell(sad, "sa_switched", entries[i], NULL);
	}
}

static struct td_sad_entry *slot_substitute(
    const struct td_sad_tunnel *tunnel, const struct td_sad_entry *leaving)
{
	for (unsigned worker = 0; worker < tunnel->slot_count; worker++) {
		struct td_sad_entry *entry = tunnel->slots[worker];

		if (entry && entry != leaving && entry->batch != leaving->batch &&
		    entry->sa.state != TD_SA_EXPIRED)
			return entry;
	}
	return NULL;
}

void td_sad_slots_release(struct td_sad_entry *entry)
{
	struct td_sad_tunnel *tunnel = td_sad_tunnel_of(entry->sa.tunnel);

	if (!entry->slot_count)
		return;
	struct td_sad_entry *substitute = slot_substitute(tunnel, entry);
	for (unsigned worker = 0; worker < tunnel->slot_count; worker++)
		if (tunnel->slots[worker] == entry)
			slot_set(tunnel, worker, substitute);
	slots_publish(tunnel);
}
