// SPDX-License-Identifier: BSD-3-Clause
// Requests and answers (RFC 7296 2.1 to 2.3): one request of each side is under way at a time, is repeated
// until it is answered, and the last answer is kept for a request that comes again.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void td_ike_chain_start(struct td_ike *ike, struct td_ike_chain *chain)
{
	td_ike_chain_init(chain, ike->chain, sizeof(ike->chain));
}

// ---- requests ---------------------------------------------------------------------------------

// How long a request goes unanswered before the peer counts as dead: all its tries, each waiting half as long
// again as the one before. A request that hurries is sent more often, but nobody is given up for it any
// earlier.
static uint64_t patience(const struct td_ike_peer_config *config)
{
	uint64_t wait = config->retransmit_ns, sum = 0;

	for (unsigned i = 0; i < config->retransmit_tries; i++, wait += wait / 2)
		sum += wait;
	return sum;
}

// A share of the time that is left for the exchange, such that enough retransmissions fit it; 0: there is
// nothing to hurry for.
static uint64_t share_left(const struct td_ike_sa *sa)
{
	uint64_t now = td_ike_now(sa->ike), until = sa->exchange.hurry_until_ns;

	return until > now ? (until - now) / TD_IKE_RETRANSMIT_SHARE : 0;
}

// The time to the first retransmission: the configured one, or a share of the time that is left.
static uint64_t first_wait(const struct td_ike_sa *sa)
{
	uint64_t wait = sa->peer->config.retransmit_ns;
	uint64_t share = share_left(sa);
	uint64_t floor = TD_IKE_RETRANSMIT_MIN_MS * 1000000ull;

	if (share == 0)
		return wait;
	if (share < floor)
		share = floor;
	return share < wait ? share : wait;
}

// Growing by half (RFC 7296 2.4), but not beyond that share: with a request that hurries the pace stays.
static uint64_t next_wait(const struct td_ike_sa *sa)
{
	uint64_t wait = sa->exchange.wait_ns, grown = wait + wait / 2, share = share_left(sa);

	if (share == 0 || grown <= share)
		return grown;
	return share > wait ? share : wait;
}

static void retransmit_arm(struct td_ike_sa *sa)
{
	struct td_ike_exchange *exchange = &sa->exchange;
	uint64_t next = td_ike_now(sa->ike) + exchange->wait_ns;

	td_timers_set(
	    sa->ike->env.timers, &exchange->timer, next < exchange->give_up_ns ? next : exchange->give_up_ns);
}

// Nothing good came. What came instead is why.
static void give_up(struct td_ike_sa *sa)
{
	const struct td_ike_handshake *handshake = sa->handshake;

	// The children are the successor's, and the answer that the peer waits for is kept here.
	if (sa->state == TD_IKE_REKEYED) {
		td_ike_exchange_drop(sa);
	} else if (handshake && handshake->refusal.reason[0]) {
		struct td_error refusal = handshake->refusal;

		td_ike_sa_fail(sa, handshake->failure, refusal.reason);
	} else {
		sa->ike->stats.dead++;
		td_ike_sa_close(sa, sa->state == TD_IKE_CONNECTING ? "ike_failed" : "ike_dead",
		    "the peer does not answer");
	}
}

static void retransmit_due(void *context)
{
	struct td_ike_sa *sa = context;
	struct td_ike_exchange *exchange = &sa->exchange;
	struct td_ike *ike = sa->ike;

	if (td_ike_now(ike) >= exchange->give_up_ns) {
		give_up(sa);
		return;
	}
	ike->stats.retransmitted++;
	td_ike_packets_repeat(sa, &sa->path, &exchange->packets);
	exchange->wait_ns = next_wait(sa);
	retransmit_arm(sa);
}

