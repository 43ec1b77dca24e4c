// SPDX-License-Identifier: BSD-3-Clause
// Tunnels that come and go.
#include "control/sad/internal.h"

#include <errno.h>
#include <stdlib.h>

// A number that no tunnel has, or TD_CONFIG_TUNNELS_MAX. They are given in turn: a packet that carries the
// number of a tunnel that went, from one worker to another or waiting for an SA, meets no tunnel, and not
// another one.
static uint32_t number_fresh(const struct td_sad *sad)
{
	uint32_t number = sad->tunnel_next;

	for (uint32_t i = 0; i < TD_CONFIG_TUNNELS_MAX; i++, number = (number + 1) % TD_CONFIG_TUNNELS_MAX)
		if (!td_sad_tunnel_at(sad, number))
			return number;
	return TD_CONFIG_TUNNELS_MAX;
}

// Makes room for a number. Returns 0 or -ENOMEM.
static int number_reserve(struct td_sad *sad, uint32_t number)
{
	uint32_t end = sad->tunnel_end ? sad->tunnel_end : 16;
	struct td_sad_tunnel **tunnels;

	if (number >= TD_CONFIG_TUNNELS_MAX)
		return -ENOMEM;
	if (number < sad->tunnel_end)
		return 0;
	while (end <= number)
		end *= 2;
	tunnels = realloc(sad->tunnels, end * sizeof(struct td_sad_tunnel *));
	if (!tunnels)
		return -ENOMEM;
	for (uint32_t i = sad->tunnel_end; i < end; i++)
		tunnels[i] = NULL;
	sad->tunnels = tunnels;
	sad->tunnel_end = end;
	return 0;
}

static int dp_create(struct td_tunnel *tunnel)
{
	const struct td_tunnel_config *config = &tunnel->config;
	uint16_t tfc = config->tfc == TD_CONFIG_TFC_MTU ? TD_TFC_MTU : (uint16_t)config->tfc;

	tunnel->dp = td_dp_tunnel_create(tunnel->id);
	if (!tunnel->dp)
		return -ENOMEM;
	if (td_dp_tunnel_tfc(tunnel->dp, tfc, (uint16_t)config->dummy_rate) == 0)
		return 0;
	td_dp_tunnel_remove(tunnel->dp);
	return -ENOMEM;
}

struct td_tunnel *td_sad_tunnel_prepare(struct td_sad *sad, const struct td_tunnel_config *config)
{
	uint32_t number = number_fresh(sad);
	struct td_sad_tunnel *t = NULL;

	// Showing what comes cannot fail.
	if (number_reserve(sad, number) == 0 && td_hash_reserve(&sad->coming, 1) == 0 &&
	    td_hash_reserve(&sad->names, sad->coming.count + 1) == 0)
		t = calloc(1, sizeof(*t) + sad->worker_count * sizeof(t->slots[0]));
	if (!t)
		return NULL;
	t->tunnel.id = number;
	t->tunnel.config = *config;
	if (dp_create(&t->tunnel) < 0) {
		free(t);
		return NULL;
	}
	t->tunnel.peer_address = config->remote_address;
	t->tunnel.local_port = config->udp_local_port;
	t->tunnel.peer_port = config->udp_remote_port;
	t->loop = sad->loop;
	td_sad_keepalive_arm(t);
	t->slot_count = sad->worker_count;
	TAILQ_INIT(&t->sas);
	td_sad_tunnel_link(&sad->coming, t);
	sad->tunnels[number] = t;
	sad->tunnel_next = (number + 1) % TD_CONFIG_TUNNELS_MAX;
	return &t->tunnel;
}

struct td_tunnel *td_sad_tunnel_add(struct td_sad *sad, const struct td_tunnel_config *config)
{
	struct td_tunnel *tunnel = td_sad_tunnel_prepare(sad, config);

	if (tunnel)
		td_sad_tunnel_show(sad, tunnel);
	return tunnel;
}

int td_sad_tunnels_create(struct td_sad *sad, const struct td_config *config)
{
	if (td_sad_reserve(sad, 1, 0) || td_hash_reserve(&sad->names, config->tunnel_count + 1ul))
		return -ENOMEM;
	for (unsigned i = 0; i < config->tunnel_count; i++)
		if (!td_sad_tunnel_add(sad, &config->tunnels[i]))
			return -ENOMEM;
	return 0;
}

void td_sad_tunnel_update(struct td_tunnel *tunnel, const struct td_tunnel_config *config)
{
	tunnel->config = *config;
}

void td_sad_tunnel_leave(struct td_tunnel *tunnel, bool leave)
{
	td_sad_tunnel_of(tunnel)->leaving = leave;
}

void td_sad_tunnel_hide(struct td_tunnel *tunnel)
{
	td_sad_tunnel_unlink(td_sad_tunnel_of(tunnel));
}

void td_sad_tunnel_show(struct td_sad *sad, struct td_tunnel *tunnel)
{
	td_sad_tunnel_unlink(td_sad_tunnel_of(tunnel));
	td_sad_tunnel_link(&sad->names, td_sad_tunnel_of(tunnel));
}

void td_sad_tunnel_remove(struct td_sad *sad, struct td_tunnel *tunnel)
{
	struct td_sad_tunnel *t = td_sad_tunnel_of(tunnel);
	struct td_sad_entry *entry;

	// Every SA is named by this change: none of them takes over the slot of another.
	sad->batch++;
	TAILQ_FOREACH (entry, &t->sas, in_tunnel)
		entry->batch = sad->batch;
	while ((entry = TAILQ_FIRST(&t->sas)))
		td_sad_entry_remove(entry);
	td_loop_timer_cancel(sad->loop, &tunnel->pmtu_timer);
	td_loop_timer_cancel(sad->loop, &tunnel->keepalive_timer);
	td_sad_tunnel_unlink(t);
	sad->tunnels[tunnel->id] = NULL;
	td_dp_tunnel_remove(tunnel->dp);
	free(t);
}
