// SPDX-License-Identifier: BSD-3-Clause
// The methods of packet traces and captures.
#include "control/rpc/internal.h"
#include "control/watch/filter.h"

#include <errno.h>
#include <string.h>

#define U64(value) ((json_int_t)(value))
#define TRACE_COUNT_DEFAULT 10
#define ETHERTYPE_ARP 0x0806

const struct td_rpc_field td_rpc_trace_start_fields[] = {
    {"count", TD_RPC_INTEGER, false, 1, TD_TRACE_PACKETS_MAX},
    {"filter", TD_RPC_STRING, false, 0, 0},
    {"worker", TD_RPC_INTEGER, false, 0, TD_WORKERS_MAX - 1},
    {0},
};
const struct td_rpc_field td_rpc_trace_show_fields[] = {
    {"after", TD_RPC_INTEGER, false, 0, TD_TRACE_PACKETS_MAX},
    {"complete", TD_RPC_BOOLEAN, false, 0, 0},
    {0},
};

const struct td_rpc_field td_rpc_capture_start_fields[] = {
    {"count", TD_RPC_INTEGER, false, 1, TD_CAPTURE_COUNT_MAX},
    {"snaplen", TD_RPC_INTEGER, false, TD_CAPTURE_SNAPLEN_MIN, TD_CAPTURE_SNAPLEN_MAX},
    {"filter", TD_RPC_STRING, false, 0, 0},
    {"side", TD_RPC_STRING, false, 0, 0},
    {0},
};

// ---- steps ------------------------------------------------------------------------------------

static json_t *port_name(const struct td_rpc_call *call, unsigned port)
{
	const struct td_config *config = call->rpc->context->config;

	return td_rpc_json_text(port < config->port_count ? config->ports[port].name : "?");
}

static json_t *tunnel_name(const struct td_rpc_call *call, uint32_t id)
{
	const struct td_sad *sad = call->rpc->context->sad;
	const struct td_tunnel *tunnel = td_sad_tunnel_at(sad, id);

	return td_rpc_json_text(tunnel ? tunnel->config.name : "?");
}

static int set(json_t *step, const char *key, json_t *value)
{
	return json_object_set_new(step, key, value);
}

static int ports_set(json_t *step, const struct td_dp_headers *headers)
{
	int rc = 0;

	if (headers->source_port || headers->destination_port) {
		rc |= set(step, "source_port", json_integer(headers->source_port));
		rc |= set(step, "destination_port", json_integer(headers->destination_port));
	}
	if (headers->spi) {
		rc |= set(step, "spi", json_integer(headers->spi));
		rc |= set(step, "sequence", json_integer(headers->sequence));
	}
	if (headers->fragment)
		rc |= set(step, "fragment", json_true());
	return rc;
}

static int headers_set(json_t *step, const struct td_dp_headers *headers)
{
	const char *protocol = td_filter_protocol_name(headers->protocol);
	int rc = 0;

	if (headers->source.family) {
		rc |= set(step, "source", td_rpc_json_ip(&headers->source));
		rc |= set(step, "destination", td_rpc_json_ip(&headers->destination));
		rc |=
		    set(step, "protocol", protocol ? json_string(protocol) : json_integer(headers->protocol));
		rc |= ports_set(step, headers);
	} else if (headers->ethertype == ETHERTYPE_ARP) {
		rc |= set(step, "protocol", json_string("arp"));
	} else {
		rc |= set(step, "ethertype", json_integer(headers->ethertype));
	}
	return rc | set(step, "length", json_integer(headers->length));
}

static int policy_set(const struct td_rpc_call *call, json_t *step, const struct td_trace_record *record)
{
	static const char *const actions[] = {
	    [TD_POLICY_DISCARD] = "discard",
	    [TD_POLICY_BYPASS] = "bypass",
	    [TD_POLICY_PROTECT] = "protect",
	};
	int rc = set(step, "direction", json_string(record->outbound ? "out" : "in"));

	rc |= set(
	    step, "action", json_string(record->code == TD_TRACE_NO_POLICY ? "none" : actions[record->code]));
	if (record->tunnel != TD_TRACE_NO_TUNNEL)
		rc |= set(step, "tunnel", tunnel_name(call, record->tunnel));
	return rc;
}

