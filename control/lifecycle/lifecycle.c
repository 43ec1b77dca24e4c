// SPDX-License-Identifier: BSD-3-Clause

// Tunnels: what is wanted of them, and looking in.

#include "control/lifecycle/internal.h"

#include <stddef.h>
#include <stdlib.h>

uint64_t td_life_random_ns(struct td_life_tunnel *tunnel, uint64_t most_ns)
{
	const struct td_life_env *env = &tunnel->life->env;
	uint64_t random;

	env->random(env->random_context, &random, sizeof(random));
	return most_ns == UINT64_MAX ? random : random % (most_ns + 1);
}

void td_life_tell(
    struct td_life_tunnel *tunnel, const struct td_life_child *child, const char *kind, const char *reason)
{
	const struct td_life_env *env = &tunnel->life->env;

	if (env->event != NULL)
		env->event(env->event_context, kind, tunnel, child, reason);
}

// ---- all of it --------------------------------------------------------------------------------

struct td_lifecycle *td_lifecycle_create(const struct td_life_env *env)
{
	struct td_lifecycle *life = calloc(1, sizeof(*life));

	if (life == NULL)
		return NULL;
	life->env = *env;
	LIST_INIT(&life->tunnels);
	return life;
}

void td_lifecycle_destroy(struct td_lifecycle *life)
{
	struct td_life_tunnel *tunnel;

	if (life == NULL)
		return;
	life->env.event = NULL;
	while ((tunnel = LIST_FIRST(&life->tunnels)) != NULL)
		td_life_tunnel_remove(tunnel);
	free(life);
}

struct td_life_tunnel *td_life_tunnel_add(struct td_lifecycle *life, const struct td_life_config *config,
    const struct td_life_negotiator *negotiator, void *user)
{
	struct td_life_tunnel *tunnel = calloc(1, sizeof(*tunnel) + config->slots * sizeof(tunnel->slots[0]));
	unsigned i;

	if (tunnel == NULL)
		return NULL;
	tunnel->life = life;
	tunnel->config = *config;
	tunnel->negotiator = *negotiator;
	tunnel->user = user;
	LIST_INIT(&tunnel->ghosts);
	for (i = 0; i < config->slots; i++) {
		struct td_life_slot *slot = &tunnel->slots[i];

		slot->tunnel = tunnel;
		slot->number = i;
		slot->create_timer = (struct td_timer){.fn = td_life_create_due, .context = slot};
	}
	LIST_INSERT_HEAD(&life->tunnels, tunnel, all);
	return tunnel;
}

void td_life_tunnel_remove(struct td_life_tunnel *tunnel)
{
	unsigned i;

	for (i = 0; i < tunnel->config.slots; i++) {
		struct td_life_slot *slot = &tunnel->slots[i];

		td_timers_cancel(td_life_timers(tunnel), &slot->create_timer);
		while (slot->children != NULL)
			td_life_child_remove(slot->children);
	}
	td_life_ghosts_free(tunnel);
	LIST_REMOVE(tunnel, all);
	free(tunnel);
}

// ---- what is wanted ---------------------------------------------------------------------------

void td_life_tunnel_start(struct td_life_tunnel *tunnel)
{
	if (tunnel->wish != TD_WISH_NOTHING)
		return;
	tunnel->wish = TD_WISH_START;
	if (tunnel->config.start == TD_START_BOOT)
		td_life_create(&tunnel->slots[0]);
}

void td_life_tunnel_up(struct td_life_tunnel *tunnel)
{
	unsigned i;

	tunnel->wish = TD_WISH_UP;
	// An operator has seen to what was wrong.
	for (i = 0; i < tunnel->config.slots; i++) {
		tunnel->slots[i].unsupported = false;
		tunnel->slots[i].failures = 0;
		tunnel->slots[i].blocked_until_ns = 0;
	}
	td_life_create(&tunnel->slots[0]);
	for (i = 1; i < tunnel->config.slots; i++)
		td_life_create_later(&tunnel->slots[i]);
}

