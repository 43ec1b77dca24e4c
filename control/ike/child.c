// SPDX-License-Identifier: BSD-3-Clause
// Children of an IKE SA: what is offered, chosen and installed (RFC 7296 1.2, 1.3, 2.9, 2.17).

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPI_BYTES 4

static const struct td_bytes nothing;

static void spi_write(uint32_t spi, uint8_t wire[SPI_BYTES])
{
	struct td_writer writer = {.data = wire, .capacity = SPI_BYTES};

	td_writer_u32(&writer, spi);
}

static uint32_t spi_of(const struct td_ike_proposal *proposal)
{
	return proposal->spi_size == SPI_BYTES ? td_ike_spi32((struct td_bytes){proposal->spi, SPI_BYTES})
	                                       : 0;
}

struct td_ike_child *td_ike_child_find_out(struct td_ike_sa *sa, uint32_t spi_out)
{
	struct td_ike_child *child;

	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (child->spi_out == spi_out)
			return child;
	return NULL;
}

void td_ike_child_overtaken(struct td_ike_child *child)
{
	child->replaced = true;
	td_life_rekey_moot(child->life);
}

// The peer may delete a successor because it could not install it. Then what that was made of goes on, and is
// replaced some other time.
static void predecessors_revive(struct td_life_child *before)
{
	for (; before; before = before->predecessor) {
		struct td_ike_child *child = before->negotiator;

		if (child && !td_life_child_has_successor(before))
			child->replaced = false;
	}
}

void td_ike_child_forget(struct td_ike_child *child, bool by_peer)
{
	struct td_life_child *life = child->life, *before = life->predecessor;
	struct td_ike_sa *sa = child->sa, *other;

	TAILQ_REMOVE(&sa->children, child, of_sa);
	td_ike_tasks_forget_child(sa, child);
	// A new session may be taking over what was begun in the old one.
	if (sa->peer)
		TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
			if (other != sa)
				td_ike_tasks_forget_child(other, child);
	// The SA may be of no use any more.
	if (sa->state == TD_IKE_ESTABLISHED && TAILQ_EMPTY(&sa->children))
		td_timers_set(sa->ike->env.timers, &sa->task_timer, td_ike_now(sa->ike));
	life->negotiator = NULL;
	free(child);
	td_life_child_deleted(life, by_peer);
	predecessors_revive(before);
}

// ---- keys -------------------------------------------------------------------------------------

static unsigned integ_key_bytes(uint16_t integ)
{
	switch (integ) {
	case TD_INTEG_SHA2_256_128:
		return 32;
	case TD_INTEG_SHA2_384_192:
		return 48;
	case TD_INTEG_SHA2_512_256:
		return 64;
	}
	return 0;
}

size_t td_ike_suite_key_bytes(const struct td_ike_suite *suite)
{
	size_t cipher = suite->key_bits / 8u + integ_key_bytes(suite->integ);

	switch (suite->encr) {
	case TD_ENCR_CHACHA20_POLY1305: // has no key length attribute (RFC 7634 2)
		return 32 + 4;
	case TD_ENCR_AES_GCM_16:
	case TD_ENCR_NULL_AUTH_AES_GMAC:
	case TD_ENCR_AES_CTR:
		return cipher + 4;
	case TD_ENCR_AES_CCM_16:
		return cipher + 3;
	}
	return cipher;
}

static int keys_make(struct td_ike_sa *sa, const struct td_ike_agreement *agreement, struct td_secret *key_i,
    struct td_secret *key_r)
{
	size_t bytes = td_ike_suite_key_bytes(&agreement->suite);

	return agreement->first ? td_onertt_child_keys(sa, agreement, bytes, key_i, key_r)
	                        : td_ike_child_keys(&sa->keys, agreement->shared, agreement->nonce_i,
	                              agreement->nonce_r, bytes, key_i, key_r);
}