static int sa_set(const struct td_rpc_call *call, json_t *step, const struct td_trace_record *record)
{
	static const char *const verdicts[] = {
	    [TD_TRACE_REPLAY_OK] = "ok",
	    [TD_TRACE_REPLAY_SEEN] = "seen",
	    [TD_TRACE_REPLAY_OLD] = "old",
	    [TD_TRACE_REPLAY_NONE] = "unchecked",
	};
	int rc = set(step, "tunnel", tunnel_name(call, record->tunnel));

	rc |= set(step, "spi", json_integer(record->spi));
	rc |= set(step, "sequence", json_integer(U64(record->sequence)));
	if (record->step == TD_TRACE_ESP_IN)
		rc |= set(step, "replay", json_string(verdicts[record->code]));
	return rc | set(step, "length", json_integer(record->length));
}

static int route_set(const struct td_rpc_call *call, json_t *step, const struct td_trace_record *record)
{
	static const char *const kinds[] = {
	    [TD_TRACE_ROUTE_NONE] = "none",
	    [TD_TRACE_ROUTE_LOCAL] = "local",
	    [TD_TRACE_ROUTE_BLACKHOLE] = "blackhole",
	    [TD_TRACE_ROUTE_HOP] = "next_hop",
	};
	int rc = set(step, "route", json_string(kinds[record->code]));

	if (record->code == TD_TRACE_ROUTE_HOP)
		rc |= set(step, "next_hop", td_rpc_json_ip(&record->next_hop));
	if (record->code == TD_TRACE_ROUTE_HOP || record->code == TD_TRACE_ROUTE_LOCAL)
		rc |= set(step, "port", port_name(call, record->port));
	return rc;
}

static const char *class_name(unsigned class)
{
	static const char *const names[] = {
	    [TD_TRACE_CLASS_ESP] = "esp",
	    [TD_TRACE_CLASS_TRANSIT] = "from_inside",
	    [TD_TRACE_CLASS_PLAIN] = "plain_from_outside",
	};

	return names[class];
}

static const char *wait_name(unsigned wait)
{
	static const char *const names[] = {
	    [TD_TRACE_WAIT_SA] = "outbound_sa",
	    [TD_TRACE_WAIT_NEIGHBOUR] = "neighbour",
	    [TD_TRACE_WAIT_FRAGMENTS] = "fragments",
	};

	return names[wait];
}

static int details_set(const struct td_rpc_call *call, json_t *step, const struct td_trace_record *record)
{
	switch ((enum td_trace_step)record->step) {
	case TD_TRACE_RECEIVED:
	case TD_TRACE_INJECTED:
		return set(step, "port", port_name(call, record->port)) | headers_set(step, &record->headers);
	case TD_TRACE_OPENED:
		return headers_set(step, &record->headers);
	case TD_TRACE_CLASSIFIED:
		return set(step, "class", json_string(class_name(record->code)));
	case TD_TRACE_POLICY:
		return policy_set(call, step, record);
	case TD_TRACE_ESP_IN:
	case TD_TRACE_ESP_OUT:
		return sa_set(call, step, record);
	case TD_TRACE_ICV:
		return set(step, "icv", json_string(record->code ? "ok" : "wrong"));
	case TD_TRACE_HANDOFF:
		return set(step, "to_worker", json_integer(record->code));
	case TD_TRACE_HELD:
		return set(step, "for", json_string(wait_name(record->code)));
	case TD_TRACE_CUT:
		return set(step, "fragments", json_integer(record->code));
	case TD_TRACE_ROUTE:
		return route_set(call, step, record);
	case TD_TRACE_PUNTED:
	case TD_TRACE_SENT:
		return set(step, "port", port_name(call, record->port)) |
		       set(step, "length", json_integer(record->length));
	case TD_TRACE_DROPPED:
		return set(step, "reason", json_string(td_dp_drop_info(record->code)->name));
	case TD_TRACE_REPLY:
		break;
	}
	return 0;
}

