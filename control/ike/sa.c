// SPDX-License-Identifier: BSD-3-Clause
// IKE SAs: made, found, established, closed.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- tables -----------------------------------------------------------------------------------

struct td_ike_sa *td_ike_sa_find(struct td_ike *ike, uint64_t own_spi)
{
	uint64_t hash = td_hash_mix(own_spi);

	for (struct td_hash_node *node = td_hash_first(&ike->by_spi, hash); node; node = td_hash_next(node)) {
		struct td_ike_sa *sa = (struct td_ike_sa *)node;

		if (td_ike_own_spi(sa) == own_spi)
			return sa;
	}
	return NULL;
}

// Without the port: a NAT may take another one before the request comes again.
static uint64_t init_hash(uint64_t spi_i, const struct td_path *path)
{
	uint64_t hash = td_hash_mix(spi_i);

	for (unsigned i = 0; i < td_ip_length(path->remote.family); i++)
		hash = td_hash_mix(hash ^ path->remote.bytes[i]);
	return hash;
}

static struct td_ike_sa *sa_of_init(struct td_hash_node *node)
{
	return (struct td_ike_sa *)((char *)node - offsetof(struct td_ike_sa, by_init));
}

struct td_ike_sa *td_ike_sa_find_init(
    struct td_ike *ike, uint64_t spi_i, const struct td_path *path, bool onertt)
{
	uint64_t hash = init_hash(spi_i, path);

	for (struct td_hash_node *node = td_hash_first(&ike->by_init, hash); node;
	     node = td_hash_next(node)) {
		struct td_ike_sa *sa = sa_of_init(node);

		if (sa->spi_i == spi_i && (sa->onertt != NULL) == onertt &&
		    td_ip_equal(&sa->path.remote, &path->remote))
			return sa;
	}
	return NULL;
}

static void path_link(struct td_ike_sa *sa)
{
	td_hash_link(
	    &sa->ike->by_path, &sa->by_path, td_ike_addresses_hash(&sa->path.local, &sa->path.remote));
}

struct td_ike_sa *td_ike_sa_find_path(
    struct td_ike *ike, const struct td_ip *local, const struct td_ip *remote)
{
	uint64_t hash = td_ike_addresses_hash(local, remote);

	for (struct td_hash_node *node = td_hash_first(&ike->by_path, hash); node;
	     node = td_hash_next(node)) {
		struct td_ike_sa *sa =
		    (struct td_ike_sa *)((char *)node - offsetof(struct td_ike_sa, by_path));

		if (sa->state == TD_IKE_ESTABLISHED && td_ip_equal(&sa->path.remote, remote) &&
		    td_ip_equal(&sa->path.local, local))
			return sa;
	}
	return NULL;
}

static uint64_t source_hash(const struct td_ip *remote)
{
	static const struct td_ip anywhere;

	return td_ike_addresses_hash(&anywhere, remote);
}

unsigned td_ike_source_count(const struct td_ike *ike, const struct td_ip *remote)
{
	unsigned count = 0;

	for (struct td_hash_node *node = td_hash_first(&ike->by_source, source_hash(remote)); node;
	     node = td_hash_next(node)) {
		const struct td_ike_sa *sa =
		    (struct td_ike_sa *)((char *)node - offsetof(struct td_ike_sa, by_source));

		count += td_ip_equal(&sa->path.remote, remote);
	}
	return count;
}

static unsigned *half_open_of(struct td_ike_sa *sa)
{
	return sa->onertt ? &sa->ike->unproven : &sa->ike->half_open;
}

void td_ike_sa_init_link(struct td_ike_sa *sa, bool half_open)
{
	if (half_open)
		td_hash_link(&sa->ike->by_source, &sa->by_source, source_hash(&sa->path.remote));
	sa->half_open = half_open;
	*half_open_of(sa) += half_open;
	sa->init_linked = true;
	td_hash_link(&sa->ike->by_init, &sa->by_init, init_hash(sa->spi_i, &sa->path));
}

