// SPDX-License-Identifier: BSD-3-Clause
// IKE_AUTH (RFC 7296 1.2): both sides prove who they are, and the first child is made on the way.

#include "control/ike/internal.h"

#include <stdio.h>
#include <string.h>

static const struct td_bytes nothing;

// The ID payload's body, which AUTH covers.
static struct td_bytes id_body(const struct td_ike_id *id, uint8_t buffer[4 + TD_ID_MAX_BYTES])
{
	memset(buffer, 0, 4);
	buffer[0] = id->type;
	memcpy(buffer + 4, id->data, id->length);
	return (struct td_bytes){buffer, 4u + id->length};
}

static struct td_bytes id_data(const struct td_ike_id *id)
{
	return (struct td_bytes){id->data, id->length};
}

// Writes our ID, certificates and AUTH. Returns 0 or -errno.
static int proof_write(
    struct td_ike_sa *sa, const struct td_ike_peer_config *config, struct td_ike_chain *chain)
{
	struct td_ike_handshake *handshake = sa->handshake;
	uint8_t body[4 + TD_ID_MAX_BYTES], signature[1024];
	struct td_writer writer = {.data = signature, .capacity = sizeof(signature)};
	struct td_ike_signed what = {
	    .keys = &sa->keys,
	    .initiator = sa->initiator,
	    .message = {handshake->own_message, handshake->own_length},
	    .nonce = td_ike_nonce_bytes(sa->initiator ? &handshake->nonce_r : &handshake->nonce_i),
	    .id_body = id_body(&config->local_id, body),
	};
	uint8_t method;
	int ret = td_ike_auth_sign(config->local, &what, sa->peer_hashes, &method, &writer);

	if (ret < 0)
		return ret;
	td_ike_id_write(chain, sa->initiator ? TD_IKE_PAYLOAD_IDI : TD_IKE_PAYLOAD_IDR, config->local_id.type,
	    id_data(&config->local_id));
	td_ike_certs_write(chain, config->local);
	td_ike_auth_write(chain, method, td_writer_bytes_of(&writer));
	return 0;
}

static struct td_ike_id id_of(const struct td_ike_id_view *view)
{
	struct td_ike_id id = {.type = view->type, .length = (uint16_t)view->data.length};

	memcpy(id.data, view->data.data, view->data.length);
	return id;
}

static int proof_check(struct td_ike_sa *sa, const struct td_ike_peer_config *config,
    const struct td_ike_id_view *id, const struct td_ike_payloads *payloads, struct td_error *error)
{
	struct td_ike_handshake *handshake = sa->handshake;
	struct td_ike *ike = sa->ike;
	struct td_ike_signed what = {
	    .keys = &sa->keys,
	    .initiator = !sa->initiator,
	    .message = {handshake->peer_message, handshake->peer_length},
	    .nonce = td_ike_nonce_bytes(sa->initiator ? &handshake->nonce_i : &handshake->nonce_r),
	    .id_body = id->body,
	};
	struct td_ike_id claimed = id_of(id);

	return td_ike_auth_verify(
	    config->remote, &what, &claimed, payloads, ike->env.unix_time(ike->env.context), error);
}

static void remote_id_keep(struct td_ike_sa *sa, const struct td_ike_id_view *id)
{
	sa->remote_id = id_of(id);
}

static bool id_fits(const struct td_ike_id_view *id)
{
	return id->body.data && id->data.length <= TD_ID_MAX_BYTES;
}

// ---- after both directions --------------------------------------------------------------------

// The peer says that it knows of no other IKE SA with us: those from before this one started are of its
// former life (RFC 7296 2.4). It speaks for its own identity only, of which a peer of ours may have many.
static void former_close(struct td_ike_sa *sa)
{
	struct td_ike_sa *other, *next;

	for (other = TAILQ_FIRST(&sa->peer->sas); other; other = next) {
		next = TAILQ_NEXT(other, of_peer);
		if (other != sa && other->state != TD_IKE_CONNECTING &&
		    other->established_ns < sa->created_ns &&
		    td_ike_id_equal(&other->remote_id, sa->remote_id.type, id_data(&sa->remote_id)))
			td_ike_sa_close(other, "ike_down", "the peer has started anew");
	}
}

static void established(struct td_ike_sa *sa)
{
	td_ike_sa_established(sa);
	sa->ike->stats.established++;
	td_ike_event(sa, "ike_up", NULL);
}

// ---- initiator --------------------------------------------------------------------------------

static void auth_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer);

struct td_ike_task *td_ike_create_take(struct td_ike_sa *sa)
{
	struct td_ike_task *task;

	TAILQ_FOREACH (task, &sa->tasks, entry)
		if (task->kind == TD_TASK_CREATE && task->slot == 0)
			break;
	if (!task)
		task = TAILQ_FIRST(&sa->tasks);
	if (task)
		TAILQ_REMOVE(&sa->tasks, task, entry);
	return task;
}

static bool same_identities(const struct td_ike_peer_config *a, const struct td_ike_peer_config *b)
{
	return td_ike_id_equal(&a->local_id, b->local_id.type, id_data(&b->local_id)) &&
	       td_ike_id_equal(&a->remote_id, b->remote_id.type, id_data(&b->remote_id));
}