static json_t *step_json(
    const struct td_rpc_call *call, const struct td_trace_record *record, uint64_t start_ns)
{
	static const char *const names[] = {
	    [TD_TRACE_RECEIVED] = "received",
	    [TD_TRACE_INJECTED] = "injected",
	    [TD_TRACE_CLASSIFIED] = "classified",
	    [TD_TRACE_POLICY] = "policy",
	    [TD_TRACE_ESP_IN] = "esp_in",
	    [TD_TRACE_ICV] = "authenticated",
	    [TD_TRACE_OPENED] = "opened",
	    [TD_TRACE_ESP_OUT] = "esp_out",
	    [TD_TRACE_HANDOFF] = "handoff",
	    [TD_TRACE_HELD] = "held",
	    [TD_TRACE_CUT] = "cut",
	    [TD_TRACE_REPLY] = "icmp_error",
	    [TD_TRACE_ROUTE] = "route",
	    [TD_TRACE_PUNTED] = "punted",
	    [TD_TRACE_SENT] = "sent",
	    [TD_TRACE_DROPPED] = "dropped",
	};
	json_t *step = json_pack("{s:s,s:f,s:i}", "step", names[record->step], "us",
	    (double)(record->ns - start_ns) / 1000.0, "worker", (int)record->worker);

	if (step && details_set(call, step, record)) {
		json_decref(step);
		return NULL;
	}
	return step;
}

// ---- methods ----------------------------------------------------------------------------------

int td_rpc_trace_start(struct td_rpc_call *call)
{
	const char *text = td_rpc_params_string(call->params, "filter");
	unsigned count = (unsigned)td_rpc_params_integer(call->params, "count", TRACE_COUNT_DEFAULT);
	int worker = (int)td_rpc_params_integer(call->params, "worker", UINT64_MAX);
	struct td_dp_filter filter;

	td_error_set(&call->error, 0, "trace", "", " ");
	if (worker >= 0 && (unsigned)worker >= td_dp_worker_count())
		return td_error_set(&call->error, -EINVAL, NULL, "worker", "is %d, must be 0 to %u", worker,
		    td_dp_worker_count() - 1);
	int rc = td_filter_parse(text ? text : "", call->rpc->context->config, true, &filter, &call->error);
	if (rc == 0)
		rc = td_tracer_start(call->rpc->context->tracer, &filter, count, worker, &call->error);
	if (rc == 0)
		call->result = json_pack("{s:i}", "tracing", (int)count);
	return rc;
}

static json_t *packet_json(
    const struct td_rpc_call *call, const struct td_trace_packet *packet, bool complete)
{
	json_t *steps = json_array();

	// The first record may be one of a handoff, if that of the reception was lost.
	for (unsigned i = 0; i < packet->step_count; i++)
		if (json_array_append_new(steps, step_json(call, &packet->steps[i], packet->steps[0].ns))) {
			json_decref(steps);
			return NULL;
		}
	return json_pack("{s:i,s:b,s:i,s:o}", "number", (int)packet->number, "complete", (int)complete,
	    "steps_lost", (int)packet->steps_lost, "steps", steps);
}

