// SPDX-License-Identifier: BSD-3-Clause
// The initiator: message 1.

#include "control/onertt/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct td_bytes nothing;

static struct td_bytes id_data(const struct td_ike_id *id)
{
	return (struct td_bytes){id->data, id->length};
}

uint64_t td_onertt_time_now(const struct td_ike_sa *sa)
{
	const struct td_ike_peer *peer = sa->peer;
	struct td_ike *ike = sa->ike;

	return peer->ahead_known ? td_onertt_steady_us(ike) + (uint64_t)peer->ahead_us
	                         : ike->env.wall_us(ike->env.context);
}

// The responder takes none that is not later than the last one, when the estimate went too far.
static uint64_t first_time(const struct td_ike_sa *sa)
{
	uint64_t now_us = td_onertt_time_now(sa), last_us = sa->peer->first_us;

	return sa->peer->first_us = now_us > last_us ? now_us : last_us + 1;
}

// ---- message 1 --------------------------------------------------------------------------------

static void about_write(const struct td_onertt_first *first, struct td_ike_chain *chain)
{
	uint8_t data[8] = {(uint8_t)first->source, (uint8_t)first->delivery};
	struct td_writer writer = {.data = data, .capacity = sizeof(data), .length = 4};

	if (first->spi)
		td_writer_u32(&writer, first->spi);
	td_ike_notify_write(
	    chain, TD_IKE_PROTO_NONE, nothing, TD_N_ONE_ROUND_TRIP, td_writer_bytes_of(&writer));
}

static void continues_write(const struct td_onertt *session, struct td_ike_chain *chain)
{
	uint8_t data[16];
	struct td_writer writer = {.data = data, .capacity = sizeof(data)};

	if (!session->continues_i)
		return;
	td_writer_u64(&writer, session->continues_i);
	td_writer_u64(&writer, session->continues_r);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_CONTINUES, td_writer_bytes_of(&writer));
}

// The child that is wanted: a new one, or the successor of one of the session before.
static int child_write(struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	struct td_ike_task *task = sa->exchange.task;
	uint8_t spi[4];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};

	if (task->kind == TD_TASK_REKEY_CHILD) {
		if (!task->child || task->child->replaced || task->child->erasing)
			return -EALREADY;
		task->tunnel = task->child->life->tunnel;
		task->slot = task->child->life->slot;
		task->child->rekeying = true;
		td_writer_u32(&writer, task->child->spi_in);
		td_ike_notify_write(
		    chain, TD_IKE_PROTO_ESP, td_writer_bytes_of(&writer), TD_N_REKEY_SA, nothing);
	}
	return td_ike_child_offer(
	    sa, task->tunnel ? td_ike_tunnel_of(sa->ike, task->tunnel) : NULL, task->slot, 0, true, chain);
}

// What the initiator's own keys need: an SPI at the responder, and the keys or where they come from.
static int first_make(struct td_ike_sa *sa)
{
	const struct td_onertt_config *config = &sa->peer->config.onertt;
	struct td_onertt_first *first = td_onertt_first_create(config->source, config->delivery);
	const struct td_noise *noise = &sa->onertt->attempt->noise;

	td_onertt_first_free(sa->handshake->first);
	sa->handshake->first = first;
	if (!first)
		return -ENOMEM;
	if (config->source != TD_ONERTT_INITIATOR)
		return 0;
	do
		sa->ike->env.random(sa->ike->env.context, &first->spi, sizeof(first->spi));
	while (first->spi < TD_SPI_MIN);
	return td_onertt_export_key(noise, "traffic", &first->traffic);
}