void td_ike_sa_init_unlink(struct td_ike_sa *sa)
{
	if (!sa->init_linked)
		return;
	if (sa->half_open)
		td_hash_unlink(&sa->ike->by_source, &sa->by_source);
	*half_open_of(sa) -= sa->half_open;
	sa->half_open = sa->init_linked = false;
	td_hash_unlink(&sa->ike->by_init, &sa->by_init);
}

static uint64_t spi_new(struct td_ike *ike)
{
	uint64_t spi;

	do {
		ike->env.random(ike->env.context, &spi, sizeof(spi));
		if (ike->env.spi)
			spi = ike->env.spi((uint32_t)spi);
	} while (spi == 0 || td_ike_sa_find(ike, spi));
	return spi;
}

// ---- making -----------------------------------------------------------------------------------

// A responder that is not authenticated, or an old SA that the peer does not delete, ends by itself.
static void end_due(void *context)
{
	struct td_ike_sa *sa = context;

	td_ike_sa_close(sa, NULL, "time is over");
}

static void task_due(void *context)
{
	td_ike_wishes_retry(context);
	td_ike_tasks_run(context);
}

static void rekey_due(void *context)
{
	struct td_ike_sa *sa = context;

	if (sa->state != TD_IKE_ESTABLISHED || sa->rekeying)
		return;
	if (td_ike_task_add(sa, TD_TASK_REKEY_IKE))
		td_ike_tasks_run(sa);
	else
		td_ike_rekey_later(sa);
}

static void liveness_due(void *context)
{
	struct td_ike_sa *sa = context;
	uint64_t interval = sa->peer->config.liveness_ns;
	uint64_t now = td_ike_now(sa->ike);

	if (sa->state != TD_IKE_ESTABLISHED)
		return;
	if (now - sa->heard_ns < interval) {
		td_timers_set(sa->ike->env.timers, &sa->liveness_timer, sa->heard_ns + interval);
		return;
	}
	td_timers_set(sa->ike->env.timers, &sa->liveness_timer, now + interval);
	// Any exchange under way tells as much.
	if (!sa->exchange.answered && TAILQ_EMPTY(&sa->tasks) && td_ike_task_add(sa, TD_TASK_LIVENESS))
		td_ike_tasks_run(sa);
}

struct td_ike_sa *td_ike_sa_create(struct td_ike *ike, bool initiator, const struct td_path *path)
{
	struct td_ike_sa *sa = NULL;

	if (td_hash_reserve(&ike->by_spi, 1) < 0 || td_hash_reserve(&ike->by_init, 1) < 0 ||
	    td_hash_reserve(&ike->by_source, 1) < 0 || td_hash_reserve(&ike->by_path, 1) < 0)
		return NULL;
	sa = calloc(1, sizeof(*sa));
	if (!sa)
		return NULL;
	sa->ike = ike;
	sa->initiator = initiator;
	sa->path = *path;
	sa->created_ns = td_ike_now(ike);
	sa->heard_ns = sa->created_ns;
	*(initiator ? &sa->spi_i : &sa->spi_r) = spi_new(ike);
	TAILQ_INIT(&sa->tasks);
	TAILQ_INIT(&sa->children);
	sa->task_timer = (struct td_timer){.fn = task_due, .context = sa};
	sa->rekey_timer = (struct td_timer){.fn = rekey_due, .context = sa};
	sa->liveness_timer = (struct td_timer){.fn = liveness_due, .context = sa};
	sa->end_timer = (struct td_timer){.fn = end_due, .context = sa};
	LIST_INSERT_HEAD(&ike->sas, sa, all);
	// Room was reserved above.
	td_hash_link(&ike->by_spi, &sa->by_spi, td_hash_mix(td_ike_own_spi(sa)));
	path_link(sa);
	return sa;
}

void td_ike_sa_peer_set(struct td_ike_sa *sa, struct td_ike_peer *peer)
{
	if (sa->peer)
		TAILQ_REMOVE(&sa->peer->sas, sa, of_peer);
	sa->peer = peer;
	if (peer)
		TAILQ_INSERT_HEAD(&peer->sas, sa, of_peer);
}

