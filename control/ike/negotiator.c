// SPDX-License-Identifier: BSD-3-Clause
// What the lifecycle asks of the engine: children made, replaced, deleted. Every wish becomes a task of an
// IKE SA.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void td_ike_start_due(void *context)
{
	struct td_ike_peer *peer = context;
	struct td_ike_sa *sa = td_ike_peer_sa(peer);
	struct td_ike_task *task;

	td_ike_bury(peer->ike);
	if (TAILQ_EMPTY(&peer->waiting))
		return;
	if (!sa) {
		td_ike_init_start(peer);
		return;
	}
	while ((task = TAILQ_FIRST(&peer->waiting))) {
		TAILQ_REMOVE(&peer->waiting, task, entry);
		TAILQ_INSERT_TAIL(&sa->tasks, task, entry);
	}
	td_ike_tasks_run(sa);
}

static bool is_create(const struct td_ike_task *task, const struct td_life_tunnel *life, unsigned slot)
{
	return task->kind == TD_TASK_CREATE && task->tunnel == life && task->slot == slot;
}

// The lifecycle asks again when it has waited for long.
static bool create_is_known(const struct td_ike_peer *peer, const struct td_life_tunnel *life, unsigned slot)
{
	const struct td_ike_task *task;
	const struct td_ike_sa *sa;

	TAILQ_FOREACH (task, &peer->waiting, entry)
		if (is_create(task, life, slot))
			return true;
	TAILQ_FOREACH (sa, &peer->sas, of_peer) {
		if (sa->exchange.task && is_create(sa->exchange.task, life, slot))
			return true;
		TAILQ_FOREACH (task, &sa->tasks, entry)
			if (is_create(task, life, slot))
				return true;
	}
	return false;
}

static void create(void *context, struct td_life_tunnel *life, unsigned slot)
{
	struct td_ike *ike = context;
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(ike, life);
	struct td_ike_task *task;

	if (create_is_known(tunnel->peer, life, slot))
		return;
	task = calloc(1, sizeof(*task));
	if (!task)
		return; // the lifecycle asks again
	*task = (struct td_ike_task){.kind = TD_TASK_CREATE, .tunnel = life, .slot = slot};
	TAILQ_INSERT_TAIL(&tunnel->peer->waiting, task, entry);
	// Not from within the call.
	td_timers_set(ike->env.timers, &tunnel->peer->start_timer, td_ike_now(ike));
}

// False: there is no memory. What is to be done about that is done when the timer fires.
static bool child_task(struct td_ike_child *child, enum td_ike_task_kind kind, uint64_t deadline_ns)
{
	struct td_ike_task *task = td_ike_task_add(child->sa, kind);

	td_timers_set(child->sa->ike->env.timers, &child->sa->task_timer, td_ike_now(child->sa->ike));
	if (!task)
		return false;
	task->child = child;
	task->deadline_ns = deadline_ns;
	return true;
}

static void rekey(void *context, struct td_life_child *life, uint64_t deadline_ns)
{
	struct td_ike_child *child = life->negotiator;

	(void)context;
	if (!child)
		return;
	if (!child_task(child, TD_TASK_REKEY_CHILD, deadline_ns))
		child->rekey_lost = true;
	td_ike_exchange_hurry(child->sa, deadline_ns);
}

void td_ike_child_erase(struct td_ike_child *child)
{
	if (child->erasing)
		return;
	child->erasing = true;
	child->erase_lost = !child_task(child, TD_TASK_ERASE, 0);
}

static void erase(void *context, struct td_life_child *life)
{
	(void)context;
	if (life->negotiator)
		td_ike_child_erase(life->negotiator);
}

static struct td_ike_child *lost_find(const struct td_ike_sa *sa)
{
	struct td_ike_child *child;

	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (child->rekey_lost)
			return child;
	return NULL;
}

void td_ike_wishes_retry(struct td_ike_sa *sa)
{
	struct td_ike_child *child;

	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (child->erase_lost) {
			child->erase_lost = !child_task(child, TD_TASK_ERASE, 0);
			if (child->erase_lost)
				td_timers_set(sa->ike->env.timers, &sa->task_timer,
				    td_ike_now(sa->ike) + TD_IKE_BUSY_MS * 1000000ull);
		}
	// The lifecycle knows when to ask again.
	while ((child = lost_find(sa))) {
		child->rekey_lost = false;
		td_life_rekey_failed(child->life, TD_FAIL_TEMPORARY, "out of memory");
	}
}

