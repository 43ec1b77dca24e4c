// SPDX-License-Identifier: BSD-3-Clause
// Events to subscribers.
#include "control/rpc/internal.h"

#include <stdlib.h>
#include <string.h>

static const char *limit_name(enum td_limit_kind limit)
{
	switch (limit) {
	case TD_LIMIT_TIME:
		return "time";
	case TD_LIMIT_BYTES:
		return "bytes";
	case TD_LIMIT_PACKETS:
		return "packets";
	case TD_LIMIT_SEQUENCE:
		break;
	}
	return "sequence";
}

static int worker_event_fields(json_t *params, const struct td_event *event)
{
	int rc = 0;

	switch (event->kind) {
	case TD_EVENT_SOFT_LIMIT:
	case TD_EVENT_HARD_LIMIT:
		return json_object_set_new(params, "limit", json_string(limit_name(event->limit)));
	case TD_EVENT_AUTH_BURST:
		rc |= json_object_set_new(params, "count", json_integer(event->count));
		rc |= json_object_set_new(params, "source", td_rpc_json_ip(&event->source));
		return rc;
	case TD_EVENT_UNKNOWN_SPI:
		rc |= json_object_set_new(params, "spi", json_integer(event->spi));
		rc |= json_object_set_new(params, "source", td_rpc_json_ip(&event->source));
		rc |= json_object_set_new(params, "destination", td_rpc_json_ip(&event->destination));
		return rc;
	case TD_EVENT_ACQUIRE:
		rc |= json_object_set_new(params, "source", td_rpc_json_ip(&event->source));
		rc |= json_object_set_new(params, "destination", td_rpc_json_ip(&event->destination));
		rc |= json_object_set_new(params, "protocol", json_integer(event->protocol));
		return rc;
	case TD_EVENT_PEER_MOVED:
		rc |= json_object_set_new(params, "source", td_rpc_json_ip(&event->source));
		rc |= json_object_set_new(params, "source_port", json_integer(event->source_port));
		return rc;
	case TD_EVENT_PMTU:
		rc |= json_object_set_new(params, "source", td_rpc_json_ip(&event->source));
		rc |= json_object_set_new(params, "mtu", json_integer(event->count));
		return rc;
	case TD_EVENT_FIRST_USE:
	case TD_EVENT_RESOLVE:
		break;
	}
	return 0;
}

// Returns the line, to be freed, or NULL without memory.
static char *event_text(
    const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel, const struct td_event *event)
{
	json_t *params = json_pack("{s:s}", "event", kind);
	char *text = NULL;
	int rc = params ? 0 : -1;

	if (sa) {
		rc |= json_object_set_new(params, "spi", json_integer(sa->spi));
		rc |= json_object_set_new(params, "direction", json_string(sa->outbound ? "out" : "in"));
	}
	if (tunnel)
		rc |= json_object_set_new(params, "tunnel", td_rpc_json_text(tunnel->config.name));
	if (event)
		rc |= worker_event_fields(params, event);
	if (rc == 0) {
		json_t *line =
		    json_pack("{s:s,s:s,s:O}", "jsonrpc", "2.0", "method", "event", "params", params);

		text = line ? json_dumps(line, JSON_COMPACT) : NULL;
		json_decref(line);
	}
	json_decref(params);
	return text;
}

void td_rpc_event(void *context, const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel,
    const struct td_event *event)
{
	struct td_rpc *rpc = context;
	struct td_rpc_client *client;
	char *text = NULL;
	size_t length = 0;

	TAILQ_FOREACH (client, &rpc->clients, link) {
		if (!client->subscribed)
			continue;
		if (!text) {
			text = event_text(kind, sa, tunnel, event);
			if (!text)
				break;
			// The terminator gives way to the end of the line.
			length = strlen(text);
			text[length++] = '\n';
		}
		td_rpc_client_event(client, text, length);
	}
	// Without memory for the event every subscriber has missed it.
	for (; client; client = TAILQ_NEXT(client, link))
		client->events_lost += client->subscribed;
	free(text);
}

void td_rpc_events_lost(struct td_rpc *rpc, uint64_t count)
{
	struct td_rpc_client *client;

	TAILQ_FOREACH (client, &rpc->clients, link)
		if (client->subscribed)
			td_rpc_client_lost(client, count);
}
