// SPDX-License-Identifier: BSD-3-Clause
// Packets: every one that is sealed must arrive at an SA that opens it. The network between the data planes
// delays and reorders them, by less than the drain time, and loses none unless a partition says so.

#include "tests/sim/sim.h"

#include <stdlib.h>

#define EVENT_DELAY_MAX_NS (1 * SIM_MS) // from a worker to the control thread
#define FORGED_PERCENT 2

static void parcel_due(void *context);

static struct sim_parcel *parcel_create(struct sim_end *from, enum sim_parcel_kind kind)
{
	struct sim_world *world = from->node->world;
	struct sim_parcel *parcel = LIST_FIRST(&world->free_parcels);

	if (parcel)
		LIST_REMOVE(parcel, all);
	else if (!(parcel = malloc(sizeof(*parcel))))
		abort();
	*parcel = (struct sim_parcel){
	    .timer = {.fn = parcel_due, .context = parcel},
	    .kind = kind,
	    .from = from,
	    .incarnation = from->node->incarnation,
	    .sent_ns = world->now_ns,
	};
	LIST_INSERT_HEAD(&world->parcels, parcel, all);
	return parcel;
}

static void parcel_send(struct sim_parcel *parcel, uint64_t delay_ns)
{
	struct sim_world *world = parcel->from->node->world;

	td_timers_set(&world->timers, &parcel->timer, world->now_ns + delay_ns);
}

static void parcel_free(struct sim_parcel *parcel)
{
	struct sim_world *world = parcel->from->node->world;

	LIST_REMOVE(parcel, all);
	LIST_INSERT_HEAD(&world->free_parcels, parcel, all);
}

static struct sim_parcel *event_raise(struct sim_end *end, enum sim_parcel_kind kind, struct sim_sa *sa)
{
	struct sim_world *world = end->node->world;
	struct sim_parcel *event = parcel_create(end, kind);

	event->sa = sa;
	parcel_send(event, sim_random_below(&world->random, EVENT_DELAY_MAX_NS));
	return event;
}

// ---- sending ------------------------------------------------------------------------------------

static uint64_t data_delay(struct sim_world *world)
{
	return sim_random_between(&world->random, world->data_delay_min_ns, world->data_delay_max_ns);
}

// Rule 4: nothing is sent behind a hard limit.
static void hard_check(const struct sim_end *end, const struct sim_sa *sa)
{
	const struct td_life_config *config = &end->life_config;
	const struct sim_node *node = end->node;
	uint64_t age_ns = sim_local_ns(node, node->world->now_ns) - sim_local_ns(node, sa->installed_ns);

	if ((config->hard_ns && age_ns > config->hard_ns) ||
	    (config->limits.hard_packets && sa->packets_out >= config->limits.hard_packets))
		sim_fail(node->world, "%c sends behind a hard limit of SPI %x of tunnel %u", sim_letter(node),
		    sa->spi_out, end->link->index);
}

void sim_packet_seal(struct sim_end *end, struct sim_sa *sa, bool dummy)
{
	struct sim_world *world = end->node->world;
	const struct td_sa_limits *limits = &end->life_config.limits;
	struct sim_parcel *packet;

	if (!dummy)
		hard_check(end, sa);
	sa->packets_out++;
	if (!dummy)
		end->stats.sent++;
	if (limits->soft_packets && sa->packets_out >= limits->soft_packets && !sa->soft_told) {
		sa->soft_told = true;
		(void)event_raise(end, SIM_SOFT_LIMIT, sa);
	}
	if (world->cut_data && world->cut_until_ns[end->node->index][end->other->node->index] > world->now_ns)
		return;
	packet = parcel_create(end, SIM_PACKET);
	packet->sa = sa;
	packet->spi = sa->spi_out;
	packet->mark = sa->mark_out;
	packet->early = sa->early;
	parcel_send(packet, data_delay(world));
}

void sim_packet_forge(struct sim_end *end, uint32_t spi)
{
	struct sim_parcel *packet = parcel_create(end, SIM_PACKET);

	packet->spi = spi;
	packet->mark = 1;
	parcel_send(packet, data_delay(end->node->world));
}