void td_ike_handshake_free(struct td_ike_sa *sa)
{
	struct td_ike_handshake *handshake = sa->handshake;

	if (!handshake)
		return;
	td_dh_free(handshake->dh);
	td_onertt_first_free(handshake->first);
	free(handshake->own_message);
	free(handshake->peer_message);
	td_wipe(handshake, sizeof(*handshake));
	free(handshake);
	sa->handshake = NULL;
}

// A random time between 80 and 100 % of the configured one, so that both ends seldom start at once.
static uint64_t rekey_after(const struct td_ike_sa *sa)
{
	uint64_t configured = sa->peer->config.rekey_ns;
	uint32_t random;

	sa->ike->env.random(sa->ike->env.context, &random, sizeof(random));
	return configured - configured / 5 * (random % 1024) / 1024;
}

void td_ike_sa_established(struct td_ike_sa *sa)
{
	struct td_timers *timers = sa->ike->env.timers;
	uint64_t now = td_ike_now(sa->ike);

	td_ike_sa_init_unlink(sa);
	td_ike_handshake_free(sa);
	td_timers_cancel(timers, &sa->end_timer);
	sa->state = TD_IKE_ESTABLISHED;
	sa->established_ns = now;
	sa->heard_ns = now;
	if (sa->peer->config.rekey_ns)
		td_timers_set(timers, &sa->rekey_timer, now + rekey_after(sa));
	if (sa->peer->config.liveness_ns)
		td_timers_set(timers, &sa->liveness_timer, now + sa->peer->config.liveness_ns);
}

struct td_ike_sa *td_ike_peer_sa(const struct td_ike_peer *peer)
{
	struct td_ike_sa *sa;

	TAILQ_FOREACH (sa, &peer->sas, of_peer)
		if (sa->state == TD_IKE_ESTABLISHED)
			return sa;
	return NULL;
}

// ---- ending -----------------------------------------------------------------------------------

static void children_forget(struct td_ike_sa *sa)
{
	struct td_ike_child *child;

	while ((child = TAILQ_FIRST(&sa->children)))
		td_ike_child_forget(child, false);
}

static void tasks_fail(struct td_ike_sa *sa, const char *reason)
{
	struct td_ike_task *task;

	while ((task = TAILQ_FIRST(&sa->tasks))) {
		TAILQ_REMOVE(&sa->tasks, task, entry);
		td_ike_task_failed(task, TD_FAIL_TEMPORARY, reason ? reason : "the IKE SA ended");
		td_ike_task_free(task);
	}
}

// Nobody is left with a pointer to it; SAs point only to those of the same peer.
static void pointers_clear(struct td_ike_sa *sa)
{
	struct td_ike_sa *other;

	TAILQ_REMOVE(&sa->peer->sas, sa, of_peer);
	TAILQ_FOREACH (other, &sa->peer->sas, of_peer) {
		if (other->successor == sa)
			other->successor = NULL;
		if (other->peers == sa)
			other->peers = NULL;
	}
}

void td_ike_sa_close(struct td_ike_sa *sa, const char *kind, const char *reason)
{
	struct td_ike *ike = sa->ike;
	struct td_timers *timers = ike->env.timers;

	if (sa->state == TD_IKE_CLOSED)
		return;
	if (kind)
		td_ike_event(sa, kind, reason);
	td_ike_sa_init_unlink(sa);
	sa->state = TD_IKE_CLOSED;
	td_hash_unlink(&ike->by_spi, &sa->by_spi);
	td_hash_unlink(&ike->by_path, &sa->by_path);
	td_timers_cancel(timers, &sa->task_timer);
	td_timers_cancel(timers, &sa->rekey_timer);
	td_timers_cancel(timers, &sa->liveness_timer);
	td_timers_cancel(timers, &sa->end_timer);
	LIST_REMOVE(sa, all);
	if (sa->peer)
		pointers_clear(sa);
	td_ike_exchange_drop(sa);
	tasks_fail(sa, reason);
	children_forget(sa);
	td_ike_handshake_free(sa);
	td_ike_packets_free(&sa->answer);
	td_ike_fragments_free(&sa->request_fragments);
	td_ike_fragments_free(&sa->answer_fragments);
	td_ike_keys_wipe(&sa->keys);
	td_onertt_free(sa, reason);
	LIST_INSERT_HEAD(&ike->closed, sa, all);
}