// Without a successor, which the other children would be to each other while they go one by one.
static void slot_stop(struct td_life_slot *slot)
{
	const struct td_life_dataplane *dataplane = &slot->tunnel->life->env.dataplane;
	struct td_life_child *current = slot->current;

	if (current == NULL)
		return;
	slot->current = NULL;
	dataplane->stop_out(dataplane->context, current);
}

void td_life_tunnel_down(struct td_life_tunnel *tunnel)
{
	struct td_life_child *child;
	unsigned i;

	tunnel->wish = TD_WISH_DOWN;
	for (i = 0; i < tunnel->config.slots; i++) {
		struct td_life_slot *slot = &tunnel->slots[i];

		slot->creating = false;
		td_timers_cancel(td_life_timers(tunnel), &slot->create_timer);
		slot_stop(slot);
		for (child = slot->children; child != NULL; child = child->next)
			if (child->state != TD_CHILD_DRAINING)
				td_life_child_end(child, false);
	}
	tunnel->negotiator.down(tunnel->negotiator.context, tunnel);
}

void td_life_tunnel_update(struct td_life_tunnel *tunnel, const struct td_life_config *config)
{
	unsigned i;

	tunnel->config = *config;
	for (i = 0; i < tunnel->config.slots; i++)
		td_life_create_later(&tunnel->slots[i]);
}

bool td_life_tunnel_is_idle(const struct td_life_tunnel *tunnel)
{
	unsigned i;

	for (i = 0; i < tunnel->config.slots; i++)
		if (tunnel->slots[i].children != NULL)
			return false;
	return true;
}

unsigned td_life_tunnel_rekey(struct td_life_tunnel *tunnel)
{
	unsigned i, started = 0;

	for (i = 0; i < tunnel->config.slots; i++) {
		struct td_life_child *current = tunnel->slots[i].current;

		if (current != NULL && td_life_child_rekey(current))
			started++;
	}
	return started;
}

// ---- looking in -------------------------------------------------------------------------------

void *td_life_tunnel_user(const struct td_life_tunnel *tunnel)
{
	return tunnel->user;
}

const struct td_life_config *td_life_tunnel_config(const struct td_life_tunnel *tunnel)
{
	return &tunnel->config;
}

bool td_life_tunnel_is_up(const struct td_life_tunnel *tunnel)
{
	return tunnel->slots[0].current != NULL;
}

struct td_life_child *td_life_tunnel_current(const struct td_life_tunnel *tunnel, unsigned slot)
{
	return slot < tunnel->config.slots ? tunnel->slots[slot].current : NULL;
}

struct td_life_child *td_life_tunnel_children(const struct td_life_tunnel *tunnel, unsigned slot)
{
	return slot < tunnel->config.slots ? tunnel->slots[slot].children : NULL;
}

const struct td_life_stats *td_life_tunnel_stats(const struct td_life_tunnel *tunnel)
{
	return &tunnel->stats;
}

// ---- SPIs -------------------------------------------------------------------------------------

uint32_t td_life_spi_reserve(struct td_life_tunnel *tunnel, unsigned slot)
{
	const struct td_life_dataplane *dataplane = &tunnel->life->env.dataplane;

	return slot < tunnel->config.slots ? dataplane->spi_reserve(dataplane->context, tunnel, slot) : 0;
}

bool td_life_spi_claim(struct td_life_tunnel *tunnel, unsigned slot, uint32_t spi)
{
	const struct td_life_dataplane *dataplane = &tunnel->life->env.dataplane;

	return dataplane->spi_claim != NULL && dataplane->spi_claim(dataplane->context, tunnel, slot, spi);
}

void td_life_spi_release(struct td_life_tunnel *tunnel, uint32_t spi)
{
	const struct td_life_dataplane *dataplane = &tunnel->life->env.dataplane;

	dataplane->spi_release(dataplane->context, spi);
}