static int payloads_write(struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	const struct td_ike_peer_config *config = &sa->peer->config;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_onertt_first *first = sa->handshake->first;
	struct td_freshness_stamp stamp;
	TD_SECRET_AUTO code_key = {0};
	int ret = td_onertt_export_key(&attempt->noise, "code", &code_key);

	attempt->time_us = first_time(sa);
	if (ret == 0)
		ret = td_freshness_stamp_make(&config->onertt.window, &code_key, attempt->time_us, &stamp);
	if (ret < 0)
		return ret;
	about_write(first, chain);
	td_onertt_stamp_write(chain, &stamp);
	if (config->onertt.authentication != TD_ONERTT_KEY) {
		td_ike_id_write(chain, TD_IKE_PAYLOAD_IDI, config->local_id.type, id_data(&config->local_id));
		if (config->remote_id.type)
			td_ike_id_write(
			    chain, TD_IKE_PAYLOAD_IDR, config->remote_id.type, id_data(&config->remote_id));
	}
	td_ike_nonce_write(chain, td_ike_nonce_bytes(&sa->handshake->nonce_i));
	td_onertt_incarnation_write(sa->peer, chain);
	td_ike_natd_write(chain, sa, sa->spi_i, 0);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_FRAGMENTATION_SUPPORTED, nothing);
	td_ike_token_write(sa, chain);
	continues_write(sa->onertt, chain);
	ret = child_write(sa, chain);
	if (ret < 0 || first->source != TD_ONERTT_INITIATOR || first->delivery != TD_ONERTT_WRAPPED)
		return ret;
	struct td_ike_suite suite = td_ike_suite_of(&sa->exchange.negotiation.proposals.list[0]);
	td_onertt_first_draw(sa->ike, first, td_ike_suite_key_bytes(&suite));
	return td_onertt_wrapped_write(first, &attempt->noise, chain);
}

static int noise_start(struct td_ike_sa *sa)
{
	const struct td_onertt_config *config = &sa->peer->config.onertt;
	enum td_noise_pattern pattern = td_onertt_pattern(config->authentication);
	uint8_t bytes[TD_ONERTT_PROLOGUE_BYTES];
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_noise_setup setup = {
	    .pattern = pattern,
	    .initiator = true,
	    .prologue = td_onertt_prologue(sa->spi_i, pattern, config->remote->key_id, bytes),
	    .own = pattern == TD_NOISE_IK ? &attempt->own : NULL,
	    .remote = config->remote->public_key,
	};
	struct td_noise *noise = &attempt->noise;
	int ret;

	td_x25519_free(&attempt->own);
	ret = pattern == TD_NOISE_IK ? td_x25519_copy(&config->own->pair, &attempt->own) : 0;
	if (ret == 0)
		ret = td_noise_start(noise, &setup);
	if (ret == 0 && pattern == TD_NOISE_NKPSK2)
		ret = td_noise_psk_set(noise, &config->secret);
	return ret;
}

// Makes the body of the NOISE payload anew.
static int body_make(struct td_ike_sa *sa)
{
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_writer writer = {.data = sa->ike->message, .capacity = sizeof(sa->ike->message)};
	struct td_ike_chain chain;
	uint8_t *body;
	int ret = noise_start(sa);

	if (ret < 0)
		return ret;
	td_writer_u8(&writer, (uint8_t)attempt->noise.pattern);
	td_writer_bytes(&writer, "\0\0\0", 3);
	td_writer_bytes(&writer, sa->peer->config.onertt.remote->key_id, TD_ONERTT_KEY_ID_BYTES);
	ret = td_noise_write_tokens(&attempt->noise, td_onertt_random, sa->ike, &writer);
	if (ret == 0)
		ret = first_make(sa);
	td_onertt_chain_start(sa->ike, &chain);
	if (ret == 0)
		ret = payloads_write(sa, &chain);
	if (ret == 0 && chain.writer.overflow)
		ret = -ENOSPC;
	if (ret == 0)
		ret = td_noise_write_payload(&attempt->noise, td_onertt_chain_end(sa->ike, &chain), &writer);
	td_wipe(sa->ike->chain, chain.writer.length + 1);
	if (ret < 0)
		return ret;
	body = malloc(writer.length);
	if (!body)
		return -ENOMEM;
	memcpy(body, writer.data, writer.length);
	free((void *)(uintptr_t)attempt->body.data);
	attempt->body = (struct td_bytes){body, writer.length};
	return 0;
}

static void message_2_awaited(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	// It comes by td_onertt_answered.
	(void)sa;
	(void)answer;
}

