// SPDX-License-Identifier: BSD-3-Clause
// INFORMATIONAL (RFC 7296 1.4): deletes, liveness checks, and what unauthenticated hints make us ask.

#include "control/ike/internal.h"

#include <errno.h>

static const struct td_bytes nothing;

// ---- we ask -----------------------------------------------------------------------------------

static void erase_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	struct td_ike_task *task = td_ike_exchange_end(sa);

	(void)answer; // it names the peer's half, or nothing when both sides deleted at once
	if (task->child)
		td_ike_child_forget(task->child, false);
	td_ike_task_free(task);
	td_ike_tasks_run(sa);
}

int td_ike_erase_start(struct td_ike_sa *sa, struct td_ike_task *task)
{
	uint8_t spi[4];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};
	struct td_ike_chain chain;

	if (!task->child && !task->orphan_spi)
		return -EALREADY;
	// Nothing is sent on it any more before the peer hears that it goes.
	if (task->child)
		td_life_child_retire(task->child->life);
	td_ike_chain_start(sa->ike, &chain);
	td_writer_u32(&writer, task->child ? task->child->spi_in : task->orphan_spi);
	td_ike_delete_write(&chain, TD_IKE_PROTO_ESP, sizeof(spi), 1, td_writer_bytes_of(&writer));
	return td_ike_request(sa, TD_IKE_INFORMATIONAL, &chain, erase_answered);
}

void td_ike_orphan_erase(struct td_ike_sa *sa, uint32_t spi)
{
	struct td_ike_task *task = td_ike_task_add(sa, TD_TASK_ERASE);

	if (task)
		task->orphan_spi = spi;
}

static void delete_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	(void)answer;
	td_ike_sa_close(sa, sa->successor ? NULL : "ike_down", "deleted");
}

int td_ike_delete_start(struct td_ike_sa *sa)
{
	struct td_ike_child *child;
	struct td_ike_chain chain;

	TAILQ_FOREACH (child, &sa->children, of_sa)
		td_life_child_retire(child->life);
	sa->state = TD_IKE_DELETING;
	td_ike_chain_start(sa->ike, &chain);
	td_ike_delete_write(&chain, TD_IKE_PROTO_IKE, 0, 0, nothing);
	int ret = td_ike_request(sa, TD_IKE_INFORMATIONAL, &chain, delete_answered);
	// Nobody else would end it: the peer finds out by its liveness check.
	if (ret < 0)
		td_timers_set(sa->ike->env.timers, &sa->end_timer, td_ike_now(sa->ike));
	return ret;
}

static void liveness_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	(void)answer;
	td_ike_task_free(td_ike_exchange_end(sa));
	td_ike_tasks_run(sa);
}

int td_ike_liveness_start(struct td_ike_sa *sa)
{
	struct td_ike_chain chain;

	td_ike_chain_start(sa->ike, &chain);
	return td_ike_request(sa, TD_IKE_INFORMATIONAL, &chain, liveness_answered);
}

int td_ike_expired_start(struct td_ike_sa *sa)
{
	struct td_ike_chain chain;

	td_ike_chain_start(sa->ike, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_KEY_EXPIRED, nothing);
	return td_ike_request(sa, TD_IKE_INFORMATIONAL, &chain, liveness_answered);
}

void td_ike_probe(struct td_ike_sa *sa)
{
	uint64_t now = td_ike_now(sa->ike);

	if (sa->state != TD_IKE_ESTABLISHED ||
	    (sa->probe_ns && now - sa->probe_ns < TD_IKE_PROBE_MS * 1000000ull))
		return;
	sa->probe_ns = now;
	// A request under way asks as well.
	if (!sa->exchange.answered && td_ike_task_add(sa, TD_TASK_LIVENESS))
		td_ike_tasks_run(sa);
}

// ---- the peer asks ----------------------------------------------------------------------------

// A child that the peer names on an SA. It may have asked before it knew of the successor, to which the
// children have gone.
static struct td_ike_child *child_named(struct td_ike_sa *sa, uint32_t spi_out)
{
	struct td_ike_child *child = NULL;

	for (; sa && !child; sa = sa->successor)
		child = td_ike_child_find_out(sa, spi_out);
	return child;
}

// The children that a DELETE names go; the SPIs of our halves are written to spis. Returns how many.
static uint16_t children_delete(
    struct td_ike_sa *sa, const struct td_ike_delete *list, struct td_writer *spis)
{
	struct td_cursor cursor = td_cursor_of(list->spis);
	uint16_t count = 0;
	uint32_t spi;

	if (list->protocol != TD_IKE_PROTO_ESP || list->spi_size != sizeof(spi))
		return 0;
	while (td_cursor_u32(&cursor, &spi)) {
		struct td_ike_child *child = child_named(sa, spi);

		if (!child) {
			struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;

			negotiation->gone[negotiation->gone_count++ % TD_IKE_GONE_MAX] = spi;
			continue;
		}
		// Both sides delete it: ours is named in our own request (RFC 7296 1.4.1).
		if (!child->erasing) {
			td_writer_u32(spis, child->spi_in);
			count++;
		}
		// What the peer says on the SA before proves nothing of a successor that the one behind has
		// made.
		td_ike_child_forget(child, child->sa == sa);
	}
	return spis->overflow ? 0 : count;
}

static bool deletes_sa(const struct td_ike_payloads *request)
{
	for (unsigned i = 0; i < request->delete_count; i++)
		if (request->deletes[i].protocol == TD_IKE_PROTO_IKE)
			return true;
	return false;
}

void td_ike_informational_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request)
{
	uint8_t bytes[1024];
	struct td_writer spis = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_ike_chain chain;
	uint16_t count = 0;

	if (deletes_sa(request)) {
		td_ike_chain_start(sa->ike, &chain);
		td_ike_answer(sa, TD_IKE_INFORMATIONAL, &chain);
		if (sa->state == TD_IKE_CLOSED)
			return;
		td_ike_rekey_overtaken(sa);
		td_onertt_overtaken(sa);
		td_ike_sa_close(sa, sa->successor ? NULL : "ike_down", "the peer has deleted it");
		return;
	}
	// The loser of two rekeys of an IKE SA only deletes what it has made.
	td_ike_rekey_settle(sa);
	for (unsigned i = 0; i < request->delete_count; i++)
		count = (uint16_t)(count + children_delete(sa, &request->deletes[i], &spis));
	td_ike_chain_start(sa->ike, &chain);
	if (count)
		td_ike_delete_write(&chain, TD_IKE_PROTO_ESP, 4, count, td_writer_bytes_of(&spis));
	if (td_onertt_is_over(sa))
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_KEY_EXPIRED, nothing);
	td_ike_answer(sa, TD_IKE_INFORMATIONAL, &chain);
	// The initiator does not believe who we are (RFC 7296 2.21.2).
	if (sa->state != TD_IKE_CLOSED && td_ike_notify_find(request, TD_N_AUTHENTICATION_FAILED))
		td_ike_sa_close(sa, "ike_failed", "the peer does not accept our proof of identity");
	if (sa->state != TD_IKE_CLOSED && td_ike_notify_find(request, TD_N_KEY_EXPIRED))
		td_onertt_told(sa, NULL);
}
