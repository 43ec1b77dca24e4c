// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: one IKEv2 datagram, or what was inside an SK payload behind a header: both are read
// without keys, down to proposals and selectors.

#include "control/ike/message.h"
#include "control/ike/proposal.h"
#include "control/ike/ts.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (1u << 17)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void inside(struct td_bytes view, struct td_bytes whole)
{
	require(!view.data || (view.data >= whole.data && view.length <= whole.length &&
	                          view.data - whole.data <= (ptrdiff_t)(whole.length - view.length)));
}

static void payloads_check(const struct td_ike_payloads *payloads, struct td_bytes whole)
{
	const struct td_bytes views[] = {payloads->sa, payloads->ke, payloads->nonce, payloads->id_i.data,
	    payloads->id_i.body, payloads->id_r.data, payloads->id_r.body, payloads->auth, payloads->ts_i,
	    payloads->ts_r, payloads->encrypted};

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		inside(views[i], whole);
	require(payloads->cert_count <= TD_IKE_CERTS_MAX && payloads->certreq_count <= TD_IKE_CERTS_MAX);
	require(
	    payloads->notify_count <= TD_IKE_NOTIFIES_MAX && payloads->delete_count <= TD_IKE_DELETES_MAX);
	for (unsigned i = 0; i < payloads->cert_count; i++)
		inside(payloads->certs[i].data, whole);
	for (unsigned i = 0; i < payloads->certreq_count; i++)
		inside(payloads->certreqs[i].data, whole);
	for (unsigned i = 0; i < payloads->notify_count; i++) {
		inside(payloads->notifies[i].spi, whole);
		inside(payloads->notifies[i].data, whole);
		require(td_ike_notify_name(payloads->notifies[i].type) != NULL);
		td_ike_spi32(payloads->notifies[i].spi);
	}
	for (unsigned i = 0; i < payloads->delete_count; i++) {
		const struct td_ike_delete *delete = &payloads->deletes[i];

		inside(delete->spis, whole);
		require(delete->spis.length == (size_t) delete->count * delete->spi_size);
	}
	td_ike_notify_error(payloads);
	td_ike_notify_find(payloads, TD_N_COOKIE);
}

static void transforms_compare(const struct td_ike_proposal *a, const struct td_ike_proposal *b)
{
	require(a->transform_count == b->transform_count);
	for (unsigned i = 0; i < a->transform_count; i++)
		require(a->transforms[i].type == b->transforms[i].type &&
		        a->transforms[i].id == b->transforms[i].id &&
		        a->transforms[i].key_bits == b->transforms[i].key_bits);
}

// What was read is written, and read again the same.
static void proposals_check(struct td_bytes sa)
{
	static uint8_t buffer[BUFFER_BYTES];
	static struct td_ike_proposals ours;
	struct td_ike_proposals read, again;
	struct td_ike_proposal chosen;
	struct td_ike_chain chain;
	char text[TD_IKE_PROPOSAL_TEXT_MAX];

	if (ours.count == 0)
		require(td_ike_proposal_parse(TD_IKE_PROTO_IKE, "aes128-aes256-sha256-x25519", &ours, NULL) ==
		            0 &&
		        td_ike_proposal_parse(TD_IKE_PROTO_ESP, "aes128gcm16", &ours, NULL) == 0);
	if (td_ike_proposals_read(sa, &read))
		return;
	for (unsigned i = 0; i < read.count; i++) {
		struct td_ike_proposals one = {.count = 1, .list = {read.list[i]}};

		td_ike_chain_init(&chain, buffer, sizeof(buffer));
		td_ike_proposals_write(&chain, &one, one.list[0].spi, one.list[0].spi_size);
		require(!chain.writer.overflow);
		require(td_ike_proposals_read(
		            (struct td_bytes){buffer + 4, chain.writer.length - 4}, &again) == 0);
		require(again.count == 1);
		require(again.list[0].number == read.list[i].number);
		transforms_compare(&again.list[0], &read.list[i]);
		require(strlen(td_ike_proposal_format(&read.list[i], text)) < sizeof(text));
	}
	if (td_ike_proposal_choose(&ours, &read, false, &chosen) == 0) {
		struct td_ike_suite suite = td_ike_suite_of(&chosen);

		require(td_ike_proposal_is_choice(&read, &chosen, false));
		require(chosen.protocol != TD_IKE_PROTO_ESP || td_ike_esp_suite_name(&suite) != NULL);
	}
	td_ike_proposals_dh(&read);
}

static void selectors_check(struct td_bytes payload, const struct td_ts_list *other, struct td_ts_list *list)
{
	static uint8_t buffer[BUFFER_BYTES];
	struct td_ts_list narrowed, again;
	struct td_ike_chain chain;
	char text[TD_TS_TEXT_MAX];

	if (td_ts_read(payload, list) || list->count == 0)
		return;
	td_ike_chain_init(&chain, buffer, sizeof(buffer));
	td_ts_write(&chain, TD_IKE_PAYLOAD_TSI, list);
	require(!chain.writer.overflow);
	require(td_ts_read((struct td_bytes){buffer + 4, chain.writer.length - 4}, &again) == 0);
	require(td_ts_equal(list, &again));
	td_ts_narrow(other, list, &narrowed);
	require(td_ts_covers(list, &narrowed) && td_ts_covers(other, &narrowed));
	for (unsigned i = 0; i < list->count; i++)
		require(strlen(td_ts_format(&list->list[i], text)) < sizeof(text) - 1);
}

static void chain_check(struct td_bytes bytes, uint8_t first)
{
	static const struct td_ts_list none;
	struct td_ike_payloads payloads;
	struct td_ts_list initiator = {0}, responder = {0};

	td_ike_payloads_read(bytes, first, &payloads);
	payloads_check(&payloads, bytes);
	if (payloads.sa.data)
		proposals_check(payloads.sa);
	if (payloads.ts_i.data)
		selectors_check(payloads.ts_i, &none, &initiator);
	if (payloads.ts_r.data)
		selectors_check(payloads.ts_r, &initiator, &responder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct td_bytes datagram = {data, size};
	struct td_cursor cursor = td_cursor_of(datagram);
	struct td_ike_header header;
	uint8_t again[TD_IKE_HEADER_BYTES];
	struct td_writer writer = {.data = again, .capacity = sizeof(again)};

	// A wrong length is no reason to stop: it would take the fuzzer long to find a right one.
	td_ike_header_read(datagram, &header);
	if (!td_cursor_skip(&cursor, TD_IKE_HEADER_BYTES))
		return 0;
	td_ike_header_write(&writer, &header);
	require(memcmp(again, data, sizeof(again)) == 0);
	require(td_ike_exchange_name(header.exchange) != NULL);
	chain_check(td_cursor_rest(&cursor), header.next_payload);
	return 0;
}
