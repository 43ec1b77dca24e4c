// SPDX-License-Identifier: BSD-3-Clause
// The data plane of a node, as far as key changes show: which SPIs decrypt with which keys, and what is sent
// on.
//
// A node can break one of the five rules of DESIGN.md section 4 on purpose, to show that the simulation
// notices.

#include "tests/sim/sim.h"

#include "common/hash.h"
#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPIS 0x4000 // few, so that the nodes sometimes choose the same ones
#define LATE_NS (30 * SIM_MS) // of a broken rule 1

static struct sim_sa **bucket(struct sim_node *node, uint32_t spi)
{
	return &node->sas[td_hash_mix(spi) % SIM_SPI_BUCKETS];
}

struct sim_sa *sim_sa_find(struct sim_node *node, uint32_t spi)
{
	struct sim_sa *sa = *bucket(node, spi);

	while (sa && sa->spi_in != spi)
		sa = sa->next;
	return sa;
}

static uint32_t spi_reserve(void *context, const struct td_life_tunnel *tunnel, unsigned slot)
{
	struct sim_node *node = context;
	struct sim_sa *sa = calloc(1, sizeof(*sa));

	if (!sa)
		return 0;
	sa->end = td_life_tunnel_user(tunnel);
	sa->slot = slot;
	sa->incarnation = node->incarnation;
	do
		sa->spi_in = node->spi_first + (uint32_t)sim_random_below(&node->random, SPIS);
	while (sim_sa_find(node, sa->spi_in));
	sa->next = *bucket(node, sa->spi_in);
	*bucket(node, sa->spi_in) = sa;
	node->reserved++;
	return sa->spi_in;
}

static bool spi_claim(void *context, const struct td_life_tunnel *tunnel, unsigned slot, uint32_t spi)
{
	struct sim_node *node = context;
	struct sim_sa *sa = sim_sa_find(node, spi) ? NULL : calloc(1, sizeof(*sa));

	if (!sa)
		return false;
	*sa = (struct sim_sa){.end = td_life_tunnel_user(tunnel),
	    .slot = slot,
	    .incarnation = node->incarnation,
	    .spi_in = spi,
	    .next = *bucket(node, spi)};
	*bucket(node, spi) = sa;
	node->reserved++;
	return true;
}

static void spi_release(void *context, uint32_t spi)
{
	struct sim_node *node = context;
	struct sim_sa *sa = sim_sa_find(node, spi);

	if (!sa || sa->state != SIM_SA_RESERVED) {
		sim_fail(node->world, "%c released SPI %x, which is not reserved", sim_letter(node), spi);
		return;
	}
	sa->state = SIM_SA_GONE;
	node->reserved--;
}

// ---- keys ---------------------------------------------------------------------------------------

static uint64_t mark_bytes(uint64_t mark, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i++)
		mark = (mark ^ bytes[i]) * 0x100000001b3ull;
	return mark;
}

static uint64_t mark_ts(uint64_t mark, const struct td_ts_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct td_ts *ts = &list->list[i];

		mark = mark_bytes(mark, &ts->protocol, sizeof(ts->protocol));
		mark = mark_bytes(mark, &ts->port_low, sizeof(ts->port_low));
		mark = mark_bytes(mark, &ts->port_high, sizeof(ts->port_high));
		mark = mark_bytes(mark, ts->low.bytes, sizeof(ts->low.bytes));
		mark = mark_bytes(mark, ts->high.bytes, sizeof(ts->high.bytes));
	}
	return mark;
}

// Both ends come to the same number if they agree about all that a packet needs.
static uint64_t mark(const struct td_life_offer *offer, const struct td_secret *key,
    const struct td_ts_list *from, const struct td_ts_list *to)
{
	uint64_t value = mark_bytes(0xcbf29ce484222325ull, key->bytes, key->length);
	uint8_t flags = (uint8_t)(offer->esn | offer->mode << 1 | (offer->path.remote_port != 0) << 2);

	value = mark_bytes(value, offer->suite, strlen(offer->suite));
	value = mark_bytes(value, &flags, 1);
	value = mark_ts(value, from);
	return mark_ts(value, to);
}

// ---- what the lifecycle asks ----------------------------------------------------------------------

static int install(
    void *context, struct td_life_child *child, const struct td_life_offer *offer, struct td_error *error)
{
	struct sim_node *node = context;
	struct sim_sa *sa = sim_sa_find(node, offer->spi_in);

	if (!sa || sa->state != SIM_SA_RESERVED || sa->incarnation != node->incarnation ||
	    sa->end->tunnel != offer->tunnel) {
		sim_fail(node->world, "%c installed SPI %x, which is not reserved", sim_letter(node),
		    offer->spi_in);
		return -EINVAL;
	}
	if (node->refusals > 0) {
		node->refusals--;
		sa->excuse = SIM_EXCUSE_REFUSED;
		return td_error_set(error, -ENOSPC, NULL, NULL, "there is no room for the SAs");
	}
	if (offer->key_in->length == 0 || td_secret_equal(offer->key_in, offer->key_out))
		sim_fail(node->world, "%c: the keys of SPI %x are bad", sim_letter(node), offer->spi_in);
	if (offer->path.remote_port != 0 && offer->path.local_port != TD_IKE_NATT_PORT)
		sim_fail(node->world, "%c: ESP in UDP of SPI %x is sent from port %u", sim_letter(node),
		    offer->spi_in, offer->path.local_port);
	sa->state = SIM_SA_INSTALLED;
	sa->slot = offer->slot;
	sa->spi_out = offer->spi_out;
	sa->child = child;
	sa->initiator = offer->initiator;
	sa->mark_in = mark(offer, offer->key_in, offer->ts_remote, offer->ts_local);
	sa->mark_out = mark(offer, offer->key_out, offer->ts_local, offer->ts_remote);
	sa->installed_ns = node->world->now_ns;
	sa->works_from_ns = node->world->now_ns + (node->broken == 1 ? LATE_NS : 0);
	child->dataplane = sa;
	node->reserved--;
	node->installed++;
	if (node->broken == 2 && !offer->initiator) {
		sa->end->current[sa->slot] = sa;
		sim_held_release(sa->end, sa->slot);
	}
	if (node->broken == 5) {
		struct td_ike_nonce *lowest = &((struct td_ike_child *)offer->negotiator)->lowest;

		for (unsigned i = 0; i < lowest->length; i++)
			lowest->data[i] ^= 0xff;
	}
	return 0;
}

