// SPDX-License-Identifier: BSD-3-Clause
// What another configuration changes while IKE SAs stand.

#include "control/ike/internal.h"

void td_ike_token_secret_set(struct td_ike *ike, const uint8_t *secret)
{
	ike->env.token_secret = secret;
}

void td_ike_peer_life_update(struct td_ike_peer *peer)
{
	const struct td_ike_tunnel *tunnel;

	peer->shortest_life_ns = 0;
	TAILQ_FOREACH (tunnel, &peer->tunnels, of_peer) {
		uint64_t life_ns = td_life_tunnel_config(tunnel->life)->hard_ns;

		if (life_ns && (peer->shortest_life_ns == 0 || life_ns < peer->shortest_life_ns))
			peer->shortest_life_ns = life_ns;
	}
}

void td_ike_accepted_set(struct td_ike *ike, struct td_accepted *accepted)
{
	ike->env.accepted = accepted;
}

void td_ike_peer_update(struct td_ike_peer *peer, const struct td_ike_peer_config *config)
{
	uint64_t now = td_ike_now(peer->ike);
	struct td_ike_sa *sa;

	peer->config = *config;
	td_ike_place_changed(peer);
	peer->ike->peer_changes++;
	td_ike_peer_life_update(peer);
	TAILQ_FOREACH (sa, &peer->sas, of_peer)
		if (sa->state == TD_IKE_ESTABLISHED && config->liveness_ns)
			td_timers_set(peer->ike->env.timers, &sa->liveness_timer, now + config->liveness_ns);
		else
			td_timers_cancel(peer->ike->env.timers, &sa->liveness_timer);
}

static bool is_being_deleted(const struct td_ike_sa *sa)
{
	const struct td_ike_task *task = sa->exchange.task;

	if (task && task->kind == TD_TASK_DELETE_IKE)
		return true;
	TAILQ_FOREACH (task, &sa->tasks, entry)
		if (task->kind == TD_TASK_DELETE_IKE)
			return true;
	return false;
}

void td_ike_peer_retire(struct td_ike_peer *peer)
{
	struct td_ike_sa *sa, *next;

	td_ike_place_leave(peer);
	peer->ike->peer_changes++;
	for (sa = TAILQ_FIRST(&peer->sas); sa; sa = next) {
		next = TAILQ_NEXT(sa, of_peer);
		// A responder's SA finds its peer, or its end, by itself; so does one whose IKE_AUTH is under
		// way, and one that has been replaced.
		if (sa->state == TD_IKE_CONNECTING && sa->initiator && sa->exchange.type == TD_IKE_SA_INIT)
			td_ike_sa_close(sa, "ike_down", "not wanted any more");
		else if (sa->state == TD_IKE_ESTABLISHED && !is_being_deleted(sa) &&
		         td_ike_task_add(sa, TD_TASK_DELETE_IKE))
			td_timers_set(peer->ike->env.timers, &sa->task_timer, td_ike_now(peer->ike));
	}
}

bool td_ike_peer_is_idle(const struct td_ike_peer *peer)
{
	return TAILQ_EMPTY(&peer->tunnels) && TAILQ_EMPTY(&peer->sas);
}

void td_ike_peer_hide(struct td_ike_peer *peer, bool hide)
{
	peer->hidden = hide;
	td_ike_place_changed(peer);
	peer->ike->peer_changes++;
}

void td_ike_tunnel_leave(struct td_ike *ike, const struct td_life_tunnel *life)
{
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(ike, life);

	if (tunnel)
		tunnel->leaving = true;
}

void td_ike_tunnel_enter(struct td_ike *ike, const struct td_life_tunnel *life)
{
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(ike, life);

	if (tunnel)
		tunnel->leaving = false;
}