// By when the exchange should be over: the end of the child that it replaces, or else, because the next
// request waits for this one, the shortest life of the peer's children (S1).
static uint64_t hurry_until(const struct td_ike_sa *sa)
{
	const struct td_ike_task *task = sa->exchange.task;
	uint64_t now = td_ike_now(sa->ike);

	if (task && task->deadline_ns > now && task->deadline_ns != UINT64_MAX)
		return task->deadline_ns;
	return sa->peer->shortest_life_ns ? now + sa->peer->shortest_life_ns : now;
}

static void exchange_start(
    struct td_ike_sa *sa, void (*answered)(struct td_ike_sa *sa, const struct td_ike_payloads *answer))
{
	struct td_ike_exchange *exchange = &sa->exchange;

	exchange->answered = answered;
	exchange->sent_ns = td_ike_now(sa->ike);
	exchange->hurry_until_ns = hurry_until(sa);
	exchange->wait_ns = first_wait(sa);
	exchange->give_up_ns = td_ike_now(sa->ike) + patience(&sa->peer->config);
	exchange->timer = (struct td_timer){.fn = retransmit_due, .context = sa};
	td_ike_packets_send(sa, &exchange->packets);
	retransmit_arm(sa);
}

void td_ike_exchange_hurry(struct td_ike_sa *sa, uint64_t deadline_ns)
{
	struct td_ike_exchange *exchange = &sa->exchange;
	uint64_t now = td_ike_now(sa->ike), wait;

	if (!exchange->answered || deadline_ns <= now || deadline_ns == UINT64_MAX)
		return;
	if (exchange->hurry_until_ns <= now || deadline_ns < exchange->hurry_until_ns)
		exchange->hurry_until_ns = deadline_ns;
	wait = first_wait(sa);
	if (wait >= exchange->wait_ns)
		return;
	exchange->wait_ns = wait;
	if (exchange->timer.deadline_ns > now + wait)
		retransmit_arm(sa);
}

int td_ike_request(struct td_ike_sa *sa, uint8_t type, struct td_ike_chain *chain,
    void (*answered)(struct td_ike_sa *sa, const struct td_ike_payloads *answer))
{
	int ret = td_ike_packets_seal(sa, type, false, sa->next_id, chain, &sa->exchange.packets);

	if (ret < 0)
		return ret;
	sa->exchange.type = type;
	sa->exchange.id = sa->next_id++;
	exchange_start(sa, answered);
	return 0;
}

int td_ike_request_clear(struct td_ike_sa *sa, uint8_t type, struct td_bytes message,
    void (*answered)(struct td_ike_sa *sa, const struct td_ike_payloads *answer))
{
	int ret = td_ike_packets_clear(&sa->exchange.packets, message);

	if (ret < 0)
		return ret;
	td_timers_cancel(sa->ike->env.timers, &sa->exchange.timer);
	sa->exchange.type = type;
	sa->exchange.id = 0;
	sa->next_id = 1;
	exchange_start(sa, answered);
	return 0;
}

void td_ike_negotiation_clear(struct td_ike_sa *sa)
{
	struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	const struct td_ike_task *task = sa->exchange.task;

	// No child was made with it.
	if (negotiation->spi && task && task->tunnel)
		td_life_spi_release(task->tunnel, negotiation->spi);
	td_dh_free(negotiation->dh);
	td_wipe(negotiation, sizeof(*negotiation));
}

struct td_ike_task *td_ike_exchange_end(struct td_ike_sa *sa)
{
	struct td_ike_task *task = sa->exchange.task;

	td_timers_cancel(sa->ike->env.timers, &sa->exchange.timer);
	td_ike_packets_free(&sa->exchange.packets);
	td_ike_fragments_free(&sa->answer_fragments);
	td_ike_negotiation_clear(sa);
	sa->exchange = (struct td_ike_exchange){0};
	// The next one starts when the caller is done with the answer.
	if (sa->state != TD_IKE_CLOSED && !TAILQ_EMPTY(&sa->tasks))
		td_timers_set(sa->ike->env.timers, &sa->task_timer, td_ike_now(sa->ike));
	return task;
}

