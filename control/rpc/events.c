// SPDX-License-Identifier: BSD-3-Clause
// Events to subscribers.
#include "control/rpc/internal.h"

#include <netinet/in.h>
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

// Ports, or what ICMP has instead.
static int numbers_fields(json_t *params, const struct td_event *event)
{
	bool icmp = event->protocol == IPPROTO_ICMP || event->protocol == IPPROTO_ICMPV6;

	return json_object_set_new(
	           params, icmp ? "icmp_type" : "source_port", json_integer(event->source_port)) |
	       json_object_set_new(
	           params, icmp ? "icmp_code" : "destination_port", json_integer(event->destination_port));
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
		return event->numbers ? rc | numbers_fields(params, event) : rc;
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

// Takes params. Returns the line, to be freed, or NULL without memory, as when params is NULL.
static char *event_line(json_t *params)
{
	json_t *line = json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", "event", "params", params);
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

	json_decref(line);
	return text;
}

// Takes params when a field could not be set: the event is no event then.
static json_t *event_whole(json_t *params, int rc)
{
	if (rc == 0)
		return params;
	json_decref(params);
	return NULL;
}

static json_t *sa_event_params(
    const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel, const struct td_event *event)
{
	json_t *params = json_pack("{s:s}", "event", kind);
	int rc = params ? 0 : -1;

	if (sa) {
		rc |= json_object_set_new(params, "spi", json_integer(sa->spi));
		rc |= json_object_set_new(params, "direction", json_string(sa->outbound ? "out" : "in"));
	}
	if (tunnel)
		rc |= json_object_set_new(params, "tunnel", td_rpc_json_text(tunnel->config.name));
	if (event)
		rc |= worker_event_fields(params, event);
	return event_whole(params, rc);
}

static json_t *negotiate_event_params(const struct td_negotiate_event *event)
{
	json_t *params = json_pack("{s:s}", "event", event->kind);
	int rc = params ? 0 : -1;

	if (event->tunnel)
		rc |= json_object_set_new(params, "tunnel", td_rpc_json_text(event->tunnel));
	if (event->spi_in)
		rc |= json_object_set_new(params, "spi_in", json_integer(event->spi_in));
	if (event->spi_out)
		rc |= json_object_set_new(params, "spi_out", json_integer(event->spi_out));
	if (event->reason)
		rc |= json_object_set_new(params, "reason", td_rpc_json_text(event->reason));
	return event_whole(params, rc);
}

static bool has_subscribers(const struct td_rpc *rpc)
{
	const struct td_rpc_client *client;

	TAILQ_FOREACH (client, &rpc->clients, link)
		if (client->subscribed)
			return true;
	return false;
}

// Takes params; NULL when there was no memory for them, and then every subscriber has missed the event.
static void event_send(struct td_rpc *rpc, json_t *params)
{
	char *text = event_line(params);
	size_t length = text ? strlen(text) : 0;
	struct td_rpc_client *client;

	// The terminator gives way to the end of the line.
	if (text)
		text[length++] = '\n';
	TAILQ_FOREACH (client, &rpc->clients, link) {
		if (!client->subscribed)
			continue;
		if (text)
			td_rpc_client_event(client, text, length);
		else
			client->events_lost++;
	}
	free(text);
}

void td_rpc_event(void *context, const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel,
    const struct td_event *event)
{
	struct td_rpc *rpc = context;

	if (has_subscribers(rpc))
		event_send(rpc, sa_event_params(kind, sa, tunnel, event));
}

void td_rpc_negotiate_event(void *context, const struct td_negotiate_event *event)
{
	struct td_rpc *rpc = context;

	if (has_subscribers(rpc))
		event_send(rpc, negotiate_event_params(event));
}

void td_rpc_events_lost(struct td_rpc *rpc, uint64_t count)
{
	struct td_rpc_client *client;

	TAILQ_FOREACH (client, &rpc->clients, link)
		if (client->subscribed)
			td_rpc_client_lost(client, count);
}