struct td_ike_child *td_ike_child_make(
    struct td_ike_sa *sa, const struct td_ike_agreement *agreement, struct td_error *error)
{
	TD_SECRET_AUTO key_i = {0}, key_r = {0};
	const char *suite = td_ike_esp_suite_name(&agreement->suite);
	struct td_ike_child *child = calloc(1, sizeof(*child));
	bool encapsulated = sa->nat_local || sa->nat_remote;
	struct td_life_offer offer = {
	    .tunnel = agreement->tunnel->life,
	    .slot = agreement->slot,
	    .initiator = agreement->initiator,
	    .spi_in = agreement->spi_in,
	    .spi_out = agreement->spi_out,
	    .suite = suite,
	    .esn = agreement->suite.esn,
	    .mode = agreement->tunnel->config.mode,
	    .key_in = agreement->initiator ? &key_r : &key_i,
	    .key_out = agreement->initiator ? &key_i : &key_r,
	    .path = sa->path,
	    .ts_local = &agreement->local,
	    .ts_remote = &agreement->remote,
	    .predecessor = agreement->predecessor ? agreement->predecessor->life : NULL,
	    .unproven = td_onertt_is_unproven(sa),
	    .negotiator = child,
	};

	if (!child || !suite) {
		free(child);
		(void)td_error_set(error, 0, NULL, NULL, child ? "the suite is not known" : "out of memory");
		return NULL;
	}
	// ESP in UDP comes in on port 4500 only (RFC 3948 2). A first message of the one-round-trip exchange
	// may have come to port 500; the peer's own port is known with its first packet.
	if (!encapsulated)
		offer.path.local_port = offer.path.remote_port = 0;
	else if (offer.path.local_port == TD_IKE_PORT)
		offer.path.local_port = TD_IKE_NATT_PORT;
	if (keys_make(sa, agreement, &key_i, &key_r) < 0) {
		free(child);
		(void)td_error_set(error, 0, NULL, NULL, "no keys");
		return NULL;
	}
	// The keys are of the SA that was asked; the child belongs to what has taken its place meanwhile.
	if (sa->state == TD_IKE_REKEYED && sa->successor)
		sa = sa->successor;
	child->sa = sa;
	child->spi_in = agreement->spi_in;
	child->spi_out = agreement->spi_out;
	td_ike_nonce_lowest(agreement->nonce_i, agreement->nonce_r, &child->lowest);
	TAILQ_INSERT_TAIL(&sa->children, child, of_sa);
	child->life = td_life_child_install(&offer, error);
	if (!child->life) {
		TAILQ_REMOVE(&sa->children, child, of_sa);
		free(child);
		return NULL;
	}
	return child;
}

// ---- asking -----------------------------------------------------------------------------------

// A child of IKE_AUTH has no Diffie-Hellman exchange of its own.
static void dh_leave_out(struct td_ike_proposals *proposals)
{
	for (unsigned p = 0; p < proposals->count; p++) {
		struct td_ike_proposal *proposal = &proposals->list[p];
		unsigned kept = 0;

		for (unsigned t = 0; t < proposal->transform_count; t++)
			if (proposal->transforms[t].type != TD_IKE_DH)
				proposal->transforms[kept++] = proposal->transforms[t];
		proposal->transform_count = kept;
	}
}

int td_ike_child_offer(struct td_ike_sa *sa, const struct td_ike_tunnel *tunnel, unsigned slot,
    uint16_t group, bool in_auth, struct td_ike_chain *chain)
{
	struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	uint8_t spi[SPI_BYTES];

	if (!tunnel)
		return -ENOENT;
	negotiation->proposals = tunnel->config.proposals;
	if (in_auth)
		dh_leave_out(&negotiation->proposals);
	if (in_auth && sa->handshake->first)
		td_onertt_offer_narrow(sa->handshake->first, &negotiation->proposals);
	negotiation->spi = td_life_spi_reserve(tunnel->life, slot);
	if (negotiation->spi == 0)
		return -ENOSPC;
	spi_write(negotiation->spi, spi);
	if (tunnel->config.mode == TD_SA_TRANSPORT)
		td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_USE_TRANSPORT_MODE, nothing);
	if (slot > 0)
		td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_SA_RESOURCE_INFO, nothing);
	td_ike_proposals_write(chain, &negotiation->proposals, spi, sizeof(spi));
	if (!in_auth) {
		negotiation->nonce.length = TD_IKE_NONCE_BYTES;
		sa->ike->env.random(sa->ike->env.context, negotiation->nonce.data, TD_IKE_NONCE_BYTES);
		td_ike_nonce_write(chain, td_ike_nonce_bytes(&negotiation->nonce));
		group = group ? group : td_ike_proposals_dh(&negotiation->proposals);
		if (group) {
			negotiation->dh = td_dh_create(group);
			if (!negotiation->dh)
				return -EIO;
			td_ike_ke_write(chain, group, td_dh_public(negotiation->dh));
		}
	}
	td_ts_write(chain, TD_IKE_PAYLOAD_TSI, &tunnel->config.local);
	td_ts_write(chain, TD_IKE_PAYLOAD_TSR, &tunnel->config.remote);
	return 0;
}