void td_ike_exchange_drop(struct td_ike_sa *sa)
{
	struct td_ike_task *task = sa->exchange.task;

	if (sa->exchange.negotiation.successor)
		td_ike_sa_close(sa->exchange.negotiation.successor, NULL, NULL);
	sa->rekeying = false;
	(void)td_ike_exchange_end(sa);
	if (task) {
		td_ike_task_failed(task, TD_FAIL_TEMPORARY, "the IKE SA ended");
		td_ike_task_free(task);
	}
}

// ---- answers ----------------------------------------------------------------------------------

void td_ike_answer(struct td_ike_sa *sa, uint8_t exchange, struct td_ike_chain *chain)
{
	struct td_ike_packets packets = {0};

	// Without an answer the peer repeats its request, which is then done again: nothing may have changed,
	// so the SA is useless now.
	if (td_ike_packets_seal(sa, exchange, true, sa->expected_id, chain, &packets) < 0) {
		td_ike_sa_close(sa, "ike_failed", "an answer could not be made");
		return;
	}
	td_ike_packets_free(&sa->answer);
	td_ike_fragments_free(&sa->request_fragments);
	// A first message that comes again has had its answer: the peer has gone on.
	td_ike_sa_init_unlink(sa);
	sa->answer = packets;
	sa->expected_id++;
	td_ike_packets_send(sa, &sa->answer);
}

void td_ike_answer_notify(struct td_ike_sa *sa, uint8_t exchange, uint16_t notify, struct td_bytes data)
{
	struct td_ike_chain chain;

	td_ike_chain_start(sa->ike, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, notify, data);
	td_ike_answer(sa, exchange, &chain);
}

void td_ike_answer_again(struct td_ike_sa *sa, const struct td_path *path)
{
	struct td_ike_child *child;

	sa->ike->stats.answered_again++;
	// A replaced SA stays as long as the peer needs it.
	if (sa->state == TD_IKE_REKEYED)
		td_timers_set(
		    sa->ike->env.timers, &sa->end_timer, td_ike_now(sa->ike) + TD_IKE_OLD_MS * 1000000ull);
	// The peer had no answer yet, so it has none of the children that were made by it.
	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (child->life->state == TD_CHILD_PENDING)
			td_life_child_asked_again(child->life);
	// RFC 7296 2.11: to where the request came from, which may not be where the first one came from. That
	// is not remembered: a repetition may be somebody else's copy.
	td_ike_packets_repeat(sa, path, &sa->answer);
}

// ---- tasks ------------------------------------------------------------------------------------

struct td_ike_task *td_ike_task_add(struct td_ike_sa *sa, enum td_ike_task_kind kind)
{
	struct td_ike_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->kind = kind;
	TAILQ_INSERT_TAIL(&sa->tasks, task, entry);
	return task;
}

void td_ike_task_free(struct td_ike_task *task)
{
	free(task);
}

void td_ike_task_failed(const struct td_ike_task *task, enum td_life_failure failure, const char *reason)
{
	if (task->kind == TD_TASK_CREATE && task->tunnel)
		td_life_create_failed(task->tunnel, task->slot, failure, reason);
	if (task->kind == TD_TASK_REKEY_CHILD && task->child) {
		task->child->rekeying = false;
		td_life_rekey_failed(task->child->life, failure, reason);
	}
}

void td_ike_tasks_forget_child(struct td_ike_sa *sa, const struct td_ike_child *child)
{
	struct td_ike_task *task, *next;

	for (task = TAILQ_FIRST(&sa->tasks); task; task = next) {
		next = TAILQ_NEXT(task, entry);
		if (task->rival == child)
			task->rival = NULL;
		if (task->child != child)
			continue;
		TAILQ_REMOVE(&sa->tasks, task, entry);
		td_ike_task_free(task);
	}
	if (sa->exchange.negotiation.early == child)
		sa->exchange.negotiation.early = NULL;
	task = sa->exchange.task;
	if (task && task->child == child)
		task->child = NULL;
	if (task && task->rival == child)
		task->rival = NULL;
}

