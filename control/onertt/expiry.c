// SPDX-License-Identifier: BSD-3-Clause
// The end of a session's validity (S5): who began it begins a new one, in which children and tasks go on. The
// other side reminds it. Nothing is made with the old keys meanwhile, and nothing is torn down.

#include "control/onertt/internal.h"

#include <stdlib.h>
#include <string.h>

#define POLL_NS 100000000ull

bool td_onertt_is_over(const struct td_ike_sa *sa)
{
	return sa->onertt && sa->onertt->over && sa->state == TD_IKE_ESTABLISHED;
}

static void end(struct td_ike_sa *sa)
{
	struct td_onertt *session = sa->onertt;

	if (session->over || sa->state != TD_IKE_ESTABLISHED)
		return;
	session->over = true;
	td_timers_cancel(sa->ike->env.timers, &sa->rekey_timer);
	td_timers_set(
	    sa->ike->env.timers, &session->end_timer, td_ike_now(sa->ike) + TD_ONERTT_GO_ON_MS * 1000000ull);
	td_ike_event(sa, "ike_expired", NULL);
}

void td_onertt_end_due(void *context)
{
	struct td_ike_sa *sa = context;
	struct td_onertt *session = sa->onertt;

	td_ike_bury(sa->ike);
	if (sa->state != TD_IKE_ESTABLISHED)
		return;
	if (!session->over) {
		end(sa);
		if (!session->client)
			(void)td_ike_task_add(sa, TD_TASK_EXPIRED);
	} else if (session->renewing) {
		td_timers_set(sa->ike->env.timers, &session->end_timer, td_ike_now(sa->ike) + POLL_NS);
		return;
	} else {
		// Nobody has begun a new one.
		td_ike_sa_delete(sa);
	}
	td_ike_tasks_run(sa);
}

// The task that goes into message 1: one that waits, or a successor for a child.
static struct td_ike_task *task_choose(struct td_ike_sa *sa)
{
	struct td_ike_task *task;
	struct td_ike_child *child;

	TAILQ_FOREACH (task, &sa->tasks, entry)
		if ((task->kind == TD_TASK_REKEY_CHILD && task->child && !task->child->replaced &&
		        !task->child->erasing) ||
		    task->kind == TD_TASK_CREATE) {
			TAILQ_REMOVE(&sa->tasks, task, entry);
			return task;
		}
	TAILQ_FOREACH (child, &sa->children, of_sa) {
		if (child->erasing || child->replaced || !(task = calloc(1, sizeof(*task))))
			continue;
		task->kind = TD_TASK_REKEY_CHILD;
		task->child = child;
		return task;
	}
	return NULL;
}

// The peer may not know yet that this SA has taken another one's place.
static bool is_settled(const struct td_ike_sa *sa)
{
	const struct td_ike_sa *other;

	TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
		if (other->successor == sa && other->state == TD_IKE_REKEYED)
			return false;
	return true;
}

static void renew(struct td_ike_sa *old)
{
	struct td_ike_sa *sa = td_ike_sa_create(old->ike, true, &old->path);
	struct td_ike_task *task = sa ? task_choose(old) : NULL;

	if (sa)
		td_ike_sa_peer_set(sa, old->peer);
	if (task)
		TAILQ_INSERT_TAIL(&sa->tasks, task, entry);
	if (task)
		sa->handshake = calloc(1, sizeof(*sa->handshake));
	if (!task || !sa->handshake) {
		if (sa)
			td_ike_sa_close(sa, NULL, NULL);
		td_timers_set(old->ike->env.timers, &old->onertt->soon_timer, td_ike_now(old->ike) + POLL_NS);
		return;
	}
	old->onertt->renewing = true;
	sa->handshake->nonce_i.length = TD_IKE_NONCE_BYTES;
	sa->ike->env.random(sa->ike->env.context, sa->handshake->nonce_i.data, TD_IKE_NONCE_BYTES);
	td_onertt_start(sa, old);
}