// Reads what the peer chose. Returns NULL, or what is wrong with it.
static const char *choice_read(struct td_ike_sa *sa, const struct td_ike_payloads *answer, bool in_auth,
    const struct td_ike_tunnel *tunnel, struct td_ike_agreement *agreement)
{
	const struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	struct td_ike_proposals chosen;

	if (!answer->sa.data || !answer->ts_i.data || !answer->ts_r.data)
		return "the answer lacks SA or traffic selectors";
	if (td_ike_proposals_read(answer->sa, &chosen) < 0 || chosen.count != 1 ||
	    spi_of(&chosen.list[0]) < TD_SPI_MIN ||
	    !td_ike_proposal_is_choice(&negotiation->proposals, &chosen.list[0], in_auth))
		return "the peer chose a proposal that was not offered";
	agreement->suite = td_ike_suite_of(&chosen.list[0]);
	agreement->spi_out = spi_of(&chosen.list[0]);
	if (td_ts_read(answer->ts_i, &agreement->local) < 0 ||
	    td_ts_read(answer->ts_r, &agreement->remote) < 0 || agreement->local.count == 0 ||
	    agreement->remote.count == 0 || !td_ts_covers(&tunnel->config.local, &agreement->local) ||
	    !td_ts_covers(&tunnel->config.remote, &agreement->remote))
		return "the peer chose traffic selectors that were not offered";
	if ((tunnel->config.mode == TD_SA_TRANSPORT) !=
	    (td_ike_notify_find(answer, TD_N_USE_TRANSPORT_MODE) != NULL))
		return "the peer does not want the mode";
	if (!in_auth &&
	    (answer->nonce.length < TD_IKE_NONCE_MIN_BYTES || answer->nonce.length > TD_IKE_NONCE_MAX_BYTES))
		return "the peer's nonce is missing or has a wrong length";
	if (!in_auth && agreement->suite.dh &&
	    (!negotiation->dh || td_dh_group(negotiation->dh) != agreement->suite.dh ||
	        answer->ke_group != agreement->suite.dh))
		return "the peer chose a Diffie-Hellman group and used another";
	return NULL;
}

static void nonces_set(struct td_ike_sa *sa, const struct td_ike_payloads *payloads,
    const struct td_ike_nonce *own, bool initiator, bool in_auth, struct td_ike_agreement *agreement)
{
	if (in_auth) {
		agreement->first = sa->handshake->first;
		agreement->nonce_i = td_ike_nonce_bytes(&sa->handshake->nonce_i);
		agreement->nonce_r = td_ike_nonce_bytes(&sa->handshake->nonce_r);
		return;
	}
	agreement->nonce_i = initiator ? td_ike_nonce_bytes(own) : payloads->nonce;
	agreement->nonce_r = initiator ? payloads->nonce : td_ike_nonce_bytes(own);
}

static enum td_life_failure failure_of(uint16_t notify)
{
	switch (notify) {
	case TD_N_TEMPORARY_FAILURE:
	case TD_N_CHILD_SA_NOT_FOUND:
	case TD_N_NO_ADDITIONAL_SAS:
	case TD_N_INVALID_KE_PAYLOAD:
		return TD_FAIL_TEMPORARY;
	case TD_N_TS_MAX_QUEUE:
		return TD_FAIL_UNSUPPORTED;
	}
	return TD_FAIL_PERMANENT;
}

// The DELETE of a child has overtaken the answer that makes it.
static bool was_deleted(const struct td_ike_negotiation *negotiation, uint32_t spi_out)
{
	for (unsigned i = 0; i < negotiation->gone_count && i < TD_IKE_GONE_MAX; i++)
		if (negotiation->gone[i] == spi_out)
			return true;
	return false;
}

struct td_ike_child *td_ike_child_accept(struct td_ike_sa *sa, const struct td_ike_payloads *answer,
    struct td_ike_tunnel *tunnel, unsigned slot, struct td_ike_child *predecessor, bool in_auth,
    enum td_life_failure *failure, struct td_error *error)
{
	struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	const struct td_ike_notify *refusal = td_ike_notify_error(answer);
	struct td_ike_agreement agreement = {
	    .tunnel = tunnel,
	    .slot = slot,
	    .initiator = true,
	    .spi_in = negotiation->spi,
	    .predecessor = predecessor,
	};
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	size_t shared_bytes = 0;
	struct td_ike_child *child = NULL;
	const char *wrong;

