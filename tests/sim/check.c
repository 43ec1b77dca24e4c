// SPDX-License-Identifier: BSD-3-Clause
// What must hold at every moment, at rest, and at the end.

#include "tests/sim/sim.h"

#include "control/ike/internal.h"
#include "control/lifecycle/internal.h"

#include <stdarg.h>

#define CHILDREN_MAX 12 // of a slot that are not draining

// ---- always -------------------------------------------------------------------------------------

static unsigned slot_check(struct sim_world *world, struct sim_end *end, unsigned slot)
{
	const struct td_life_child *current = td_life_tunnel_current(end->tunnel, slot);
	const struct td_life_child *child = td_life_tunnel_children(end->tunnel, slot);
	const struct sim_sa *sa = end->current[slot];
	unsigned count = 0, busy = 0;

	if ((sa ? sa->child : NULL) != current && end->node->broken != 2)
		sim_fail(world,
		    "%c: the data plane and the lifecycle send on different children of tunnel %u slot %u",
		    sim_letter(end->node), end->link->index, slot);
	for (; child; child = child->next) {
		count++;
		busy += child->state != TD_CHILD_DRAINING;
	}
	if (busy > CHILDREN_MAX)
		sim_fail(world, "%c: %u children of tunnel %u slot %u", sim_letter(end->node), busy,
		    end->link->index, slot);
	return count;
}

void sim_check(struct sim_world *world)
{
	unsigned counts[SIM_NODES_MAX] = {0};

	sim_keys_check(world);
	for (unsigned i = 0; i < world->link_count; i++) {
		for (unsigned e = 0; e < 2; e++) {
			struct sim_end *end = &world->links[i].ends[e];

			for (unsigned slot = 0; end->tunnel && slot < end->life_config.slots; slot++)
				counts[end->node->index] += slot_check(world, end, slot);
		}
	}
	for (unsigned i = 0; i < world->node_count; i++)
		if (counts[i] != world->nodes[i].installed)
			sim_fail(world, "%c: %u children, but %u in the data plane",
			    sim_letter(&world->nodes[i]), counts[i], world->nodes[i].installed);
}

// ---- at rest ------------------------------------------------------------------------------------

struct reason {
	char *text;
	size_t size;
};