// The notify speaks for a pair of identities, wherever they are (RFC 7296 2.4): where several peers share
// one, it would end the others' IKE SAs.
static bool is_initial_contact(const struct td_ike_sa *sa)
{
	const struct td_hash_node *node = &sa->peer->by_identities;

	if (td_ike_peer_sa(sa->peer))
		return false;
	for (node = td_hash_first(&sa->ike->identities, node->hash); node; node = td_hash_next(node)) {
		const struct td_ike_peer *other = (const struct td_ike_peer *)node;

		if (other != sa->peer && same_identities(&other->config, &sa->peer->config))
			return false;
	}
	return true;
}

void td_ike_auth_start(struct td_ike_sa *sa)
{
	const struct td_ike_peer_config *config = &sa->peer->config;
	struct td_ike_task *task = td_ike_create_take(sa); // the SA is not set up for nothing
	struct td_ike_chain chain;

	if (!task) {
		td_ike_sa_close(sa, "ike_down", "not wanted any more");
		return;
	}
	sa->exchange.task = task;
	td_ike_chain_start(sa->ike, &chain);
	if (proof_write(sa, config, &chain) < 0) {
		td_ike_sa_fail(
		    sa, TD_FAIL_PERMANENT, "no way to authenticate that the peer knows, or no signature");
		return;
	}
	if (config->remote_id.type)
		td_ike_id_write(
		    &chain, TD_IKE_PAYLOAD_IDR, config->remote_id.type, id_data(&config->remote_id));
	td_ike_certreq_write(&chain, config->remote);
	if (is_initial_contact(sa))
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_INITIAL_CONTACT, nothing);
	td_ike_token_write(sa, &chain);
	if (td_ike_child_offer(sa, td_ike_tunnel_of(sa->ike, task->tunnel), task->slot, 0, true, &chain) <
	        0 ||
	    td_ike_request(sa, TD_IKE_AUTH, &chain, auth_answered) < 0)
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "IKE_AUTH could not be made");
}

// The responder must be who it should be. Returns false with the reason in *error.
static bool responder_proved(
    struct td_ike_sa *sa, const struct td_ike_payloads *answer, struct td_error *error)
{
	const struct td_ike_peer_config *config = &sa->peer->config;
	struct td_ike_id claimed;
	char text[TD_ID_TEXT_MAX];

	if (!id_fits(&answer->id_r) || !answer->auth.data) {
		(void)td_error_set(error, 0, NULL, NULL, "the peer's answer proves nothing");
		return false;
	}
	claimed = id_of(&answer->id_r);
	if (config->remote_id.type && !td_ike_id_equal(&config->remote_id, claimed.type, answer->id_r.data)) {
		(void)td_error_set(error, 0, NULL, NULL,
		    "the peer calls itself %.100s, which is not the tunnel's remote_id",
		    td_ike_id_format(&claimed, text));
		return false;
	}
	return proof_check(sa, config, &answer->id_r, answer, error) == 0;
}

// The peer believes that we are connected, and we do not: it hears so once.
static void refuse_peer(struct td_ike_sa *sa)
{
	struct td_ike_packets packets = {0};
	struct td_ike_chain chain;

	td_ike_chain_start(sa->ike, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_AUTHENTICATION_FAILED, nothing);
	if (td_ike_packets_seal(sa, TD_IKE_INFORMATIONAL, false, sa->next_id++, &chain, &packets) == 0)
		td_ike_packets_send(sa, &packets);
	td_ike_packets_free(&packets);
}

static void first_child(struct td_ike_sa *sa, struct td_ike_task *task, const struct td_ike_payloads *answer)
{
	struct td_ike_tunnel *tunnel = task->tunnel ? td_ike_tunnel_of(sa->ike, task->tunnel) : NULL;
	enum td_life_failure failure = TD_FAIL_TEMPORARY;
	struct td_error error = {0};
	struct td_ike_child *child;

	if (!tunnel) {
		if (TAILQ_EMPTY(&sa->tasks))
			(void)td_ike_task_add(sa, TD_TASK_DELETE_IKE);
		else
			td_ike_orphan_erase(sa, task->orphan_spi);
		return;
	}
	child = td_ike_child_accept(sa, answer, tunnel, task->slot, NULL, true, &failure, &error);
	if (child)
		td_life_child_answered(child->life);
	else
		td_ike_task_failed(task, failure, error.reason);
}

static void auth_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *failure = td_ike_notify_error(answer);
	struct td_error error = {0};

	if (failure && !answer->auth.data) {
		sa->ike->stats.authentication_failed += failure->type == TD_N_AUTHENTICATION_FAILED;
		(void)snprintf(error.reason, sizeof(error.reason), "the peer refuses: %s",
		    td_ike_notify_name(failure->type));
		td_ike_sa_fail(sa, TD_FAIL_PERMANENT, error.reason);
		return;
	}
	if (!responder_proved(sa, answer, &error)) {
		sa->ike->stats.authentication_failed++;
		refuse_peer(sa);
		td_ike_sa_fail(sa, TD_FAIL_PERMANENT, error.reason);
		return;
	}
	remote_id_keep(sa, &answer->id_r);
	td_ike_token_read(sa, answer);
	// The child needs the handshake's nonces, which are forgotten when the SA is established.
	struct td_ike_task *task = sa->exchange.task;
	sa->exchange.task = NULL;
	first_child(sa, task, answer);
	td_ike_task_free(task);
	(void)td_ike_exchange_end(sa);
	established(sa);
	td_ike_tasks_run(sa);
}

