// SPDX-License-Identifier: BSD-3-Clause
// CREATE_CHILD_SA for children: a new one, or the successor of one (RFC 7296 1.3.1, 1.3.3), and what happens
// when both sides ask at once (2.8.1, 2.25.1).

#include "control/ike/internal.h"

#include <errno.h>
#include <string.h>

static const struct td_bytes nothing;

static void create_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer);

int td_ike_create_start(struct td_ike_sa *sa, struct td_ike_task *task)
{
	struct td_ike_chain chain;
	uint8_t spi[4];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};
	int ret;

	if (sa->state != TD_IKE_ESTABLISHED)
		return -ENOTCONN;
	if (task->kind == TD_TASK_REKEY_CHILD) {
		// Gone, or replaced by the peer meanwhile.
		if (!task->child || task->child->replaced || task->child->erasing)
			return -EALREADY;
		task->tunnel = task->child->life->tunnel;
		task->slot = task->child->life->slot;
	}
	td_ike_chain_start(sa->ike, &chain);
	if (task->child) {
		td_writer_u32(&writer, task->child->spi_in);
		td_ike_notify_write(
		    &chain, TD_IKE_PROTO_ESP, td_writer_bytes_of(&writer), TD_N_REKEY_SA, nothing);
		task->child->rekeying = true;
	}
	ret = td_ike_child_offer(
	    sa, td_ike_tunnel_of(sa->ike, task->tunnel), task->slot, task->group, false, &chain);
	if (ret == 0)
		ret = td_ike_request(sa, TD_IKE_CREATE_CHILD_SA, &chain, create_answered);
	return ret;
}

// ---- collisions -------------------------------------------------------------------------------

static bool same_slot(const struct td_ike_child *a, const struct td_ike_child *b)
{
	return a->life->tunnel == b->life->tunnel && a->life->slot == b->life->slot;
}

// A child that lost goes when what won is known to be in place at the peer.
void td_ike_child_activated(struct td_ike_child *child)
{
	struct td_ike_child *other;

	TAILQ_FOREACH (other, &child->sa->children, of_sa)
		if (other->redundant && other != child && same_slot(other, child))
			td_ike_child_erase(other);
}

// Both sides replaced the same child: the successor that the lowest of the four nonces made goes, deleted by
// the side that asked for it; the old one is deleted by the other side (RFC 7296 2.8.1).
static void collision_settle(struct td_ike_child *made, struct td_ike_child *rival, struct td_ike_child *old)
{
	made->sa->ike->stats.collisions++;
	if (td_ike_nonce_compare(&made->lowest, &rival->lowest) > 0) {
		if (old)
			td_ike_child_erase(old);
		return;
	}
	made->redundant = true;
	if (rival->life->state == TD_CHILD_ACTIVE)
		td_ike_child_erase(made);
}

// ---- the answer -------------------------------------------------------------------------------

// The peer is busy with the same child, or for a moment unable: once more, unless it has made the successor
// itself.
static void again_later(struct td_ike_sa *sa, struct td_ike_task *task)
{
	uint32_t random;

	if (task->rival || (task->kind == TD_TASK_REKEY_CHILD && !task->child)) {
		if (task->child)
			td_ike_child_overtaken(task->child);
		td_ike_task_free(task);
		return;
	}
	sa->ike->env.random(sa->ike->env.context, &random, sizeof(random));
	uint64_t pause = TD_IKE_BUSY_MS * 1000000ull;
	uint64_t now = td_ike_now(sa->ike);
	// With little time left for the child it is a share of that.
	if (task->deadline_ns > now && (task->deadline_ns - now) / TD_IKE_RETRANSMIT_SHARE < pause)
		pause = (task->deadline_ns - now) / TD_IKE_RETRANSMIT_SHARE;
	task->not_before_ns = now + pause + pause * (random % 1024) / 1024;
	TAILQ_INSERT_TAIL(&sa->tasks, task, entry);
}

// The peer wants another group. True: asked again.
static bool other_group(struct td_ike_sa *sa, struct td_ike_task *task, const struct td_ike_notify *notify)
{
	struct td_ike_tunnel *tunnel = task->tunnel ? td_ike_tunnel_of(sa->ike, task->tunnel) : NULL;
	struct td_cursor cursor = td_cursor_of(notify->data);
	uint16_t group;

	if (!tunnel || !td_cursor_u16(&cursor, &group) || group == task->group ||
	    task->groups >= TD_IKE_INIT_RESTARTS ||
	    !td_ike_proposals_have_dh(&tunnel->config.proposals, group))
		return false;
	task->group = group;
	task->groups++;
	TAILQ_INSERT_HEAD(&sa->tasks, task, entry);
	return true;
}

static bool has_children(const struct td_ike_sa *sa)
{
	const struct td_ike_child *child;

	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (!child->erasing)
			return true;
	return false;
}

// The peer refused. The task is freed or queued again.
static void create_refused(
    struct td_ike_sa *sa, struct td_ike_task *task, const struct td_ike_notify *refusal)
{
	struct td_ike_child *old = task->child;
	struct td_error error = {0};

