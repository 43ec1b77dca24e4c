// SPDX-License-Identifier: BSD-3-Clause
// The methods that show: each makes one JSON object per thing.
#include "common/clock.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define U64(value) ((json_int_t)(value))

json_t *td_rpc_json_prefix(const struct td_prefix *prefix)
{
	char text[TD_PREFIX_TEXT_MAX];

	return json_string(prefix->ip.family ? td_prefix_format(prefix, text) : "any");
}

json_t *td_rpc_json_prefixes(const struct td_prefix *prefixes, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, td_rpc_json_prefix(&prefixes[i]));
	return list;
}

// ---- SAs --------------------------------------------------------------------------------------

void td_rpc_sa_stats(const struct td_sa *sa, struct td_sa_stats *stats)
{
	if (sa->outbound)
		td_dp_sa_out_stats(sa->out, stats);
	else
		td_dp_sa_in_stats(sa->in, stats);
}

static const char *protocol_name(const struct td_suite_info *suite)
{
	return suite->protocol == TD_SA_AH ? "ah" : "esp";
}

static json_t *sa_json(const struct td_sa *sa)
{
	const struct td_suite_info *suite = td_dp_suite_info(sa->suite);
	struct td_sa_stats stats = {0};
	uint64_t age_ms = (td_clock_now_ns() - sa->created_ns) / TD_NS_PER_MS;

	td_rpc_sa_stats(sa, &stats);
	json_t *item =
	    json_pack("{s:I,s:s,s:o,s:s,s:s,s:i,s:s,s:b,s:b,s:i,s:I,s:I,s:I,s:I}", "spi", U64(sa->spi),
	        "direction", sa->outbound ? "out" : "in", "tunnel", td_rpc_json_text(sa->tunnel->config.name),
	        "protocol", protocol_name(suite), "suite", suite->name, "worker", (int)sa->owner, "state",
	        td_sa_state_name(sa->state), "current", (int)td_sad_sa_is_current(sa), "esn", (int)sa->esn,
	        "replay_window", (int)sa->replay_window, "age_ms", U64(age_ms), "packets", U64(stats.packets),
	        "bytes", U64(stats.bytes), "sequence", U64(stats.sequence));
	json_t *limits = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "soft_bytes", U64(sa->limits.soft_bytes),
	    "hard_bytes", U64(sa->limits.hard_bytes), "soft_packets", U64(sa->limits.soft_packets),
	    "hard_packets", U64(sa->limits.hard_packets), "soft_ms", U64(sa->soft_time_ms), "hard_ms",
	    U64(sa->hard_time_ms));
	json_t *inbound =
	    sa->outbound
	        ? json_pack("{s:I,s:I}", "dummies", U64(stats.dummies), "dropped", U64(stats.dropped))
	        : json_pack("{s:I,s:I,s:I,s:I,s:I}", "auth_failed", U64(stats.auth_failed), "replayed",
	              U64(stats.replayed), "malformed", U64(stats.malformed), "policy_failed",
	              U64(stats.policy_failed), "rejected", U64(stats.rejected));
	bool complete = item && limits && inbound && json_object_update(item, limits) == 0 &&
	                json_object_update(item, inbound) == 0;
	json_decref(limits);
	json_decref(inbound);
	if (complete)
		return item;
	json_decref(item);
	return NULL;
}

static void sa_visit(void *context, const struct td_sa *sa)
{
	struct td_rpc_call *call = context;

	if (call->id && !call->out_of_memory && !call->client->dead)
		td_rpc_list_item(call, sa_json(sa));
}

int td_rpc_sa_list(struct td_rpc_call *call)
{
	const struct td_sad *sad = call->rpc->context->sad;
	struct td_tunnel *tunnel;
	int rc = td_rpc_tunnel_read(call, call->params, &tunnel);

	if (rc)
		return rc;
	td_rpc_list_begin(call, "sas");
	if (tunnel)
		td_sad_tunnel_foreach(tunnel, sa_visit, call);
	else
		td_sad_foreach(sad, sa_visit, call);
	return td_rpc_list_end(call);
}

// ---- the data plane ---------------------------------------------------------------------------