// ---- responder --------------------------------------------------------------------------------

static bool ids_match(const struct td_ike_peer_config *config, const struct td_ike_payloads *request)
{
	return (config->remote_id.type == 0 ||
	           td_ike_id_equal(&config->remote_id, request->id_i.type, request->id_i.data)) &&
	       (!request->id_r.body.data ||
	           td_ike_id_equal(&config->local_id, request->id_r.type, request->id_r.data));
}

// The proposal was chosen for the first peer between the addresses, before it was known which one it is.
static bool suite_fits(const struct td_ike_sa *sa, const struct td_ike_peer_config *config)
{
	const struct td_ike_proposals offered = {.count = 1, .list = {sa->handshake->chosen}};
	struct td_ike_proposal chosen;

	return td_ike_proposal_choose(&config->proposals, &offered, false, &chosen) == 0;
}

static bool initiator_accept(struct td_ike_sa *sa, const struct td_ike_peer_config *config,
    const struct td_ike_payloads *request, struct td_error *error)
{
	if (proof_check(sa, config, &request->id_i, request, error) < 0)
		return false;
	if (suite_fits(sa, config))
		return true;
	(void)td_error_set(error, 0, NULL, NULL,
	    "the IKE SA's proposal is of another tunnel between these addresses, and none of this one's");
	return false;
}

// The peer that the initiator is, and proves to be. NULL: *error says why not.
static struct td_ike_peer *initiator_proved(
    struct td_ike_sa *sa, const struct td_ike_payloads *request, struct td_error *error)
{
	struct td_ike_peer *peer = NULL;
	struct td_ike_id claimed;
	char text[TD_ID_TEXT_MAX];

	if (!id_fits(&request->id_i) || !request->auth.data) {
		(void)td_error_set(
		    error, 0, NULL, NULL, "the initiator proves nothing (EAP is not supported)");
		return NULL;
	}
	claimed = id_of(&request->id_i);
	(void)td_error_set(error, 0, NULL, NULL,
	    "no tunnel between these addresses is for %.100s as remote_id%s",
	    td_ike_id_format(&claimed, text), request->id_r.body.data ? " and the local_id it wants" : "");
	// Who is named by the configuration is that one, and nobody who may be anybody: else the key of a
	// group would do for the name.
	for (unsigned pass = 0, found = 0; pass < 2 && !found; pass++)
		while ((peer = td_ike_peer_next(sa->ike, &sa->path, peer))) {
			if (peer->config.onertt.enabled ||
			    (peer->config.remote_id.type == 0) != (pass == 1) ||
			    !ids_match(&peer->config, request))
				continue;
			found++;
			if (initiator_accept(sa, &peer->config, request, error))
				return peer;
		}
	return NULL;
}

static void auth_refuse(struct td_ike_sa *sa, const char *reason)
{
	sa->ike->stats.authentication_failed++;
	td_ike_answer_notify(sa, TD_IKE_AUTH, TD_N_AUTHENTICATION_FAILED, nothing);
	// Anybody can do this as often as a handshake can: an operator hears of it now and then.
	if (td_ike_refusal_due(sa->peer))
		td_ike_sa_fail(sa, TD_FAIL_PERMANENT, reason);
	else
		td_ike_sa_close(sa, NULL, reason);
}

void td_ike_auth_asked(struct td_ike_sa *sa, const struct td_ike_payloads *request)
{
	struct td_error error = {0};
	struct td_ike_peer *peer = initiator_proved(sa, request, &error);
	struct td_ike_child *child;
	struct td_ike_chain chain;
	uint16_t refusal = 0, group = 0;

	if (!peer) {
		auth_refuse(sa, error.reason);
		return;
	}
	td_ike_sa_peer_set(sa, peer);
	remote_id_keep(sa, &request->id_i);
	td_ike_token_read(sa, request);
	td_ike_chain_start(sa->ike, &chain);
	if (proof_write(sa, &peer->config, &chain) < 0) {
		auth_refuse(sa, "no way to authenticate that the peer knows, or no signature");
		return;
	}
	td_ike_token_write(sa, &chain);
	// Rule 1: what the answer promises is in place before it leaves.
	child = td_ike_child_answer(sa, request, NULL, true, &chain, &refusal, &group);
	if (!child)
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, refusal, nothing);
	established(sa);
	td_ike_answer(sa, TD_IKE_AUTH, &chain);
	if (sa->state == TD_IKE_CLOSED)
		return;
	if (td_ike_notify_find(request, TD_N_INITIAL_CONTACT))
		former_close(sa);
	td_ike_tasks_run(sa);
}