	*failure = TD_FAIL_TEMPORARY;
	if (refusal) {
		*failure = failure_of(refusal->type);
		(void)td_error_set(error, 0, NULL, NULL, "the peer refuses the child: %s",
		    td_ike_notify_name(refusal->type));
		goto release;
	}
	wrong = choice_read(sa, answer, in_auth, tunnel, &agreement);
	if (!wrong && was_deleted(negotiation, agreement.spi_out)) {
		(void)td_error_set(error, 0, NULL, NULL, "the peer has already deleted the child");
		goto release;
	}
	if (!wrong && agreement.suite.dh && !in_auth) {
		if (td_dh_agree(negotiation->dh, answer->ke, shared, &shared_bytes) < 0)
			wrong = "the peer's Diffie-Hellman value is bad";
		agreement.shared = (struct td_bytes){shared, shared_bytes};
	}
	if (wrong) {
		*failure = TD_FAIL_PERMANENT;
		(void)td_error_set(error, 0, NULL, NULL, "%s", wrong);
	} else {
		nonces_set(sa, answer, &negotiation->nonce, true, in_auth, &agreement);
		child = td_ike_child_make(sa, &agreement, error);
	}
	td_wipe(shared, sizeof(shared));
	// The peer has a child that is not here.
	if (!child)
		td_ike_orphan_erase(sa, negotiation->spi);
release:
	if (!child)
		td_life_spi_release(tunnel->life, negotiation->spi);
	negotiation->spi = 0;
	return child;
}

// ---- before the answer -------------------------------------------------------------------------

struct td_ike_child *td_ike_child_early(struct td_ike_sa *sa, struct td_ike_tunnel *tunnel, unsigned slot,
    struct td_ike_child *predecessor, uint32_t spi_out, struct td_error *error)
{
	struct td_ike_negotiation *negotiation = &sa->exchange.negotiation;
	struct td_ike_agreement agreement = {
	    .tunnel = tunnel,
	    .slot = slot,
	    .initiator = true,
	    .spi_in = negotiation->spi,
	    .spi_out = spi_out,
	    .suite = td_ike_suite_of(&negotiation->proposals.list[0]),
	    .local = tunnel->config.local,
	    .remote = tunnel->config.remote,
	    .nonce_i = td_ike_nonce_bytes(&sa->handshake->nonce_i),
	    .nonce_r = td_ike_nonce_bytes(&sa->handshake->nonce_r),
	    .predecessor = predecessor,
	    .first = sa->handshake->first,
	};

	negotiation->early = td_ike_child_make(sa, &agreement, error);
	if (negotiation->early)
		negotiation->spi = 0; // the child's now
	return negotiation->early;
}

bool td_ike_child_early_check(struct td_ike_sa *sa, const struct td_ike_payloads *answer,
    struct td_ike_tunnel *tunnel, const struct td_ike_child *child, enum td_life_failure *failure,
    struct td_error *error)
{
	const struct td_ike_notify *refusal = td_ike_notify_error(answer);
	struct td_ike_agreement agreement = {0};
	const char *wrong;

	*failure = TD_FAIL_TEMPORARY;
	if (refusal) {
		*failure = failure_of(refusal->type);
		(void)td_error_set(error, 0, NULL, NULL, "the peer refuses the child: %s",
		    td_ike_notify_name(refusal->type));
		return false;
	}
	wrong = choice_read(sa, answer, true, tunnel, &agreement);
	if (!wrong && agreement.spi_out != child->spi_out)
		wrong = "the peer has taken another SPI than the one sent on";
	// What is sent already may be more than the peer takes.
	if (!wrong && (!td_ts_covers(&agreement.local, &tunnel->config.local) ||
	                  !td_ts_covers(&agreement.remote, &tunnel->config.remote)))
		wrong = "the peer narrows the traffic selectors, which early data does not allow";
	if (!wrong)
		return true;
	*failure = TD_FAIL_PERMANENT;
	(void)td_error_set(error, 0, NULL, NULL, "%s", wrong);
	return false;
}

// ---- answering --------------------------------------------------------------------------------

static bool slot_is_free(const struct td_life_tunnel *life, unsigned slot)
{
	for (const struct td_life_child *child = td_life_tunnel_children(life, slot); child;
	     child = child->next)
		if (child->state != TD_CHILD_DRAINING)
			return false;
	return true;
}

