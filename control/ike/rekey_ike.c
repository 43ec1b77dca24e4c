// SPDX-License-Identifier: BSD-3-Clause
// CREATE_CHILD_SA for the IKE SA itself (RFC 7296 1.3.2, 2.18), and both sides doing it at once
// (2.8.2, 2.25.2).

#include "control/ike/internal.h"

#include <errno.h>
#include <string.h>

#define IKE_SPI_BYTES 8

static const struct td_bytes nothing;

static void rekey_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer);

static void spi_write(uint64_t spi, uint8_t wire[IKE_SPI_BYTES])
{
	struct td_writer writer = {.data = wire, .capacity = IKE_SPI_BYTES};

	td_writer_u64(&writer, spi);
}

static uint64_t spi_of(const struct td_ike_proposal *proposal)
{
	struct td_cursor cursor = {proposal->spi, proposal->spi_size};
	uint64_t spi = 0;

	if (proposal->spi_size == IKE_SPI_BYTES)
		(void)td_cursor_u64(&cursor, &spi);
	return spi;
}

// ---- we ask -----------------------------------------------------------------------------------

void td_ike_rekey_later(struct td_ike_sa *sa)
{
	uint64_t configured = sa->peer->config.rekey_ns;

	if (configured)
		td_timers_set(sa->ike->env.timers, &sa->rekey_timer,
		    td_ike_now(sa->ike) + configured / 10 + 1000000000u);
}

int td_ike_rekey_start(struct td_ike_sa *sa, struct td_ike_task *task)
{
	struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	const struct td_ike_proposals *proposals = &sa->peer->config.proposals;
	uint16_t group = task->group                                         ? task->group
	                 : td_ike_proposals_have_dh(proposals, sa->suite.dh) ? sa->suite.dh
	                                                                     : td_ike_proposals_dh(proposals);
	uint8_t spi[IKE_SPI_BYTES];
	struct td_ike_chain chain;
	int ret;

	if (sa->state != TD_IKE_ESTABLISHED)
		return -EALREADY;
	negotiation->successor = td_ike_sa_create(sa->ike, true, &sa->path);
	negotiation->dh = td_dh_create(group);
	if (!negotiation->successor || !negotiation->dh) {
		ret = -ENOMEM;
		goto fail;
	}
	td_ike_sa_peer_set(negotiation->successor, sa->peer);
	negotiation->nonce.length = TD_IKE_NONCE_BYTES;
	sa->ike->env.random(sa->ike->env.context, negotiation->nonce.data, TD_IKE_NONCE_BYTES);
	spi_write(negotiation->successor->spi_i, spi);
	td_ike_chain_start(sa->ike, &chain);
	td_ike_proposals_write(&chain, proposals, spi, sizeof(spi));
	td_ike_nonce_write(&chain, td_ike_nonce_bytes(&negotiation->nonce));
	td_ike_ke_write(&chain, group, td_dh_public(negotiation->dh));
	td_ike_token_write(negotiation->successor, &chain);
	ret = td_ike_request(sa, TD_IKE_CREATE_CHILD_SA, &chain, rekey_answered);
	if (ret < 0)
		goto fail;
	sa->rekeying = true;
	return 0;
fail:
	if (negotiation->successor)
		td_ike_sa_close(negotiation->successor, NULL, NULL);
	negotiation->successor = NULL;
	td_ike_rekey_later(sa);
	return ret;
}

// Gives the successor its keys. Returns 0 or -errno.
static int successor_key(const struct td_ike_sa *sa, struct td_ike_sa *successor, const struct td_dh *dh,
    struct td_bytes peer_value, struct td_bytes nonce_i, struct td_bytes nonce_r)
{
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	const struct td_ike_random random = td_ike_random_of(sa->ike);
	size_t length;
	int ret = td_dh_agree(dh, peer_value, shared, &length);

	if (ret == 0)
		ret = td_ike_keys_derive(&successor->suite, (struct td_bytes){shared, length}, nonce_i,
		    nonce_r, successor->spi_i, successor->spi_r, &sa->keys.d, sa->keys.prf, &random,
		    &successor->keys);
	td_wipe(shared, sizeof(shared));
	if (ret < 0)
		return ret;
	successor->nat_local = sa->nat_local;
	successor->nat_remote = sa->nat_remote;
	successor->peer_fragments = sa->peer_fragments;
	successor->peer_hashes = sa->peer_hashes;
	successor->remote_id = sa->remote_id;
	td_ike_nonce_lowest(nonce_i, nonce_r, &successor->lowest);
	td_ike_sa_established(successor);
	return td_onertt_inherit(successor, sa);
}

void td_ike_sa_delete(struct td_ike_sa *sa)
{
	if (td_ike_task_add(sa, TD_TASK_DELETE_IKE))
		td_timers_set(sa->ike->env.timers, &sa->task_timer, td_ike_now(sa->ike));
}