static bool no(const struct reason *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool no(const struct reason *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(reason->text, reason->size, format, arguments);
	va_end(arguments);
	return false;
}

static const struct td_ike_sa *twin_of(const struct td_ike_sa *sa, const struct sim_node *node, unsigned peer)
{
	const struct td_ike_sa *other;

	TAILQ_FOREACH (other, &node->peers[peer]->sas, of_peer)
		if (other->spi_i == sa->spi_i && other->spi_r == sa->spi_r)
			return other;
	return NULL;
}

// Every IKE SA is idle and has its twin. There is one, or, after both ends have connected at once for
// different tunnels, several, each with children.
static bool sas_at_rest(const struct sim_node *node, const struct sim_node *peer, const struct reason *reason)
{
	const struct td_ike_sa *sa;
	unsigned count = 0, childless = 0;

	if (!node->peers[peer->index] || !peer->peers[node->index])
		return no(reason, "%c does not run", sim_letter(node));
	TAILQ_FOREACH (sa, &node->peers[peer->index]->sas, of_peer) {
		if (sa->state != TD_IKE_ESTABLISHED)
			return no(reason, "%c has an IKE SA that is not established", sim_letter(node));
		if (sa->exchange.answered || !TAILQ_EMPTY(&sa->tasks))
			return no(reason, "%c's IKE SA is busy", sim_letter(node));
		if (!twin_of(sa, peer, node->index))
			return no(reason, "%c has an IKE SA that %c does not have", sim_letter(node),
			    sim_letter(peer));
		childless += TAILQ_EMPTY(&sa->children);
		count++;
	}
	if (count == 0)
		return no(reason, "%c has no IKE SA", sim_letter(node));
	return count == 1 || childless == 0 || no(reason, "%c has an IKE SA for nothing", sim_letter(node));
}

// The only child of a slot that is not draining, if it is sent on.
static const struct td_life_child *only_child(
    const struct sim_end *end, unsigned slot, const struct reason *reason)
{
	const struct td_life_child *child = end->tunnel ? td_life_tunnel_children(end->tunnel, slot) : NULL,
	                           *only = NULL;

	for (; child; child = child->next) {
		if (child->state == TD_CHILD_DRAINING)
			continue;
		if (only) {
			(void)no(reason, "%c has several children of tunnel %u slot %u",
			    sim_letter(end->node), end->link->index, slot);
			return NULL;
		}
		only = child;
	}
	if (!only)
		(void)no(reason, "%c has no child of tunnel %u slot %u", sim_letter(end->node),
		    end->link->index, slot);
	else if (only->state != TD_CHILD_ACTIVE || td_life_tunnel_current(end->tunnel, slot) != only)
		(void)no(reason, "%c does not send on tunnel %u slot %u", sim_letter(end->node),
		    end->link->index, slot);
	else
		return only;
	return NULL;
}

static bool is_twin(const struct td_life_child *a, const struct td_life_child *b)
{
	return a && b && a->spi_in == b->spi_out && a->spi_out == b->spi_in;
}

// Children for single workers: as many as both ends can have, each with its twin in some slot of the other
// end.
static bool workers_at_rest(const struct sim_end *a, const struct sim_end *b, const struct reason *reason)
{
	unsigned slots_a = a->life_config.slots, slots_b = b->life_config.slots;
	unsigned wanted = (slots_a < slots_b ? slots_a : slots_b) - 1, count = 0;

	for (unsigned i = 1; i < slots_a; i++) {
		const struct td_life_child *child = only_child(a, i, reason);
		bool found = false;

		if (!child && td_life_tunnel_children(a->tunnel, i))
			for (const struct td_life_child *other = td_life_tunnel_children(a->tunnel, i); other;
			     other = other->next)
				if (other->state != TD_CHILD_DRAINING)
					return false;
		for (unsigned k = 1; child && k < slots_b; k++)
			found |= is_twin(child, only_child(b, k, reason));
		if (child && !found)
			return no(reason, "%c has a child of tunnel %u slot %u that %c does not have",
			    sim_letter(a->node), a->link->index, i, sim_letter(b->node));
		count += child != NULL;
	}
	return count == wanted ||
	       no(reason, "%c has %u of %u children for workers", sim_letter(a->node), count, wanted);
}

bool sim_at_rest(const struct sim_world *world, char *why, size_t size)
{
	struct reason reason = {why, size};

	for (unsigned i = 0; i < world->link_count; i++) {
		const struct sim_end *a = &world->links[i].ends[0], *b = &world->links[i].ends[1];
		const struct td_life_child *child_a, *child_b;

		if (!sas_at_rest(a->node, b->node, &reason) || !sas_at_rest(b->node, a->node, &reason))
			return false;
		child_a = only_child(a, 0, &reason);
		child_b = child_a ? only_child(b, 0, &reason) : NULL;
		if (!child_a || !child_b)
			return false;
		if (!is_twin(child_a, child_b))
			return no(&reason, "%c and %c have different children of tunnel %u",
			    sim_letter(a->node), sim_letter(b->node), i);
		if (child_a->rekeying || child_b->rekeying)
			return no(&reason, "tunnel %u is being rekeyed", i);
		if (!workers_at_rest(a, b, &reason) || !workers_at_rest(b, a, &reason))
			return false;
	}
	return true;
}

// ---- at the end ---------------------------------------------------------------------------------

void sim_check_stopped(struct sim_node *node)
{
	unsigned keys = sim_keys_live(node);

	if (keys)
		sim_fail(
		    node->world, "%c has stopped and left keys of %u IKE SAs behind", sim_letter(node), keys);
	if (td_timers_next_ns(&node->timers) != UINT64_MAX)
		sim_fail(node->world, "%c has stopped and left a timer behind", sim_letter(node));
	if (node->installed)
		sim_fail(node->world, "%c has stopped and left %u children in the data plane",
		    sim_letter(node), node->installed);
	for (unsigned i = 0; i < SIM_SPI_BUCKETS; i++)
		for (const struct sim_sa *sa = node->sas[i]; sa; sa = sa->next)
			if (sa->state == SIM_SA_RESERVED)
				sim_trace(
				    node->world, "%c  still reserved: SPI %x", sim_letter(node), sa->spi_in);
	if (node->reserved)
		sim_fail(node->world, "%c has stopped and left %u SPIs reserved", sim_letter(node),
		    node->reserved);
}
