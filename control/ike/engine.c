// SPDX-License-Identifier: BSD-3-Clause
// The engine: peers and their tunnels.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- peers and tunnels --------------------------------------------------------------------------

struct td_ike *td_ike_create(const struct td_ike_env *env)
{
	struct td_ike *ike = calloc(1, sizeof(*ike));

	if (!ike)
		return NULL;
	ike->env = *env;
	td_ike_negotiator_init(ike);
	env->random(env->context, ike->cookie_secret, sizeof(ike->cookie_secret));
	env->random(env->context, &ike->incarnation, sizeof(ike->incarnation));
	return ike;
}

const struct td_life_negotiator *td_ike_negotiator(struct td_ike *ike)
{
	return &ike->negotiator;
}

// ---- peers --------------------------------------------------------------------------------------

struct td_ike_peer *td_ike_peer_add(struct td_ike *ike, const struct td_ike_peer_config *config)
{
	struct td_ike_peer *peer;

	// Room for an SA of each: large tables grow now, and not while all peers connect at once.
	if (td_hash_reserve(&ike->by_spi, ike->peer_count + 1) < 0 ||
	    td_hash_reserve(&ike->by_path, ike->peer_count + 1) < 0 ||
	    td_hash_reserve(&ike->identities, 1) < 0)
		return NULL;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->ike = ike;
	peer->config = *config;
	if (td_ike_place_enter(peer) < 0) {
		free(peer);
		return NULL;
	}
	TAILQ_INIT(&peer->tunnels);
	TAILQ_INIT(&peer->sas);
	TAILQ_INIT(&peer->waiting);
	peer->start_timer = (struct td_timer){.fn = td_ike_start_due, .context = peer};
	LIST_INSERT_HEAD(&ike->peers, peer, all);
	td_hash_link(&ike->identities, &peer->by_identities,
	    td_hash_mix(td_ike_id_hash(&config->local_id)) ^ td_ike_id_hash(&config->remote_id));
	ike->peer_count++;
	ike->peer_changes++;
	return peer;
}

static void peer_free(struct td_ike_peer *peer, bool tell)
{
	struct td_ike_sa *sa;

	while ((sa = TAILQ_FIRST(&peer->sas))) {
		// Not repeated and not waited for: the peer's liveness check finds out if this is lost.
		if (tell && sa->state == TD_IKE_ESTABLISHED) {
			td_ike_exchange_drop(sa);
			(void)td_ike_delete_start(sa);
		}
		td_ike_sa_close(sa, NULL, NULL);
	}
	td_ike_waiting_forget(peer, NULL);
	td_timers_cancel(peer->ike->env.timers, &peer->start_timer);
	LIST_REMOVE(peer, all);
	td_hash_unlink(&peer->ike->identities, &peer->by_identities);
	peer->ike->peer_count--;
	peer->ike->peer_changes++;
	td_ike_place_leave(peer);
	td_wipe(peer, sizeof(*peer)); // with the secret of a registration
	free(peer);
}

void td_ike_peer_remove(struct td_ike_peer *peer)
{
	peer_free(peer, true);
}

void td_ike_destroy(struct td_ike *ike)
{
	struct td_ike_peer *peer;

	if (!ike)
		return;
	while ((peer = LIST_FIRST(&ike->peers))) {
		struct td_ike_tunnel *tunnel;

		while ((tunnel = TAILQ_FIRST(&peer->tunnels)))
			td_ike_tunnel_remove(ike, tunnel->life);
		peer_free(peer, false);
	}
	while (!LIST_EMPTY(&ike->sas))
		td_ike_sa_close(LIST_FIRST(&ike->sas), NULL, NULL);
	td_ike_bury(ike);
	td_onertt_load_free(ike);
	td_hash_free(&ike->by_spi);
	td_hash_free(&ike->by_init);
	td_hash_free(&ike->by_path);
	td_hash_free(&ike->by_source);
	td_hash_free(&ike->places);
	td_hash_free(&ike->tunnels);
	td_hash_free(&ike->identities);
	td_wipe(ike, sizeof(*ike));
	free(ike);
}

const struct td_ike_peer_config *td_ike_peer_config(const struct td_ike_peer *peer)
{
	return &peer->config;
}