static json_t *worker_json(unsigned worker)
{
	struct td_dp_worker_info info = {0};

	td_dp_worker_info(worker, &info);
	return json_pack("{s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
	    "worker", (int)worker, "core", info.core, "loops", U64(info.loops), "idle_loops",
	    U64(info.idle_loops), "rx_packets", U64(info.rx_packets), "tx_packets", U64(info.tx_packets),
	    "esp_in_packets", U64(info.esp_in_packets), "esp_in_bytes", U64(info.esp_in_bytes),
	    "esp_out_packets", U64(info.esp_out_packets), "esp_out_bytes", U64(info.esp_out_bytes),
	    "dummies_out", U64(info.dummies_out), "punted", U64(info.punted), "injected", U64(info.injected),
	    "handoff_out", U64(info.handoff_out), "handoff_in", U64(info.handoff_in), "events_lost",
	    U64(info.events_lost), "held", U64(info.held), "hints_unknown", U64(info.hints_unknown));
}

int td_rpc_worker_list(struct td_rpc_call *call)
{
	td_rpc_list_begin(call, "workers");
	for (unsigned worker = 0; worker < td_dp_worker_count(); worker++)
		td_rpc_list_item(call, worker_json(worker));
	return td_rpc_list_end(call);
}

static json_t *port_json(unsigned port)
{
	static const char *const steering[] = {[TD_STEERING_NONE] = "none",
	    [TD_STEERING_RSS] = "rss",
	    [TD_STEERING_RSS_SPI] = "rss-spi",
	    [TD_STEERING_FLOW] = "flow"};
	struct td_dp_port_info info = {0};
	char mac[18];

	td_dp_port_info(port, &info);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", info.mac[0], info.mac[1], info.mac[2],
	    info.mac[3], info.mac[4], info.mac[5]);
	return json_pack("{s:o,s:o,s:s,s:s,s:i,s:b,s:i,s:i,s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "name",
	    td_rpc_json_text(info.name), "driver", td_rpc_json_text(info.driver), "role",
	    info.role == TD_ROLE_INSIDE ? "inside" : "outside", "mac", mac, "mtu", (int)info.mtu, "link_up",
	    (int)info.link_up, "rx_queues", (int)info.rx_queues, "tx_queues", (int)info.tx_queues, "rss",
	    (int)info.rss, "steering", steering[info.steering], "rx_packets", U64(info.rx_packets),
	    "rx_bytes", U64(info.rx_bytes), "tx_packets", U64(info.tx_packets), "tx_bytes",
	    U64(info.tx_bytes), "rx_missed", U64(info.rx_missed), "rx_errors", U64(info.rx_errors),
	    "tx_errors", U64(info.tx_errors));
}

int td_rpc_port_list(struct td_rpc_call *call)
{
	td_rpc_list_begin(call, "ports");
	for (unsigned port = 0; port < td_dp_port_count(); port++)
		td_rpc_list_item(call, port_json(port));
	return td_rpc_list_end(call);
}

int td_rpc_drop_list(struct td_rpc_call *call)
{
	bool all = td_rpc_params_boolean(call->params, "all");

	td_rpc_list_begin(call, "drops");
	for (unsigned reason = 0; reason < td_dp_drop_count(); reason++) {
		const struct td_dp_drop_info *info = td_dp_drop_info(reason);
		json_t *workers = json_array();
		uint64_t packets = 0;

		for (unsigned worker = 0; worker < td_dp_worker_count(); worker++) {
			uint64_t dropped = td_dp_drops(worker, reason);

			packets += dropped;
			json_array_append_new(workers, json_integer(U64(dropped)));
		}
		if (all || packets)
			td_rpc_list_item(call, json_pack("{s:s,s:s,s:s,s:I,s:O}", "reason", info->name,
			                           "severity", info->severity, "help", info->help, "packets",
			                           U64(packets), "workers", workers));
		json_decref(workers);
	}
	return td_rpc_list_end(call);
}

int td_rpc_suite_list(struct td_rpc_call *call)
{
	td_rpc_list_begin(call, "suites");
	for (unsigned suite = 0; suite < td_dp_suite_count(); suite++) {
		const struct td_suite_info *info = td_dp_suite_info(suite);

		td_rpc_list_item(
		    call, json_pack("{s:s,s:s,s:i,s:i,s:i,s:s,s:b}", "name", info->name, "protocol",
		              protocol_name(info), "key_bytes", (int)info->key_bytes, "iv_bytes",
		              (int)info->iv_bytes, "icv_bytes", (int)info->icv_bytes, "reference",
		              info->reference, "available", (int)td_dp_suite_available(suite)));
	}
	return td_rpc_list_end(call);
}