static bool is_outdated(const struct td_ike_task *task)
{
	const struct td_ike_child *child = task->child;

	return (task->kind == TD_TASK_REKEY_CHILD && (!child || child->replaced || child->erasing)) ||
	       (task->kind == TD_TASK_CREATE && !task->tunnel);
}

bool td_onertt_again(struct td_ike_sa *sa)
{
	struct td_ike_sa *old = td_onertt_continued(sa);
	struct td_ike_task *task = sa->exchange.task;

	if (!old)
		return false;
	if (task && task->child)
		task->child->rekeying = false;
	(void)td_ike_exchange_end(sa);
	if (task && is_outdated(task))
		td_ike_task_free(task);
	else if (task)
		TAILQ_INSERT_HEAD(&old->tasks, task, entry);
	while ((task = TAILQ_FIRST(&sa->tasks))) {
		TAILQ_REMOVE(&sa->tasks, task, entry);
		TAILQ_INSERT_TAIL(&old->tasks, task, entry);
	}
	// Nothing hangs on the attempt any more.
	sa->onertt->continues_i = 0;
	td_ike_sa_close(sa, NULL, NULL);
	old->onertt->renewing = false;
	td_timers_set(old->ike->env.timers, &old->onertt->soon_timer, td_ike_now(old->ike) + POLL_NS);
	return true;
}

// Whether the peer has made this SA by a rekey, while one of this side's was under way, that is not over yet:
// the children may come here still.
static bool is_awaited(const struct td_ike_sa *sa)
{
	const struct td_ike_sa *other;

	TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
		if (other->peers == sa)
			return true;
	return false;
}

bool td_onertt_go_on(struct td_ike_sa *sa)
{
	struct td_onertt *session = sa->onertt;

	if (is_awaited(sa))
		return false;
	// What it had may be on its way into the next one, which still goes on for this one.
	if (!session->renewing && TAILQ_EMPTY(&sa->children) && TAILQ_EMPTY(&sa->tasks))
		return td_ike_task_add(sa, TD_TASK_DELETE_IKE) != NULL;
	if (!session->client || session->renewing)
		return false;
	if (is_settled(sa))
		renew(sa);
	else
		td_timers_set(sa->ike->env.timers, &session->soon_timer, td_ike_now(sa->ike) + POLL_NS);
	return false;
}

// What the peer did not do is done in the new session.
static void task_keep(struct td_ike_sa *sa)
{
	struct td_ike_task *task = sa->exchange.task;
	struct td_ike_sa *heir = sa->state == TD_IKE_REKEYED && sa->successor ? sa->successor : sa;

	if (sa->exchange.negotiation.successor)
		td_ike_sa_close(sa->exchange.negotiation.successor, NULL, NULL);
	sa->exchange.negotiation.successor = NULL;
	sa->rekeying = false;
	(void)td_ike_exchange_end(sa);
	if (!task)
		return;
	if (task->child)
		task->child->rekeying = false;
	if (task->kind == TD_TASK_REKEY_IKE || task->rival ||
	    (task->kind == TD_TASK_REKEY_CHILD && !task->child) ||
	    (task->kind == TD_TASK_CREATE && !task->tunnel)) {
		if (task->child)
			td_ike_child_overtaken(task->child);
		td_ike_task_free(task);
		return;
	}
	TAILQ_INSERT_HEAD(&heir->tasks, task, entry);
	td_timers_set(sa->ike->env.timers, &heir->task_timer, td_ike_now(sa->ike));
}

void td_onertt_told(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	if (answer && sa->exchange.type == TD_IKE_CREATE_CHILD_SA) {
		task_keep(sa);
	} else if (answer) {
		// First, so that what waits is not asked for under the old keys once more.
		end(sa);
		sa->exchange.answered(sa, answer);
	}
	if (sa->state != TD_IKE_ESTABLISHED || !sa->onertt)
		return;
	end(sa);
	td_ike_tasks_run(sa);
}