void td_ike_sa_fail(struct td_ike_sa *sa, enum td_life_failure failure, const char *reason)
{
	struct td_ike_task *task;

	td_ike_event(sa, "ike_failed", reason);
	if ((task = td_ike_exchange_end(sa)))
		TAILQ_INSERT_HEAD(&sa->tasks, task, entry);
	while ((task = TAILQ_FIRST(&sa->tasks))) {
		TAILQ_REMOVE(&sa->tasks, task, entry);
		td_ike_task_failed(task, failure, reason);
		td_ike_task_free(task);
	}
	td_ike_sa_close(sa, NULL, reason);
}

void td_ike_bury(struct td_ike *ike)
{
	struct td_ike_sa *sa;

	while ((sa = LIST_FIRST(&ike->closed))) {
		LIST_REMOVE(sa, all);
		td_wipe(sa, sizeof(*sa));
		free(sa);
	}
}

// ---- rekey and roaming ------------------------------------------------------------------------

void td_ike_sa_inherit(struct td_ike_sa *successor, struct td_ike_sa *sa)
{
	struct td_ike_child *child;
	struct td_ike_task *task;

	while ((child = TAILQ_FIRST(&sa->children))) {
		TAILQ_REMOVE(&sa->children, child, of_sa);
		child->sa = successor;
		TAILQ_INSERT_TAIL(&successor->children, child, of_sa);
	}
	while ((task = TAILQ_FIRST(&sa->tasks))) {
		TAILQ_REMOVE(&sa->tasks, task, entry);
		// What was wanted of the old SA itself is done, or moot.
		if (task->kind == TD_TASK_CREATE || task->kind == TD_TASK_REKEY_CHILD ||
		    task->kind == TD_TASK_ERASE)
			TAILQ_INSERT_TAIL(&successor->tasks, task, entry);
		else
			td_ike_task_free(task);
	}
	successor->remote_id = sa->remote_id;
	sa->successor = successor;
	sa->state = TD_IKE_REKEYED;
	td_timers_cancel(sa->ike->env.timers, &sa->rekey_timer);
	td_timers_cancel(sa->ike->env.timers, &sa->liveness_timer);
}

void td_ike_sa_path_set(struct td_ike_sa *sa, const struct td_path *path)
{
	td_hash_unlink(&sa->ike->by_path, &sa->by_path);
	sa->path = *path;
	path_link(sa);
}

void td_ike_sa_path_update(struct td_ike_sa *sa, const struct td_path *path)
{
	const struct td_ike_child *child;

	// RFC 7296 2.23: the initiator may go over to port 4500, with or without a NAT; answers come from
	// there.
	if (path->local_port != sa->path.local_port) {
		sa->path.local_port = path->local_port;
		sa->path.remote_port = path->remote_port;
	}
	// A peer that is not behind a NAT stays where it is: MOBIKE is not spoken.
	if (!sa->nat_remote ||
	    (sa->path.remote_port == path->remote_port && td_ip_equal(&sa->path.remote, &path->remote)))
		return;
	td_hash_unlink(&sa->ike->by_path, &sa->by_path);
	sa->path.remote = path->remote;
	sa->path.remote_port = path->remote_port;
	path_link(sa);
	td_ike_event(sa, "ike_moved", NULL);
	// All that is sent to the peer goes there, ESP too.
	if (sa->ike->env.moved)
		TAILQ_FOREACH (child, &sa->children, of_sa)
			sa->ike->env.moved(sa->ike->env.context, child->life->tunnel, &sa->path);
}