void td_ike_replace(struct td_ike_sa *sa, struct td_ike_sa *successor)
{
	struct td_ike_sa *other;

	sa->peers = NULL;
	TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
		if (other->peers == sa)
			other->peers = successor;
	td_ike_sa_inherit(successor, sa);
	td_ike_event(successor, "ike_rekeyed", NULL);
	td_timers_set(sa->ike->env.timers, &sa->end_timer, td_ike_now(sa->ike) + TD_IKE_OLD_MS * 1000000ull);
	td_timers_set(sa->ike->env.timers, &successor->task_timer, td_ike_now(sa->ike));
}

void td_ike_rekey_overtaken(struct td_ike_sa *sa)
{
	if (sa->peers)
		td_ike_replace(sa, sa->peers);
}

void td_ike_rekey_settle(struct td_ike_sa *sa)
{
	struct td_ike_sa *other;

	TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
		if (other->peers == sa)
			td_ike_replace(other, sa);
}

// Our request has failed or lost. What the peer made meanwhile, if anything, takes over.
static void rekey_lost(struct td_ike_sa *sa, struct td_ike_task *task, bool again)
{
	if (sa->peers) {
		td_ike_replace(sa, sa->peers);
	} else if (again) {
		uint32_t random;

		sa->ike->env.random(sa->ike->env.context, &random, sizeof(random));
		task->not_before_ns =
		    td_ike_now(sa->ike) + TD_IKE_BUSY_MS * 1000000ull * (1024 + random % 1024) / 1024;
		TAILQ_INSERT_TAIL(&sa->tasks, task, entry);
		return;
	} else {
		td_ike_rekey_later(sa);
	}
	td_ike_task_free(task);
}

static bool other_group(struct td_ike_sa *sa, struct td_ike_task *task, const struct td_ike_notify *notify)
{
	struct td_cursor cursor = td_cursor_of(notify->data);
	uint16_t group;

	if (sa->peers || !td_cursor_u16(&cursor, &group) || group == task->group ||
	    task->groups >= TD_IKE_INIT_RESTARTS ||
	    !td_ike_proposals_have_dh(&sa->peer->config.proposals, group))
		return false;
	task->group = group;
	task->groups++;
	TAILQ_INSERT_HEAD(&sa->tasks, task, entry);
	return true;
}

// Returns 0 when successor has keys.
static int choice_take(
    struct td_ike_sa *sa, struct td_ike_sa *successor, const struct td_ike_payloads *answer)
{
	struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	struct td_ike_proposals chosen;

	if (!answer->sa.data || !answer->ke.data || answer->nonce.length < TD_IKE_NONCE_MIN_BYTES ||
	    answer->nonce.length > TD_IKE_NONCE_MAX_BYTES || td_ike_proposals_read(answer->sa, &chosen) < 0 ||
	    chosen.count != 1 || spi_of(&chosen.list[0]) == 0 ||
	    !td_ike_proposal_is_choice(&sa->peer->config.proposals, &chosen.list[0], false))
		return -EBADMSG;
	successor->suite = td_ike_suite_of(&chosen.list[0]);
	successor->spi_r = spi_of(&chosen.list[0]);
	if (successor->suite.dh != td_dh_group(negotiation->dh) || answer->ke_group != successor->suite.dh)
		return -EBADMSG;
	return successor_key(sa, successor, negotiation->dh, answer->ke,
	    td_ike_nonce_bytes(&negotiation->nonce), answer->nonce);
}

static void rekey_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *refusal = td_ike_notify_error(answer);
	struct td_ike_sa *successor = sa->exchange.negotiation.successor;
	bool made = !refusal && choice_take(sa, successor, answer) == 0;

	// The peer may have moved since the successor was made.
	td_ike_sa_path_set(successor, &sa->path);
	if (made)
		td_ike_token_read(successor, answer);
	else
		td_ike_sa_close(successor, NULL, NULL);
	sa->exchange.negotiation.successor = NULL;
	sa->rekeying = false;
	struct td_ike_task *task = td_ike_exchange_end(sa);
	if (sa->state != TD_IKE_ESTABLISHED) {
		// Settled meanwhile, in favour of the peer.
		sa->ike->stats.collisions += made;
		if (made)
			td_ike_sa_delete(successor);
		td_ike_task_free(task);
	} else if (!made) {
		if (refusal && refusal->type == TD_N_INVALID_KE_PAYLOAD && other_group(sa, task, refusal))
			;
		else
			rekey_lost(sa, task, refusal && refusal->type == TD_N_TEMPORARY_FAILURE);
	} else if (sa->peers && td_ike_nonce_compare(&successor->lowest, &sa->peers_lowest) <= 0) {
		sa->ike->stats.collisions++;
		td_ike_sa_delete(successor);
		rekey_lost(sa, task, false);
	} else {
		sa->ike->stats.collisions += sa->peers != NULL;
		td_ike_replace(sa, successor);
		td_ike_sa_delete(sa);
		td_ike_task_free(task);
	}
	td_ike_tasks_run(sa);
}