static void held_age(struct sim_end *end, unsigned slot)
{
	uint64_t now = end->node->world->now_ns;

	if (end->held[slot] > 0 && now - end->held_since_ns[slot] > TD_ACQUIRE_HOLD_MS * SIM_MS) {
		end->stats.dropped_held += end->held[slot];
		end->held[slot] = 0;
	}
}

// What was sent on last was made in good weather, at both ends.
static bool should_flow(const struct sim_end *end)
{
	const struct sim_world *world = end->node->world;
	const struct sim_sa *last = end->last,
	                    *twin = last ? sim_sa_find(end->other->node, last->spi_out) : NULL;

	return !world->faulty && end->was_up && twin && last->installed_ns >= world->healed_ns &&
	       twin->installed_ns >= world->healed_ns;
}

static void hold(struct sim_end *end, unsigned slot)
{
	struct sim_world *world = end->node->world;

	end->stats.held++;
	if (should_flow(end))
		sim_fail(world, "%c has nothing to send on for tunnel %u slot %u, though nothing was wrong",
		    sim_letter(end->node), end->link->index, slot);
	held_age(end, slot);
	if (end->held[slot] == SIM_HELD_MAX)
		end->stats.dropped_held++;
	else if (end->held[slot]++ == 0)
		end->held_since_ns[slot] = world->now_ns;
	if (!end->acquire_waits) {
		end->acquire_waits = true;
		(void)event_raise(end, SIM_ACQUIRE, NULL);
	}
}

// What a packet of a slot is sealed by: a slot without an SA uses that for all workers (RFC 9611).
static struct sim_sa *outbound(struct sim_end *end, unsigned slot)
{
	struct sim_sa *sa = end->current[slot] ? end->current[slot] : end->current[0];
	uint64_t hard = end->life_config.limits.hard_packets;

	if (!sa || hard == 0 || sa->packets_out < hard || end->node->broken == SIM_BREAK_HARD)
		return sa;
	if (!sa->hard_told) {
		sa->hard_told = true;
		(void)event_raise(end, SIM_HARD_LIMIT, sa);
	}
	return NULL;
}

void sim_packet_offer(struct sim_end *end, unsigned slot)
{
	struct sim_sa *sa = outbound(end, slot);

	end->node->world->packets++;
	if (sa)
		sim_packet_seal(end, sa, false);
	else
		hold(end, slot);
}

void sim_held_release(struct sim_end *end, unsigned slot)
{
	for (unsigned s = slot; s < SIM_SLOTS_MAX; s++) {
		struct sim_sa *sa;

		held_age(end, s);
		while (end->held[s] > 0 && (sa = outbound(end, s))) {
			end->held[s]--;
			sim_packet_seal(end, sa, false);
		}
		if (slot != 0)
			return;
	}
}

// ---- receiving ----------------------------------------------------------------------------------

static void lost(const struct sim_parcel *packet, const struct sim_sa *sa)
{
	struct sim_end *from = packet->from, *to = from->other;
	struct sim_world *world = from->node->world;
	enum sim_excuse excuse = sa ? sa->excuse : SIM_EXCUSE_NONE;

	if (excuse == SIM_EXCUSE_NONE && (!sa || !sa->child))
		excuse = packet->early;
	const char *why = !sa                               ? "does not know"
	                  : sa->state == SIM_SA_GONE        ? "has removed"
	                  : sa->state == SIM_SA_RESERVED    ? "has not installed"
	                  : sa->works_from_ns == UINT64_MAX ? "stopped too early to decrypt on"
	                                                    : "does not decrypt yet on";

	sim_trace(world, "%c  packet lost: it %s SPI %x%s", sim_letter(to->node), why, packet->spi,
	    excuse ? " (excused)" : "");
	if (excuse != SIM_EXCUSE_NONE) {
		from->stats.excused[excuse]++;
		return;
	}
	from->stats.lost++;
	sim_fail(world, "a packet of %c was lost: %c %s SPI %x of tunnel %u (sent at %.6f)",
	    sim_letter(from->node), sim_letter(to->node), why, packet->spi, from->link->index,
	    (double)packet->sent_ns / 1e9);
}