// RFC 9611 5.1: a child for one resource takes a slot that is free; -1: there is none.
static int slot_choose(const struct td_ike_tunnel *tunnel, const struct td_ike_payloads *offer,
    const struct td_ike_child *predecessor)
{
	unsigned slots = td_life_tunnel_config(tunnel->life)->slots;

	if (predecessor)
		return (int)predecessor->life->slot;
	if (!td_ike_notify_find(offer, TD_N_SA_RESOURCE_INFO))
		return 0;
	for (unsigned slot = 1; slot < slots; slot++)
		if (slot_is_free(tunnel->life, slot))
			return (int)slot;
	return -1;
}

#define FIT_BEST 7

// How well a tunnel fits the selectors and the mode of an offer; 0: not at all. One that stands on both sides
// fits best, one that covers the offer better than one that has a part of it (RFC 7296 2.9); among equals
// one that has no such child yet.
static unsigned fit_of(const struct td_ike_tunnel *tunnel, const struct td_ike_payloads *offer,
    const struct td_ts_list *ours, const struct td_ts_list *theirs)
{
	const struct td_ike_child_config *config = &tunnel->config;
	bool transport = td_ike_notify_find(offer, TD_N_USE_TRANSPORT_MODE) != NULL;
	struct td_ts_list local, remote;
	int slot = slot_choose(tunnel, offer, NULL);
	unsigned fit = 1;

	if (config->mode == TD_SA_TRANSPORT && !transport)
		return 0;
	td_ts_narrow(&config->local, ours, &local);
	td_ts_narrow(&config->remote, theirs, &remote);
	if (local.count == 0 || remote.count == 0)
		return 0;
	if (td_ts_equal(&config->local, ours) && td_ts_equal(&config->remote, theirs) &&
	    (config->mode == TD_SA_TRANSPORT) == transport)
		fit = 3;
	else if (td_ts_covers(&config->local, ours) && td_ts_covers(&config->remote, theirs))
		fit = 2;
	return 2 * fit + (slot >= 0 && slot_is_free(tunnel->life, (unsigned)slot));
}

// The tunnel of the peer that fits the offer best: the first one of several.
static struct td_ike_tunnel *tunnel_choose(struct td_ike_sa *sa, const struct td_ike_payloads *offer,
    const struct td_life_tunnel *wanted, struct td_ike_agreement *agreement)
{
	struct td_ts_list theirs, ours;
	struct td_ike_tunnel *tunnel, *best = NULL;
	unsigned best_fit = 0;

	if (td_ts_read(offer->ts_i, &theirs) < 0 || td_ts_read(offer->ts_r, &ours) < 0)
		return NULL;
	TAILQ_FOREACH (tunnel, &sa->peer->tunnels, of_peer) {
		unsigned fit = 0;

		if (best_fit == FIT_BEST)
			break;
		if (wanted ? tunnel->life == wanted : !tunnel->leaving)
			fit = fit_of(tunnel, offer, &ours, &theirs);
		if (fit > best_fit) {
			best = tunnel;
			best_fit = fit;
		}
	}
	if (best) {
		td_ts_narrow(&best->config.local, &ours, &agreement->local);
		td_ts_narrow(&best->config.remote, &theirs, &agreement->remote);
	}
	return best;
}

// Works out what to agree on, as far as that needs no keys. Returns 0 or the notify to refuse with.
static uint16_t agreement_find(struct td_ike_sa *sa, const struct td_ike_payloads *offer,
    const struct td_ike_child *predecessor, bool in_auth, struct td_ike_agreement *agreement,
    struct td_ike_proposal *chosen, uint16_t *group)
{
	struct td_ike_proposals offered;
	int slot;