// The next task that may start now; *later becomes the earliest time of those that may not.
static struct td_ike_task *task_next(struct td_ike_sa *sa, uint64_t *later)
{
	bool over = td_onertt_is_over(sa);
	struct td_ike_task *task;

	*later = UINT64_MAX;
	TAILQ_FOREACH (task, &sa->tasks, entry) {
		// Nothing is made with keys that have expired.
		if (over && (task->kind == TD_TASK_CREATE || task->kind == TD_TASK_REKEY_CHILD ||
		                task->kind == TD_TASK_REKEY_IKE))
			continue;
		if (task->not_before_ns <= td_ike_now(sa->ike))
			return task;
		if (task->not_before_ns < *later)
			*later = task->not_before_ns;
	}
	return NULL;
}

// Returns 0 when a request is under way now, or -errno: the task failed.
static int task_start(struct td_ike_sa *sa, struct td_ike_task *task)
{
	switch (task->kind) {
	case TD_TASK_CREATE:
	case TD_TASK_REKEY_CHILD:
		return td_ike_create_start(sa, task);
	case TD_TASK_ERASE:
		return td_ike_erase_start(sa, task);
	case TD_TASK_REKEY_IKE:
		return td_ike_rekey_start(sa, task);
	case TD_TASK_DELETE_IKE:
		return td_ike_delete_start(sa);
	case TD_TASK_LIVENESS:
		return td_ike_liveness_start(sa);
	case TD_TASK_EXPIRED:
		return td_ike_expired_start(sa);
	}
	return -EINVAL;
}

// Both sides may have connected at once, and the lifecycle has then chosen between the children. The SA that
// is left without any serves nothing.
static bool is_surplus(const struct td_ike_sa *sa)
{
	const struct td_ike_sa *other;
	bool surplus = false;

	if (sa->state != TD_IKE_ESTABLISHED || !TAILQ_EMPTY(&sa->children))
		return false;
	TAILQ_FOREACH (other, &sa->peer->sas, of_peer) {
		if (other->peers == sa) // whose children it may get
			return false;
		surplus |=
		    other != sa && other->state == TD_IKE_ESTABLISHED && !TAILQ_EMPTY(&other->children);
	}
	return surplus;
}

void td_ike_tasks_run(struct td_ike_sa *sa)
{
	struct td_ike_task *task;
	uint64_t later;

	// A replaced SA only deletes itself and, with it, nothing else.
	while ((sa->state == TD_IKE_ESTABLISHED || sa->state == TD_IKE_REKEYED) && !sa->exchange.answered) {
		task = task_next(sa, &later);
		if (!task && td_onertt_is_over(sa)) {
			if (!td_onertt_go_on(sa))
				return;
			continue;
		}
		if (!task && later != UINT64_MAX) {
			td_timers_set(sa->ike->env.timers, &sa->task_timer, later);
			return;
		}
		if (!task && (!is_surplus(sa) || !(task = td_ike_task_add(sa, TD_TASK_DELETE_IKE))))
			return;
		TAILQ_REMOVE(&sa->tasks, task, entry);
		sa->exchange.task = task;
		int ret = task_start(sa, task);
		if (ret == 0)
			return;
		td_ike_negotiation_clear(sa);
		sa->exchange.task = NULL;
		// What is there already, or gone, needs nothing.
		if (ret != -EALREADY)
			td_ike_task_failed(task, TD_FAIL_TEMPORARY, strerror(-ret));
		else if (task->kind == TD_TASK_REKEY_CHILD && task->child)
			td_life_rekey_moot(task->child->life);
		td_ike_task_free(task);
	}
}
