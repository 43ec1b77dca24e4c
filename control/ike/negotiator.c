// SPDX-License-Identifier: BSD-3-Clause
// What the lifecycle asks of the engine: children made, replaced, deleted. Every wish becomes a task of an IKE SA.

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

static void create(void *context, struct td_life_tunnel *life, unsigned slot)
{
	struct td_ike *ike = context;
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(ike, life);
	struct td_ike_task *task = calloc(1, sizeof(*task));

	if (!task)
		return; // the lifecycle asks again
	*task = (struct td_ike_task){.kind = TD_TASK_CREATE, .tunnel = life, .slot = slot};
	TAILQ_INSERT_TAIL(&tunnel->peer->waiting, task, entry);
	// Not from within the call.
	td_timers_set(ike->env.timers, &tunnel->peer->start_timer, td_ike_now(ike));
}

static void child_task(struct td_ike *ike, struct td_life_child *life, enum td_ike_task_kind kind, uint64_t deadline_ns)
{
	struct td_ike_child *child = life->negotiator;
	struct td_ike_task *task = child ? td_ike_task_add(child->sa, kind) : NULL;

	if (!task)
		return;
	task->child = child;
	task->deadline_ns = deadline_ns;
	td_timers_set(ike->env.timers, &child->sa->task_timer, td_ike_now(ike));
}

static void rekey(void *context, struct td_life_child *child, uint64_t deadline_ns)
{
	child_task(context, child, TD_TASK_REKEY_CHILD, deadline_ns);
}

static void erase(void *context, struct td_life_child *life)
{
	struct td_ike_child *child = life->negotiator;

	if (!child || child->erasing)
		return;
	child->erasing = true;
	child_task(context, life, TD_TASK_ERASE, 0);
}

static void active(void *context, struct td_life_child *life)
{
	(void)context;
	if (life->negotiator)
		td_ike_child_activated(life->negotiator);
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
	if (sa->exchange.task && sa->exchange.task->kind == TD_TASK_CREATE && sa->exchange.task->tunnel == life)
		sa->exchange.task->tunnel = NULL;
}

static bool child_is_of(const struct td_ike_child *child, const struct td_life_tunnel *life)
{
	return child->life->tunnel == life;
}

// An IKE SA serves nothing once it has no child, no task and nothing under way.
static bool sa_is_idle(const struct td_ike_sa *sa)
{
	return TAILQ_EMPTY(&sa->children) && TAILQ_EMPTY(&sa->tasks) && !sa->exchange.answered;
}

static void tunnel_leave(struct td_ike_sa *sa, const struct td_life_tunnel *life)
{
	struct td_ike_child *child;

	td_ike_tasks_forget_tunnel(sa, life);
	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (child_is_of(child, life))
			erase(sa->ike, child->life);
	if (sa->state == TD_IKE_CONNECTING) {
		if (sa->initiator && TAILQ_EMPTY(&sa->tasks))
			td_ike_sa_close(sa, "ike_down", "not wanted any more");
	} else if (sa->state == TD_IKE_ESTABLISHED) {
		bool others = false;
		TAILQ_FOREACH (child, &sa->children, of_sa)
			others |= !child_is_of(child, life);
		if ((!others || sa_is_idle(sa)) && td_ike_task_add(sa, TD_TASK_DELETE_IKE))
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