	if (!offer->sa.data || !offer->ts_i.data || !offer->ts_r.data ||
	    (!in_auth && (offer->nonce.length < TD_IKE_NONCE_MIN_BYTES ||
	                     offer->nonce.length > TD_IKE_NONCE_MAX_BYTES)) ||
	    td_ike_proposals_read(offer->sa, &offered) < 0)
		return TD_N_INVALID_SYNTAX;
	agreement->tunnel =
	    tunnel_choose(sa, offer, predecessor ? predecessor->life->tunnel : NULL, agreement);
	if (!agreement->tunnel)
		return TD_N_TS_UNACCEPTABLE;
	if (td_ike_proposal_choose(&agreement->tunnel->config.proposals, &offered, in_auth, chosen) < 0 ||
	    spi_of(chosen) < TD_SPI_MIN) {
		sa->ike->stats.no_proposal++;
		return TD_N_NO_PROPOSAL_CHOSEN;
	}
	agreement->suite = td_ike_suite_of(chosen);
	agreement->spi_out = spi_of(chosen);
	if (!in_auth && agreement->suite.dh && offer->ke_group != agreement->suite.dh) {
		*group = agreement->suite.dh;
		return TD_N_INVALID_KE_PAYLOAD;
	}
	slot = slot_choose(agreement->tunnel, offer, predecessor);
	if (slot < 0)
		return TD_N_TS_MAX_QUEUE;
	agreement->slot = (unsigned)slot;
	return 0;
}

static void answer_write(const struct td_ike_agreement *agreement, const struct td_ike_proposal *chosen,
    struct td_bytes nonce, const struct td_dh *dh, struct td_ike_chain *chain)
{
	struct td_ike_proposals proposals = {.count = 1, .list = {*chosen}};
	uint8_t spi[SPI_BYTES];

	spi_write(agreement->spi_in, spi);
	if (agreement->tunnel->config.mode == TD_SA_TRANSPORT)
		td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_USE_TRANSPORT_MODE, nothing);
	td_ike_proposals_write(chain, &proposals, spi, sizeof(spi));
	if (nonce.length)
		td_ike_nonce_write(chain, nonce);
	if (dh)
		td_ike_ke_write(chain, td_dh_group(dh), td_dh_public(dh));
	td_ts_write(chain, TD_IKE_PAYLOAD_TSI, &agreement->remote);
	td_ts_write(chain, TD_IKE_PAYLOAD_TSR, &agreement->local);
}

// 0: none, or the one that the peer wants is taken.
static uint32_t spi_in_choose(const struct td_ike_agreement *agreement)
{
	struct td_life_tunnel *life = agreement->tunnel->life;
	uint32_t wanted = agreement->first ? td_onertt_first_spi(agreement->first) : 0;

	if (wanted == 0)
		return td_life_spi_reserve(life, agreement->slot);
	return td_life_spi_claim(life, agreement->slot, wanted) ? wanted : 0;
}

struct td_ike_child *td_ike_child_answer(struct td_ike_sa *sa, const struct td_ike_payloads *offer,
    struct td_ike_child *predecessor, bool in_auth, struct td_ike_chain *chain, uint16_t *refusal,
    uint16_t *group)
{
	struct td_ike_agreement agreement = {.initiator = false, .predecessor = predecessor};
	struct td_ike_nonce nonce = {0};
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	size_t shared_bytes = 0;
	struct td_ike_proposal chosen;
	struct td_ike_child *child = NULL;
	struct td_error error = {0};
	struct td_dh *dh = NULL;

	*refusal = agreement_find(sa, offer, predecessor, in_auth, &agreement, &chosen, group);
	if (*refusal) {
		td_ike_child_refused(sa, offer, agreement.tunnel, *refusal, NULL);
		return NULL;
	}
	*refusal = TD_N_TEMPORARY_FAILURE;
	if (!in_auth) {
		nonce.length = TD_IKE_NONCE_BYTES;
		sa->ike->env.random(sa->ike->env.context, nonce.data, nonce.length);
	}
	if (!in_auth && agreement.suite.dh) {
		dh = td_dh_create(agreement.suite.dh);
		if (!dh || td_dh_agree(dh, offer->ke, shared, &shared_bytes) < 0) {
			*refusal = TD_N_INVALID_SYNTAX;
			goto out;
		}
		agreement.shared = (struct td_bytes){shared, shared_bytes};
	}
	nonces_set(sa, offer, &nonce, false, in_auth, &agreement);
	agreement.spi_in = spi_in_choose(&agreement);
	if (agreement.spi_in == 0)
		goto out;
	child = td_ike_child_make(sa, &agreement, &error);
	if (child)
		answer_write(&agreement, &chosen, td_ike_nonce_bytes(&nonce), dh, chain);
	else
		td_life_spi_release(agreement.tunnel->life, agreement.spi_in);
out:
	if (!child)
		td_ike_child_refused(sa, offer, agreement.tunnel, *refusal, error.reason);
	td_wipe(shared, sizeof(shared));
	td_dh_free(dh);
	return child;
}