int td_rpc_trace_show(struct td_rpc_call *call)
{
	const struct td_tracer *tracer = call->rpc->context->tracer;
	unsigned index = (unsigned)td_rpc_params_integer(call->params, "after", 0), shown = 0;
	bool complete_only = td_rpc_params_boolean(call->params, "complete");
	json_t *packets = json_array();
	struct td_tracer_state state;

	td_tracer_state(tracer, &state);
	for (; index < state.packets && shown < TD_TRACE_SHOW_MAX; index++, shown++) {
		const struct td_trace_packet *packet = td_tracer_packet(tracer, index);
		bool complete = td_tracer_is_complete(tracer, packet);

		// In order: what is behind it waits, too.
		if (complete_only && !complete)
			break;
		if (json_array_append_new(packets, packet_json(call, packet, complete))) {
			json_decref(packets);
			return td_error_set(&call->error, -ENOMEM, "trace", "", "there is not enough memory");
		}
	}
	call->result = json_pack("{s:b,s:i,s:i,s:I,s:b,s:o}", "running", (int)state.running, "wanted",
	    (int)state.wanted, "traced", (int)state.packets, "records_lost", U64(state.lost), "more",
	    (int)(shown == TD_TRACE_SHOW_MAX && index < state.packets), "packets", packets);
	return 0;
}

int td_rpc_trace_stop(struct td_rpc_call *call)
{
	struct td_tracer_state state;

	td_tracer_stop(call->rpc->context->tracer);
	td_tracer_state(call->rpc->context->tracer, &state);
	call->result = json_pack("{s:i}", "traced", (int)state.packets);
	return 0;
}

// ---- capture ----------------------------------------------------------------------------------

static int side_read(struct td_rpc_call *call, enum td_capture_side *side)
{
	static const struct {
		const char *name;
		enum td_capture_side side;
	} sides[] = {
	    {"plain", TD_CAPTURE_PLAIN},
	    {"protected", TD_CAPTURE_PROTECTED},
	    {"both", TD_CAPTURE_BOTH},
	};
	const char *text = td_rpc_params_string(call->params, "side");

	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
		if (strcmp(text ? text : "both", sides[i].name) == 0) {
			*side = sides[i].side;
			return 0;
		}
	return td_error_set(
	    &call->error, -EINVAL, NULL, "side", "must be \"plain\", \"protected\" or \"both\"");
}

int td_rpc_capture_start(struct td_rpc_call *call)
{
	const char *text = td_rpc_params_string(call->params, "filter");
	struct td_dp_capture capture = {
	    .count = td_rpc_params_integer(call->params, "count", TD_CAPTURE_COUNT_DEFAULT),
	    .snaplen = (unsigned)td_rpc_params_integer(call->params, "snaplen", TD_CAPTURE_SNAPLEN_MAX),
	};

	td_error_set(&call->error, 0, "capture", "", " ");
	int rc = side_read(call, &capture.side);
	if (rc == 0)
		rc = td_filter_parse(
		    text ? text : "", call->rpc->context->config, false, &capture.filter, &call->error);
	if (rc)
		return rc;
	if (call->client->passed_fd < 0)
		return td_error_set(&call->error, -EINVAL, NULL, "file",
		    "an open descriptor must be sent along with the request (SCM_RIGHTS)");
	rc = td_recorder_start(call->rpc->context->recorder, call->client->passed_fd, &capture, &call->error);
	if (rc)
		return rc;
	call->client->passed_fd = -1; // it is the recorder's now
	call->result = json_pack("{s:I}", "capturing", U64(capture.count));
	return 0;
}

int td_rpc_capture_show(struct td_rpc_call *call)
{
	static const char *const phases[] = {
	    [TD_RECORDER_IDLE] = "idle",
	    [TD_RECORDER_RUNNING] = "running",
	    [TD_RECORDER_STOPPING] = "stopping",
	};
	struct td_recorder_state state;

	td_recorder_state(call->rpc->context->recorder, &state);
	call->result =
	    json_pack("{s:s,s:I,s:I,s:I,s:I}", "state", phases[state.phase], "count", U64(state.wanted),
	        "packets", U64(state.packets), "bytes", U64(state.bytes), "lost", U64(state.lost));
	if (state.failure)
		json_object_set_new(call->result, "failure", td_rpc_json_text(state.failure));
	return 0;
}

int td_rpc_capture_stop(struct td_rpc_call *call)
{
	td_recorder_stop(call->rpc->context->recorder);
	return td_rpc_capture_show(call);
}