static void packet_received(struct sim_parcel *packet)
{
	struct sim_end *from = packet->from, *to = from->other;
	struct sim_world *world = from->node->world;
	struct sim_sa *sa = sim_sa_find(to->node, packet->spi);

	if (!sa || sa->state != SIM_SA_INSTALLED || world->now_ns < sa->works_from_ns ||
	    sa->works_from_ns == UINT64_MAX) {
		if (packet->sa)
			lost(packet, sa);
		else
			from->stats.forged++;
		// A packet of an SPI that is no longer there is late, one of an unknown SPI a hint.
		if ((!sa || sa->incarnation != to->node->incarnation) &&
		    world->now_ns >= to->unknown_spi_ns) {
			to->unknown_spi_ns = world->now_ns + SIM_S / TD_UNKNOWN_SPI_EVENTS_PER_S;
			event_raise(to, SIM_UNKNOWN_SPI, NULL)->spi = packet->spi;
		}
		return;
	}
	if (!packet->sa) {
		from->stats.forged++;
		return;
	}
	if (packet->mark != sa->mark_in || sa->end != to) {
		sim_fail(world, "%c and %c do not agree about SPI %x", sim_letter(from->node),
		    sim_letter(to->node), packet->spi);
		return;
	}
	from->stats.received++;
	if (!sa->used) {
		sa->used = true;
		(void)event_raise(to, SIM_FIRST_USE, sa);
	}
}

static void event_handle(struct sim_parcel *event)
{
	struct sim_end *end = event->from;
	struct sim_sa *sa = event->sa;
	bool lives = sa && sa->state == SIM_SA_INSTALLED;

	if (event->kind == SIM_ACQUIRE)
		end->acquire_waits = false;
	if (event->incarnation != end->node->incarnation || !end->tunnel)
		return;
	switch (event->kind) {
	case SIM_FIRST_USE:
		if (lives)
			td_life_first_use(sa->child);
		break;
	case SIM_SOFT_LIMIT:
		if (lives)
			td_life_soft_limit(sa->child);
		break;
	case SIM_HARD_LIMIT:
		if (lives)
			td_life_hard_limit(sa->child);
		break;
	case SIM_ACQUIRE:
		td_life_acquire(end->tunnel);
		break;
	case SIM_UNKNOWN_SPI:
		td_ike_unknown_spi(end->node->ike, &end->node->ip, &end->other->node->ip, event->spi);
		break;
	case SIM_PACKET:
		break;
	}
}

static void parcel_due(void *context)
{
	struct sim_parcel *parcel = context;

	if (parcel->kind == SIM_PACKET)
		packet_received(parcel);
	else
		event_handle(parcel);
	parcel_free(parcel);
}

// ---- generators ---------------------------------------------------------------------------------

static void traffic_due(void *context)
{
	struct sim_end *end = context;
	struct sim_world *world = end->node->world;
	uint64_t interval = world->traffic_ns[end->link->index];

	if (!world->traffic_on)
		return;
	td_timers_set(&world->timers, &end->traffic,
	    world->now_ns + interval / 2 + sim_random_below(&world->random, interval));
	if (!end->tunnel)
		return;
	if (!end->down)
		sim_packet_offer(end, (unsigned)sim_random_below(&world->random, end->life_config.slots));
	if (sim_random_chance(&world->random, FORGED_PERCENT)) {
		const struct sim_sa *sa = end->current[0];

		sim_packet_forge(end, sa && sim_random_chance(&world->random, 80)
		                          ? sa->spi_out
		                          : (uint32_t)sim_random_u64(&world->random));
	}
}

void sim_traffic_start(struct sim_world *world)
{
	world->traffic_on = true;
	for (unsigned i = 0; i < world->link_count; i++) {
		for (unsigned e = 0; e < 2; e++) {
			struct sim_end *end = &world->links[i].ends[e];

			end->traffic.fn = traffic_due;
			end->traffic.context = end;
			td_timers_set(&world->timers, &end->traffic,
			    world->now_ns + sim_random_below(&world->random, world->traffic_ns[i]));
		}
	}
}

void sim_traffic_stop(struct sim_world *world)
{
	world->traffic_on = false;
}

void sim_traffic_free(struct sim_world *world)
{
	struct sim_parcel *parcel;

	while ((parcel = LIST_FIRST(&world->parcels)) || (parcel = LIST_FIRST(&world->free_parcels))) {
		td_timers_cancel(&world->timers, &parcel->timer);
		LIST_REMOVE(parcel, all);
		free(parcel);
	}
}