// ---- the peer asks ----------------------------------------------------------------------------

// A child is being made or deleted, so the set of children is in motion (RFC 7296 2.25.2).
static bool children_in_motion(const struct td_ike_sa *sa)
{
	const struct td_ike_task *task = sa->exchange.task;

	return task && (task->kind == TD_TASK_CREATE || task->kind == TD_TASK_REKEY_CHILD ||
	                   task->kind == TD_TASK_ERASE);
}

// Makes the SA that the peer wants, and the answer. Returns NULL with the notify to refuse with.
static struct td_ike_sa *successor_make(struct td_ike_sa *sa, const struct td_ike_payloads *request,
    struct td_ike_chain *chain, uint16_t *refusal, uint16_t *group)
{
	struct td_ike_proposals offered, answer = {.count = 1};
	struct td_ike_nonce nonce = {.length = TD_IKE_NONCE_BYTES};
	struct td_ike_proposal *chosen = &answer.list[0];
	struct td_ike_sa *successor = NULL;
	uint8_t spi[IKE_SPI_BYTES];
	struct td_dh *dh;

	*refusal = TD_N_INVALID_SYNTAX;
	if (!request->sa.data || !request->ke.data || request->nonce.length < TD_IKE_NONCE_MIN_BYTES ||
	    request->nonce.length > TD_IKE_NONCE_MAX_BYTES ||
	    td_ike_proposals_read(request->sa, &offered) < 0)
		return NULL;
	*refusal = TD_N_NO_PROPOSAL_CHOSEN;
	if (td_ike_proposal_choose(&sa->peer->config.proposals, &offered, false, chosen) < 0 ||
	    spi_of(chosen) == 0)
		return NULL;
	struct td_ike_suite suite = td_ike_suite_of(chosen);
	*refusal = TD_N_INVALID_KE_PAYLOAD;
	*group = suite.dh;
	if (request->ke_group != suite.dh)
		return NULL;
	*refusal = TD_N_TEMPORARY_FAILURE;
	dh = td_dh_create(suite.dh);
	successor = dh ? td_ike_sa_create(sa->ike, false, &sa->path) : NULL;
	if (!successor)
		goto out;
	td_ike_sa_peer_set(successor, sa->peer);
	successor->spi_i = spi_of(chosen);
	successor->suite = suite;
	sa->ike->env.random(sa->ike->env.context, nonce.data, nonce.length);
	if (successor_key(sa, successor, dh, request->ke, request->nonce, td_ike_nonce_bytes(&nonce)) < 0) {
		td_ike_sa_close(successor, NULL, NULL);
		successor = NULL;
		*refusal = TD_N_INVALID_SYNTAX;
		goto out;
	}
	td_ike_token_read(successor, request);
	spi_write(successor->spi_r, spi);
	td_ike_proposals_write(chain, &answer, spi, sizeof(spi));
	td_ike_nonce_write(chain, td_ike_nonce_bytes(&nonce));
	td_ike_ke_write(chain, suite.dh, td_dh_public(dh));
	td_ike_token_write(successor, chain);
out:
	td_dh_free(dh);
	return successor;
}

void td_ike_rekey_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request)
{
	struct td_ike_sa *successor;
	uint16_t refusal = 0, group = 0;
	struct td_ike_chain chain;

	if (sa->state != TD_IKE_ESTABLISHED || children_in_motion(sa) || sa->peers) {
		td_ike_answer_notify(sa, TD_IKE_CREATE_CHILD_SA, TD_N_TEMPORARY_FAILURE, nothing);
		return;
	}
	td_ike_chain_start(sa->ike, &chain);
	successor = successor_make(sa, request, &chain, &refusal, &group);
	if (!successor) {
		uint8_t data[2] = {(uint8_t)(group >> 8), (uint8_t)group};

		td_ike_answer_notify(sa, TD_IKE_CREATE_CHILD_SA, refusal,
		    refusal == TD_N_INVALID_KE_PAYLOAD ? (struct td_bytes){data, sizeof(data)} : nothing);
		return;
	}
	td_ike_answer(sa, TD_IKE_CREATE_CHILD_SA, &chain);
	if (sa->state == TD_IKE_CLOSED) {
		td_ike_sa_close(successor, NULL, NULL);
	} else if (sa->rekeying) {
		sa->peers = successor; // settled with the answer to our own request
		sa->peers_lowest = successor->lowest;
	} else {
		td_ike_replace(sa, successor);
	}
}