static struct sim_sa *sa_of(struct sim_node *node, const struct td_life_child *child, const char *what)
{
	struct sim_sa *sa = child->dataplane;

	if (!sa || sa->state != SIM_SA_INSTALLED || sa->child != child)
		sim_fail(node->world, "%c: %s on a child that is not installed (SPI %x)", sim_letter(node),
		    what, child->spi_in);
	return sa;
}

static void switch_out(void *context, struct td_life_child *child)
{
	struct sim_node *node = context;
	struct sim_sa *sa = sa_of(node, child, "switch_out"), *old;

	if (!sa)
		return;
	if (child->state != TD_CHILD_ACTIVE)
		sim_fail(node->world, "%c sends on a child that is not active (SPI %x)", sim_letter(node),
		    child->spi_out);
	if (sa->slot == 0)
		sa->end->last = sa;
	old = sa->end->current[sa->slot];
	sa->end->current[sa->slot] = sa;
	if (node->broken == 3 && old && old != sa)
		old->works_from_ns = UINT64_MAX;
	sim_held_release(sa->end, sa->slot);
}

static void stop_out(void *context, struct td_life_child *child)
{
	struct sim_node *node = context;
	struct sim_sa *sa = sa_of(node, child, "stop_out");

	if (sa && sa->end->current[sa->slot] == sa)
		sa->end->current[sa->slot] = NULL;
}

static void prove(void *context, struct td_life_child *child)
{
	struct sim_sa *sa = sa_of(context, child, "prove");

	if (sa)
		sim_packet_seal(sa->end, sa, true);
}

static void drain(void *context, struct td_life_child *child)
{
	(void)sa_of(context, child, "drain");
}

static void remove_child(void *context, struct td_life_child *child)
{
	struct sim_node *node = context;
	struct sim_sa *sa = sa_of(node, child, "remove");

	if (!sa)
		return;
	if (sa->end->current[sa->slot] == sa) {
		if (node->broken != 2)
			sim_fail(node->world, "%c removed a child that it sends on (SPI %x)",
			    sim_letter(node), sa->spi_in);
		sa->end->current[sa->slot] = NULL;
	}
	sa->state = SIM_SA_GONE;
	sa->child = NULL;
	node->installed--;
}

struct td_life_dataplane sim_model(struct sim_node *node)
{
	return (struct td_life_dataplane){
	    .context = node,
	    .spi_reserve = spi_reserve,
	    .spi_release = spi_release,
	    .spi_claim = spi_claim,
	    .install = install,
	    .switch_out = switch_out,
	    .stop_out = stop_out,
	    .prove = prove,
	    .drain = drain,
	    .remove = remove_child,
	};
}

// ---- excuses --------------------------------------------------------------------------------------

static void excuse(struct sim_sa *sa, enum sim_excuse why)
{
	if (sa->state != SIM_SA_GONE && sa->excuse == SIM_EXCUSE_NONE)
		sa->excuse = why;
}

void sim_sas_excuse_all(struct sim_node *node, enum sim_excuse why)
{
	for (unsigned i = 0; i < SIM_SPI_BUCKETS; i++)
		for (struct sim_sa *sa = node->sas[i]; sa; sa = sa->next)
			excuse(sa, why);
}

void sim_sas_excuse_end(struct sim_end *end, enum sim_excuse why)
{
	for (unsigned i = 0; i < SIM_SPI_BUCKETS; i++)
		for (struct sim_sa *sa = end->node->sas[i]; sa; sa = sa->next)
			if (sa->end == end)
				excuse(sa, why);
}

void sim_sas_excuse_dead(struct sim_node *node, const struct td_ike_sa *ike)
{
	const struct td_ike_child *child;
	struct sim_sa *sa;

	TAILQ_FOREACH (child, &ike->children, of_sa)
		if ((sa = sim_sa_find(node, child->spi_in)))
			excuse(sa, SIM_EXCUSE_DEAD);
	if (ike->exchange.negotiation.spi && (sa = sim_sa_find(node, ike->exchange.negotiation.spi)))
		excuse(sa, SIM_EXCUSE_DEAD);
}

void sim_sas_free(struct sim_node *node)
{
	for (unsigned i = 0; i < SIM_SPI_BUCKETS; i++) {
		struct sim_sa *sa;

		while ((sa = node->sas[i])) {
			node->sas[i] = sa->next;
			free(sa);
		}
	}
}