	(void)td_error_set(
	    &error, 0, NULL, NULL, "the peer refuses the child: %s", td_ike_notify_name(refusal->type));
	if (old)
		old->rekeying = false;
	if (refusal->type == TD_N_INVALID_KE_PAYLOAD && other_group(sa, task, refusal))
		return;
	// For a first child the lifecycle knows when to ask again: the tunnel may be down at the peer.
	if (refusal->type == TD_N_TEMPORARY_FAILURE && task->kind == TD_TASK_REKEY_CHILD) {
		again_later(sa, task);
		return;
	}
	// The peer does not have it any more: neither have we, and the lifecycle makes another (RFC
	// 7296 2.25.1).
	if (refusal->type == TD_N_CHILD_SA_NOT_FOUND && old)
		td_ike_child_forget(old, true);
	else if (!task->rival)
		td_ike_task_failed(task,
		    refusal->type == TD_N_TS_MAX_QUEUE ? TD_FAIL_UNSUPPORTED
		    : refusal->type == TD_N_NO_ADDITIONAL_SAS || refusal->type == TD_N_TEMPORARY_FAILURE
		        ? TD_FAIL_TEMPORARY
		        : TD_FAIL_PERMANENT,
		    error.reason);
	else if (old)
		td_ike_child_overtaken(old);
	// A peer that takes no children but that of IKE_AUTH (RFC 7815): as it is, the IKE SA would never
	// have one again. The next attempt makes another (RFC 7296 4).
	if (refusal->type == TD_N_NO_ADDITIONAL_SAS && sa->state == TD_IKE_ESTABLISHED && !has_children(sa))
		td_ike_sa_delete(sa);
	td_ike_task_free(task);
}

static void create_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	struct td_ike_task *task = sa->exchange.task;
	const struct td_ike_notify *refusal = td_ike_notify_error(answer);
	struct td_ike_tunnel *tunnel = task->tunnel ? td_ike_tunnel_of(sa->ike, task->tunnel) : NULL;
	enum td_life_failure failure = TD_FAIL_TEMPORARY;
	struct td_error error = {0};
	struct td_ike_child *child;

	if (refusal) {
		(void)td_ike_exchange_end(sa);
		create_refused(sa, task, refusal);
		td_ike_tasks_run(sa);
		return;
	}
	// The tunnel was taken down while this was under way: the peer has a child that nobody wants.
	if (!tunnel) {
		(void)td_ike_exchange_end(sa);
		td_ike_orphan_erase(sa, task->orphan_spi);
		td_ike_task_free(task);
		td_ike_tasks_run(sa);
		return;
	}
	child = td_ike_child_accept(sa, answer, tunnel, task->slot, task->child, false, &failure, &error);
	sa->exchange.task = NULL;
	(void)td_ike_exchange_end(sa);
	if (!child) {
		td_ike_task_failed(task, failure, error.reason);
	} else {
		struct td_ike_child *old = task->child;

		if (old) {
			old->rekeying = false;
			old->replaced = true;
		}
		td_life_child_answered(child->life);
		if (task->rival)
			collision_settle(child, task->rival, old);
		else if (old)
			td_ike_child_erase(old);
	}
	td_ike_task_free(task);
	td_ike_tasks_run(sa);
}

// ---- the peer asks ----------------------------------------------------------------------------

// Nothing is made on an SA that ends or changes its own keys (RFC 7296 2.25).
static bool sa_is_busy(const struct td_ike_sa *sa)
{
	return sa->state != TD_IKE_ESTABLISHED || sa->rekeying;
}

// Our own request to replace the same child is under way. (Two first children of a slot are the lifecycle's
// business.)
static struct td_ike_task *rival_task(struct td_ike_sa *sa, const struct td_ike_child *old)
{
	struct td_ike_task *task = sa->exchange.task;

	return old && task && task->kind == TD_TASK_REKEY_CHILD && task->child == old ? task : NULL;
}

static void refuse(struct td_ike_sa *sa, uint16_t notify, uint16_t group)
{
	uint8_t data[2] = {(uint8_t)(group >> 8), (uint8_t)group};

	td_ike_answer_notify(sa, TD_IKE_CREATE_CHILD_SA, notify,
	    notify == TD_N_INVALID_KE_PAYLOAD ? (struct td_bytes){data, sizeof(data)} : nothing);
}

// The child that the peer wants to replace. Returns 0 or the notify to refuse with.
static uint16_t old_find(struct td_ike_sa *sa, const struct td_ike_notify *rekey, struct td_ike_child **old)
{
	*old = td_ike_child_find_out(sa, td_ike_spi32(rekey->spi));
	// It may be the one that is being made, if the answer is late.
	if (!*old)
		return sa->exchange.negotiation.spi ? TD_N_TEMPORARY_FAILURE : TD_N_CHILD_SA_NOT_FOUND;
	// A DELETE of it is under way, or it has a successor.
	return (*old)->erasing || (*old)->replaced ? TD_N_TEMPORARY_FAILURE : 0;
}

void td_ike_create_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request)
{
	const struct td_ike_notify *rekey = td_ike_notify_find(request, TD_N_REKEY_SA);
	struct td_ike_child *old = NULL, *child;
	uint16_t refusal = 0, group = 0;
	struct td_ike_chain chain;
	struct td_ike_task *task;

	if (sa_is_busy(sa))
		refusal = TD_N_TEMPORARY_FAILURE;
	else if (rekey)
		refusal = old_find(sa, rekey, &old);
	if (refusal == TD_N_CHILD_SA_NOT_FOUND) {
		td_ike_chain_start(sa->ike, &chain);
		td_ike_notify_write(&chain, TD_IKE_PROTO_ESP, rekey->spi, refusal, nothing);
		td_ike_answer(sa, TD_IKE_CREATE_CHILD_SA, &chain);
		return;
	}
	if (refusal) {
		refuse(sa, refusal, 0);
		return;
	}
	td_ike_chain_start(sa->ike, &chain);
	child = td_ike_child_answer(sa, request, old, false, &chain, &refusal, &group);
	if (!child) {
		refuse(sa, refusal, group);
		return;
	}
	task = rival_task(sa, old);
	if (task)
		task->rival = child;
	else if (old)
		old->replaced = true;
	td_ike_answer(sa, TD_IKE_CREATE_CHILD_SA, &chain);
}
