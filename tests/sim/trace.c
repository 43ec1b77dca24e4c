// SPDX-License-Identifier: BSD-3-Clause
// What happened, as an arrow diagram.

#include "tests/sim/sim.h"

#include "control/ike/internal.h"
#include "control/lifecycle/internal.h"

#include <stdarg.h>
#include <string.h>

void sim_trace(const struct sim_world *world, const char *format, ...)
{
	va_list arguments;

	if (!world->trace)
		return;
	(void)fprintf(world->trace, "%13.6f  ", (double)world->now_ns / 1e9);
	va_start(arguments, format);
	(void)vfprintf(world->trace, format, arguments);
	va_end(arguments);
	(void)fputc('\n', world->trace);
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text + length, size - length, format, arguments);
	va_end(arguments);
}

static void payloads_text(const struct td_ike_payloads *payloads, char *text, size_t size)
{
	for (unsigned i = 0; i < payloads->notify_count; i++) {
		const struct td_ike_notify *notify = &payloads->notifies[i];

		if (notify->type == TD_N_SIGNATURE_HASH_ALGORITHMS ||
		    notify->type == TD_N_FRAGMENTATION_SUPPORTED ||
		    notify->type == TD_N_NAT_DETECTION_SOURCE_IP ||
		    notify->type == TD_N_NAT_DETECTION_DESTINATION_IP)
			continue;
		append(text, size, " N(%s", td_ike_notify_name(notify->type));
		if (notify->spi.length == 4)
			append(text, size, " %x", td_ike_spi32(notify->spi));
		append(text, size, ")");
	}
	for (unsigned i = 0; i < payloads->delete_count; i++) {
		const struct td_ike_delete *list = &payloads->deletes[i];

		append(text, size, " D(%s", list->protocol == TD_IKE_PROTO_IKE ? "IKE" : "ESP");
		for (unsigned s = 0; s < list->count && list->spi_size == 4; s++)
			append(
			    text, size, " %x", td_ike_spi32((struct td_bytes){list->spis.data + 4 * s, 4}));
		append(text, size, ")");
	}
	append(text, size, "%s%s%s%s%s%s", payloads->sa.data ? " SA" : "",
	    payloads->id_i.body.data ? " IDi" : "", payloads->id_r.body.data ? " IDr" : "",
	    payloads->auth.data ? " AUTH" : "", payloads->nonce.data ? " N" : "",
	    payloads->ke.data ? " KE" : "");
	if (payloads->sa.data) {
		struct td_ike_proposals proposals;

		if (td_ike_proposals_read(payloads->sa, &proposals) == 0 && proposals.count &&
		    proposals.list[0].spi_size == 4)
			append(
			    text, size, " spi=%x", td_ike_spi32((struct td_bytes){proposals.list[0].spi, 4}));
	}
	append(text, size, "%s", payloads->ts_i.data ? " TS" : "");
}

const char *sim_message_text(
    struct sim_node *node, const uint8_t *data, size_t length, char *text, size_t size)
{
	struct td_bytes message = {data, length}, inside;
	struct td_bytes body = {data + TD_IKE_HEADER_BYTES, length - TD_IKE_HEADER_BYTES};
	struct td_ike_payloads payloads;
	struct td_ike_header header;
	struct td_ike_sa *sa;
	uint16_t number, total;
	static uint8_t plain[TD_IKE_MESSAGE_MAX];

	(void)snprintf(text, size, "?");
	if (td_ike_header_read(message, &header) < 0)
		return text;
	(void)snprintf(text, size, "%s %u %s %04x/%04x:", td_ike_exchange_name(header.exchange),
	    header.message_id, td_ike_is_response(&header) ? "answer" : "request",
	    (unsigned)(header.spi_i & 0xffff), (unsigned)(header.spi_r & 0xffff));
	if (td_ike_payloads_read(body, header.next_payload, &payloads) < 0)
		return text;
	if (!payloads.encrypted_type) {
		payloads_text(&payloads, text, size);
		return text;
	}
	sa = node->ike ? td_ike_sa_find(
	                     node->ike, header.flags & TD_IKE_FLAG_INITIATOR ? header.spi_i : header.spi_r)
	               : NULL;
	if (!sa || sa->keys.prf == 0 ||
	    td_ike_open(&sa->keys, sa->initiator, message, &payloads, plain, &inside, &number, &total) < 0) {
		append(text, size, " (sealed)");
		return text;
	}
	if (total > 0) {
		append(text, size, " fragment %u of %u", number, total);
		return text;
	}
	if (td_ike_payloads_read(inside, payloads.encrypted_next, &payloads) == 0)
		payloads_text(&payloads, text, size);
	return text;
}

void sim_trace_message(const struct sim_message *message, const char *fate)
{
	char text[512];

	if (!message->world->trace)
		return;
	sim_trace(message->world, "%c -#%u-> %c  %s%s  [%s]", sim_letter(message->from), message->number,
	    sim_letter(message->to),
	    sim_message_text(message->from, message->data, message->length, text, sizeof(text)),
	    message->corrupt ? " CORRUPT" : "", fate);
}

// ---- a snapshot ---------------------------------------------------------------------------------

static void end_text(const struct sim_world *world, const struct sim_end *end)
{
	static const char *const states[] = {"pending", "active", "retired", "draining"};

	for (unsigned slot = 0; end->tunnel && slot < end->life_config.slots; slot++) {
		const struct td_life_child *child = td_life_tunnel_children(end->tunnel, slot);

		for (; child; child = child->next)
			sim_trace(world, "   %c tunnel %u slot %u: in %x out %x %s%s%s gen %u line %llu%s",
			    sim_letter(end->node), end->link->index, slot, child->spi_in, child->spi_out,
			    states[child->state],
			    td_life_tunnel_current(end->tunnel, slot) == child ? " CURRENT" : "",
			    child->rekeying ? " rekeying" : "", td_life_entry_of(child)->generation,
			    (unsigned long long)td_life_entry_of(child)->line,
			    child->negotiator ? "" : " forgotten");
	}
}

void sim_trace_state(const struct sim_world *world)
{
	static const char *const states[] = {"connecting", "established", "rekeyed", "deleting", "closed"};

	if (!world->trace)
		return;
	for (unsigned i = 0; i < world->node_count; i++) {
		const struct td_ike_sa *sa;

		if (!world->nodes[i].ike)
			continue;
		LIST_FOREACH (sa, &world->nodes[i].ike->sas, all) {
			unsigned tasks = 0, children = 0;
			const struct td_ike_task *task;
			const struct td_ike_child *child;

			TAILQ_FOREACH (task, &sa->tasks, entry)
				tasks++;
			TAILQ_FOREACH (child, &sa->children, of_sa)
				children++;
			sim_trace(world, "   %c IKE %04x/%04x %s %s, %u children, %u tasks%s",
			    sim_letter(&world->nodes[i]), (unsigned)(sa->spi_i & 0xffff),
			    (unsigned)(sa->spi_r & 0xffff), sa->initiator ? "initiator" : "responder",
			    states[sa->state], children, tasks, sa->exchange.answered ? ", busy" : "");
		}
	}
	for (unsigned i = 0; i < world->link_count; i++)
		for (unsigned e = 0; e < 2; e++)
			end_text(world, &world->links[i].ends[e]);
}