static uint64_t life_hash(const struct td_life_tunnel *life)
{
	return td_hash_mix((uint64_t)(uintptr_t)life);
}

int td_ike_tunnel_add(
    struct td_ike_peer *peer, struct td_life_tunnel *life, const struct td_ike_child_config *config)
{
	struct td_ike_tunnel *tunnel;

	if (td_hash_reserve(&peer->ike->tunnels, 1) < 0)
		return -ENOMEM;
	tunnel = calloc(1, sizeof(*tunnel));
	if (!tunnel)
		return -ENOMEM;
	tunnel->peer = peer;
	tunnel->life = life;
	tunnel->config = *config;
	td_hash_link(&peer->ike->tunnels, &tunnel->by_life, life_hash(life));
	TAILQ_INSERT_TAIL(&peer->tunnels, tunnel, of_peer);
	td_ike_peer_life_update(peer);
	return 0;
}

struct td_ike_tunnel *td_ike_tunnel_of(struct td_ike *ike, const struct td_life_tunnel *life)
{
	for (struct td_hash_node *node = td_hash_first(&ike->tunnels, life_hash(life)); node;
	     node = td_hash_next(node)) {
		struct td_ike_tunnel *tunnel = (struct td_ike_tunnel *)node;

		if (tunnel->life == life)
			return tunnel;
	}
	return NULL;
}

void td_ike_tunnel_remove(struct td_ike *ike, struct td_life_tunnel *life)
{
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(ike, life);
	struct td_ike_child *child, *next_child;
	struct td_ike_sa *sa, *next;

	if (!tunnel)
		return;
	td_ike_waiting_forget(tunnel->peer, life);
	for (sa = TAILQ_FIRST(&tunnel->peer->sas); sa; sa = next) {
		next = TAILQ_NEXT(sa, of_peer);
		td_ike_tasks_forget_tunnel(sa, life);
		for (child = TAILQ_FIRST(&sa->children); child; child = next_child) {
			next_child = TAILQ_NEXT(child, of_sa);
			if (child->life->tunnel == life)
				td_ike_child_forget(child, false);
		}
	}
	td_hash_unlink(&ike->tunnels, &tunnel->by_life);
	TAILQ_REMOVE(&tunnel->peer->tunnels, tunnel, of_peer);
	td_ike_peer_life_update(tunnel->peer);
	free(tunnel);
}

unsigned td_ike_peer_rekey(struct td_ike_peer *peer)
{
	struct td_ike_sa *sa = td_ike_peer_sa(peer);

	if (!sa || sa->rekeying || !td_ike_task_add(sa, TD_TASK_REKEY_IKE))
		return 0;
	td_ike_tasks_run(sa);
	return 1;
}

// ---- looking in -------------------------------------------------------------------------------

void td_ike_event(const struct td_ike_sa *sa, const char *kind, const char *reason)
{
	if (sa->ike->env.event)
		sa->ike->env.event(sa->ike->env.context, kind, sa->peer, sa, reason);
}

const struct td_ike_stats *td_ike_stats(const struct td_ike *ike)
{
	return &ike->stats;
}

static void sa_info(const struct td_ike_sa *sa, struct td_ike_sa_info *info)
{
	static const char *const states[] = {"connecting", "established", "rekeyed", "deleting", "closed"};
	const struct td_ike_child *child;

	*info = (struct td_ike_sa_info){
	    .spi_i = sa->spi_i,
	    .spi_r = sa->spi_r,
	    .onertt = sa->onertt != NULL,
	    .initiator = sa->initiator,
	    .state = states[sa->state],
	    .path = sa->path,
	    .nat_local = sa->nat_local,
	    .nat_remote = sa->nat_remote,
	    .suite = sa->suite,
	    .remote_id = sa->remote_id,
	    .established_ns = sa->established_ns,
	};
	TAILQ_FOREACH (child, &sa->children, of_sa)
		info->children++;
}

void td_ike_foreach(const struct td_ike *ike,
    void (*fn)(void *context, const struct td_ike_peer *peer, const struct td_ike_sa_info *info),
    void *context)
{
	const struct td_ike_sa *sa;
	struct td_ike_sa_info info;

	LIST_FOREACH (sa, &ike->sas, all) {
		sa_info(sa, &info);
		fn(context, sa->peer, &info);
	}
}