static void active(void *context, struct td_life_child *life)
{
	struct td_ike_child *child = life->negotiator;

	(void)context;
	if (!child)
		return;
	// Only the peer can have sealed a packet.
	if (life->proof == TD_PROOF_TRAFFIC)
		td_onertt_proved_soon(child->sa);
	td_ike_child_activated(child);
}

void td_ike_waiting_forget(struct td_ike_peer *peer, const struct td_life_tunnel *life)
{
	struct td_ike_task *task, *next;

	for (task = TAILQ_FIRST(&peer->waiting); task; task = next) {
		next = TAILQ_NEXT(task, entry);
		if (life && task->tunnel != life)
			continue;
		TAILQ_REMOVE(&peer->waiting, task, entry);
		td_ike_task_free(task);
	}
}

void td_ike_tasks_forget_tunnel(struct td_ike_sa *sa, const struct td_life_tunnel *life)
{
	struct td_ike_task *task, *next;

	for (task = TAILQ_FIRST(&sa->tasks); task; task = next) {
		next = TAILQ_NEXT(task, entry);
		if (task->kind != TD_TASK_CREATE || task->tunnel != life)
			continue;
		TAILQ_REMOVE(&sa->tasks, task, entry);
		td_ike_task_free(task);
	}
	// The answer still comes, and its child is then not wanted.
	task = sa->exchange.task;
	if (!task || (task->kind != TD_TASK_CREATE && task->kind != TD_TASK_REKEY_CHILD) ||
	    task->tunnel != life)
		return;
	if (sa->exchange.negotiation.spi) {
		td_life_spi_release(task->tunnel, sa->exchange.negotiation.spi);
		task->orphan_spi = sa->exchange.negotiation.spi;
		sa->exchange.negotiation.spi = 0;
	}
	task->tunnel = NULL;
}

static bool child_is_of(const struct td_ike_child *child, const struct td_life_tunnel *life)
{
	return child->life->tunnel == life;
}

// Whether another tunnel has a child on the SA that stays, or is about to. One that goes may be the last one
// of a tunnel that was taken down just before.
static bool serves_others(const struct td_ike_sa *sa, const struct td_life_tunnel *life)
{
	const struct td_ike_task *task = sa->exchange.task;
	const struct td_ike_child *child;

	if (task && task->tunnel && task->tunnel != life)
		return true;
	TAILQ_FOREACH (task, &sa->tasks, entry)
		if (task->kind == TD_TASK_CREATE && task->tunnel != life)
			return true;
	TAILQ_FOREACH (task, &sa->peer->waiting, entry)
		if (task->tunnel != life)
			return true;
	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (!child_is_of(child, life) && !child->erasing)
			return true;
	return false;
}

static void tunnel_leave(struct td_ike_sa *sa, const struct td_life_tunnel *life)
{
	struct td_ike_child *child;

	td_ike_tasks_forget_tunnel(sa, life);
	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (child_is_of(child, life))
			erase(sa->ike, child->life);
	if (sa->state == TD_IKE_CONNECTING) {
		// Once IKE_AUTH is under way the peer may believe in the SA: it is deleted when the answer is
		// here.
		if (sa->initiator && TAILQ_EMPTY(&sa->tasks) && sa->exchange.type == TD_IKE_SA_INIT)
			td_ike_sa_close(sa, "ike_down", "not wanted any more");
	} else if (sa->state == TD_IKE_ESTABLISHED) {
		if (!serves_others(sa, life) && td_ike_task_add(sa, TD_TASK_DELETE_IKE))
			td_timers_set(sa->ike->env.timers, &sa->task_timer, td_ike_now(sa->ike));
	}
}

static void down(void *context, struct td_life_tunnel *life)
{
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(context, life);
	struct td_ike_sa *sa, *next;

	td_ike_waiting_forget(tunnel->peer, life);
	for (sa = TAILQ_FIRST(&tunnel->peer->sas); sa; sa = next) {
		next = TAILQ_NEXT(sa, of_peer);
		tunnel_leave(sa, life);
	}
}

void td_ike_negotiator_init(struct td_ike *ike)
{
	ike->negotiator = (struct td_life_negotiator){
	    .context = ike,
	    .create = create,
	    .rekey = rekey,
	    .erase = erase,
	    .active = active,
	    .down = down,
	};
}