int td_onertt_message_1_send(struct td_ike_sa *sa)
{
	struct td_ike_handshake *handshake = sa->handshake;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_ike_header header = {.spi_i = sa->spi_i, .flags = TD_IKE_FLAG_INITIATOR};
	struct td_ike_chain outer;
	size_t begin;

	td_onertt_message_start(sa->ike, &outer);
	if (handshake->cookie_length)
		td_ike_notify_write(&outer, TD_IKE_PROTO_NONE, nothing, TD_N_COOKIE,
		    (struct td_bytes){handshake->cookie, handshake->cookie_length});
	begin = td_ike_payload_begin(&outer, TD_IKE_PAYLOAD_NOISE);
	td_writer_bytes(&outer.writer, attempt->body.data, attempt->body.length);
	td_ike_payload_end(&outer, begin);
	if (outer.writer.overflow)
		return -ENOSPC;
	return td_ike_request_clear(
	    sa, TD_IKE_ONE_ROUND_TRIP, td_onertt_message_end(sa->ike, header, &outer), message_2_awaited);
}

// ---- early data -------------------------------------------------------------------------------

static void early_due(void *context)
{
	struct td_ike_sa *sa = context;

	if (sa->exchange.negotiation.early)
		td_life_child_early(sa->exchange.negotiation.early->life);
}

// Without the child the packets wait for the answer.
static void early_prepare(struct td_ike_sa *sa)
{
	const struct td_onertt_config *config = &sa->peer->config.onertt;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_ike_task *task = sa->exchange.task;
	uint32_t spi = sa->exchange.negotiation.spi;
	struct td_error error = {0};

	// Where there is a child to send on, that is used until the answer is here.
	if (!config->early_data || task->kind != TD_TASK_CREATE || !task->tunnel ||
	    td_life_tunnel_current(task->tunnel, task->slot) ||
	    !td_ike_child_early(sa, td_ike_tunnel_of(sa->ike, task->tunnel), task->slot, task->child,
	        sa->handshake->first->spi, &error))
		return;
	attempt->early_spi = spi;
	attempt->early_in_udp = sa->nat_local || sa->nat_remote;
	td_timers_set(
	    sa->ike->env.timers, &attempt->early_timer, td_ike_now(sa->ike) + config->early_delay_ns);
}

void td_onertt_early_undo(struct td_ike_sa *sa)
{
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_ike_child *child = sa->exchange.negotiation.early;

	td_timers_cancel(sa->ike->env.timers, &attempt->early_timer);
	attempt->early_spi = 0;
	if (child)
		td_ike_child_forget(child, false);
	td_ike_negotiation_clear(sa);
}

// ---- beginning --------------------------------------------------------------------------------

int td_onertt_attempt_send(struct td_ike_sa *sa)
{
	int ret = body_make(sa);

	if (ret == 0) {
		sa->onertt->attempt->sent_ns = td_ike_now(sa->ike);
		ret = td_onertt_message_1_send(sa);
	}
	if (ret == 0)
		early_prepare(sa);
	return ret;
}

static bool remote_is_valid(struct td_ike_sa *sa)
{
	struct td_ike *ike = sa->ike;
	struct td_error error = {0};

	if (td_onertt_remote_check_time(
	        sa->peer->config.onertt.remote, ike->env.unix_time(ike->env.context), &error) == 0)
		return true;
	td_ike_sa_fail(sa, TD_FAIL_PERMANENT, error.reason);
	return false;
}

void td_onertt_start(struct td_ike_sa *sa, struct td_ike_sa *old)
{
	struct td_onertt *session = td_onertt_create(sa, true);
	struct td_onertt_attempt *attempt = calloc(1, sizeof(*attempt));

	if (!session || !attempt || !sa->ike->env.wall_us) {
		free(attempt);
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "out of memory");
		return;
	}
	session->attempt = attempt;
	attempt->early_timer = (struct td_timer){.fn = early_due, .context = sa};
	// What is known before the answer about a NAT: early data goes by it.
	sa->nat_local = sa->peer->config.encapsulate || (old && old->nat_local);
	if (old) {
		sa->nat_remote = old->nat_remote;
		session->continues_i = old->spi_i;
		session->continues_r = old->spi_r;
	}
	if (!remote_is_valid(sa))
		return;
	sa->exchange.task = td_ike_create_take(sa);
	if (!sa->exchange.task) {
		td_ike_sa_close(sa, "ike_down", "not wanted any more");
		return;
	}
	if (td_onertt_attempt_send(sa) < 0)
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "the first message could not be made");
}
