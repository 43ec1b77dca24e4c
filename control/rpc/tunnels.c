// SPDX-License-Identifier: BSD-3-Clause
// Tunnels, and what negotiates their keys.
#include "common/clock.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define U64(value) ((json_int_t)(value))

const struct td_rpc_field td_rpc_tunnel_list_fields[] = {{"tunnel", TD_RPC_STRING, false, 0, 0}, {0}};
const struct td_rpc_field td_rpc_tunnel_fields[] = {{"tunnel", TD_RPC_STRING, true, 0, 0}, {0}};
const struct td_rpc_field td_rpc_tunnel_rekey_fields[] = {
    {"tunnel", TD_RPC_STRING, true, 0, 0},
    {"ike", TD_RPC_BOOLEAN, false, 0, 0},
    {0},
};

int td_rpc_injected_check(struct td_rpc_call *call, const struct td_tunnel *tunnel)
{
	if (!tunnel->config.ike)
		return 0;
	return td_error_set(&call->error, -EBUSY, NULL, "tunnel",
	    "is negotiated: its SAs are IKE's; use tunnel.up, tunnel.down and tunnel.rekey");
}

// ---- list -------------------------------------------------------------------------------------

struct tunnel_sums {
	json_t *inbound_spis;
	struct td_sa_stats in, out;
};

static void sa_sum(void *context, const struct td_sa *sa)
{
	struct tunnel_sums *sums = context;
	struct td_sa_stats *sum = sa->outbound ? &sums->out : &sums->in;
	struct td_sa_stats stats = {0};

	td_rpc_sa_stats(sa, &stats);
	sum->packets += stats.packets;
	sum->bytes += stats.bytes;
	sum->dummies += stats.dummies;
	if (!sa->outbound)
		json_array_append_new(sums->inbound_spis, json_integer(sa->spi));
}

static json_t *address_json(const struct td_ip *ip)
{
	return ip->family ? td_rpc_json_ip(ip) : json_string("any");
}

// An identity of the file; without one the address is it.
static json_t *id_json(const char *text, const struct td_ip *address)
{
	return text ? td_rpc_json_text(text) : address_json(address);
}

static json_t *negotiation_json(const struct td_negotiate *negotiate, const struct td_tunnel *tunnel)
{
	static const char *const starts[] = {
	    [TD_TUNNEL_BOOT] = "boot", [TD_TUNNEL_TRAP] = "trap", [TD_TUNNEL_RESPOND] = "respond"};
	const struct td_tunnel_config *config = &tunnel->config;
	struct td_negotiate_tunnel_info info = {0};

	if (negotiate && config->ike)
		td_negotiate_tunnel_info(negotiate, tunnel, &info);
	if (!info.negotiated)
		return json_pack("{s:b}", "negotiated", 0);
	return json_pack("{s:b,s:s,s:s,s:o,s:o,s:i,s:I,s:I,s:I,s:o,s:I}", "negotiated", 1, "state",
	    info.state, "start", starts[config->ike->start], "local_id",
	    id_json(config->ike->local_id, &config->local_address), "remote_id",
	    id_json(config->ike->remote_id, &config->remote_address), "children", (int)info.children,
	    "rekeys", U64(info.rekeys), "activated_by_traffic", U64(info.activated_by_traffic), "failed",
	    U64(info.failed), "last_error", td_rpc_json_text(info.last_error), "up_ms",
	    U64(info.up_since_ns ? (td_clock_now_ns() - info.up_since_ns) / TD_NS_PER_MS : 0));
}

static json_t *tunnel_json(const struct td_rpc *rpc, const struct td_tunnel *tunnel)
{
	const struct td_tunnel_config *config = &tunnel->config;
	struct tunnel_sums sums = {.inbound_spis = json_array()};
	json_t *outbound = json_array();
	bool established = false;

	td_sad_tunnel_foreach(tunnel, sa_sum, &sums);
	for (unsigned worker = 0; worker < td_dp_worker_count(); worker++) {
		const struct td_sa *sa = td_sad_tunnel_current(tunnel, worker);

		established |= sa && sa->state != TD_SA_EXPIRED;
		json_array_append_new(outbound, json_integer(sa ? sa->spi : 0));
	}
	json_t *item = json_pack(
	    "{s:o,s:s,s:o,s:o,s:o,s:i,s:i,s:o,s:o,s:o,s:b,s:o,s:o,s:I,s:I,s:I,s:I,s:o,s:i,s:I}", "name",
	    td_rpc_json_text(config->name), "mode", config->mode == TD_SA_TRANSPORT ? "transport" : "tunnel",
	    "local_address", td_rpc_json_ip(&config->local_address), "remote_address",
	    address_json(&config->remote_address), "peer_address", address_json(&tunnel->peer_address),
	    "peer_port", (int)tunnel->peer_port, "pmtu", (int)tunnel->pmtu, "local",
	    td_rpc_json_prefixes(config->local, config->local_count), "remote",
	    td_rpc_json_prefixes(config->remote, config->remote_count), "routes",
	    td_rpc_json_prefixes(config->routes, config->route_count), "established", (int)established,
	    "outbound_spi", outbound, "inbound_spis", sums.inbound_spis, "packets_in", U64(sums.in.packets),
	    "bytes_in", U64(sums.in.bytes), "packets_out", U64(sums.out.packets), "bytes_out",
	    U64(sums.out.bytes), "tfc",
	    config->tfc == TD_CONFIG_TFC_MTU ? json_string("mtu") : json_integer(config->tfc), "dummy_rate",
	    (int)config->dummy_rate, "dummies_out", U64(sums.out.dummies));
	json_t *negotiation = negotiation_json(rpc->context->negotiate, tunnel);
	bool complete = item && negotiation && json_object_update(item, negotiation) == 0;

	json_decref(negotiation);
	if (complete)
		return item;
	json_decref(item);
	return NULL;
}

int td_rpc_tunnel_list(struct td_rpc_call *call)
{
	const struct td_rpc_context *context = call->rpc->context;
	struct td_tunnel *only;
	int rc = td_rpc_tunnel_read(call, call->params, &only);

	if (rc)
		return rc;
	td_rpc_list_begin(call, "tunnels");
	if (only && call->id)
		td_rpc_list_item(call, tunnel_json(call->rpc, only));
	for (unsigned i = 0; !only && call->id && i < context->config->tunnel_count; i++)
		td_rpc_list_item(call, tunnel_json(call->rpc, td_sad_tunnel_find(context->sad,
		                                                  context->config->tunnels[i].name)));
	return td_rpc_list_end(call);
}

// ---- up, down, rekey ----------------------------------------------------------------------------

static int tunnel_change(struct td_rpc_call *call, const char *word,
    int (*change)(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error))
{
	struct td_tunnel *tunnel;
	int rc = td_rpc_tunnel_read(call, call->params, &tunnel);

	if (rc == 0)
		rc = change(call->rpc->context->negotiate, tunnel, &call->error);
	if (rc == 0)
		call->result = json_pack("{s:i}", word, 1);
	return rc;
}

int td_rpc_tunnel_up(struct td_rpc_call *call)
{
	return tunnel_change(call, "connecting", td_negotiate_up);
}

int td_rpc_tunnel_down(struct td_rpc_call *call)
{
	return tunnel_change(call, "down", td_negotiate_down);
}

static int rekey_ike(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error)
{
	return td_negotiate_rekey(negotiate, tunnel, true, error);
}

static int rekey_children(
    struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error)
{
	return td_negotiate_rekey(negotiate, tunnel, false, error);
}

int td_rpc_tunnel_rekey(struct td_rpc_call *call)
{
	bool ike = td_rpc_params_boolean(call->params, "ike");

	return tunnel_change(call, "rekeying", ike ? rekey_ike : rekey_children);
}

// ---- IKE SAs ----------------------------------------------------------------------------------

// The suite in the words of the configuration.
static const char *suite_text(const struct td_ike_suite *suite, char *text)
{
	const struct td_ike_transform transforms[] = {
	    {TD_IKE_ENCR, suite->encr, suite->key_bits},
	    {TD_IKE_INTEG, suite->integ, 0},
	    {TD_IKE_PRF, suite->prf, 0},
	    {TD_IKE_DH, suite->dh, 0},
	};
	struct td_ike_proposal proposal = {.protocol = TD_IKE_PROTO_IKE};

	for (size_t i = 0; i < sizeof(transforms) / sizeof(transforms[0]); i++)
		if (transforms[i].id)
			(void)td_ike_transform_add(&proposal, &transforms[i]);
	return td_ike_proposal_format(&proposal, text);
}

// JSON's integers are too short for IKE's SPIs.
static json_t *spi_json(uint64_t spi)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%016" PRIx64, spi);
	return json_string(text);
}

static json_t *peer_id_json(const struct td_ike_id *id)
{
	char text[TD_ID_TEXT_MAX];

	return id->type ? td_rpc_json_text(td_ike_id_format(id, text)) : json_string("");
}

static void ike_visit(void *context, const struct td_ike_peer *peer, const struct td_ike_sa_info *info)
{
	const struct td_ike_peer_config *config = peer ? td_ike_peer_config(peer) : NULL;
	struct td_rpc_call *call = context;
	char suite[TD_IKE_PROPOSAL_TEXT_MAX];

	if (!call->id || call->out_of_memory || call->client->dead)
		return;
	td_rpc_list_item(call,
	    json_pack("{s:o,s:o,s:o,s:s,s:s,s:s,s:o,s:i,s:o,s:i,s:o,s:o,s:b,s:b,s:s,s:i,s:I}", "spi_i",
	        spi_json(info->spi_i), "spi_r", spi_json(info->spi_r), "tunnel",
	        td_rpc_json_text(config ? config->name : ""), "role",
	        info->initiator ? "initiator" : "responder", "negotiation", info->onertt ? "onertt" : "ikev2",
	        "state", info->state, "local_address", address_json(&info->path.local), "local_port",
	        (int)info->path.local_port, "remote_address", address_json(&info->path.remote), "remote_port",
	        (int)info->path.remote_port, "local_id",
	        config ? peer_id_json(&config->local_id) : json_string(""), "remote_id",
	        peer_id_json(&info->remote_id), "nat_local", (int)info->nat_local, "nat_remote",
	        (int)info->nat_remote, "suite", suite_text(&info->suite, suite), "children",
	        (int)info->children, "age_ms",
	        U64(info->established_ns ? (td_clock_now_ns() - info->established_ns) / TD_NS_PER_MS : 0)));
}

int td_rpc_ike_list(struct td_rpc_call *call)
{
	const struct td_negotiate *negotiate = call->rpc->context->negotiate;

	td_rpc_list_begin(call, "ike_sas");
	td_ike_foreach(td_negotiate_ike(negotiate), ike_visit, call);
	return td_rpc_list_end(call);
}

int td_rpc_ike_stats(struct td_rpc_call *call)
{
	const struct td_ike_stats *stats = td_ike_stats(td_negotiate_ike(call->rpc->context->negotiate));

	call->result = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "received",
	    U64(stats->received), "malformed", U64(stats->malformed), "unauthentic", U64(stats->unauthentic),
	    "unexpected", U64(stats->unexpected), "retransmitted", U64(stats->retransmitted),
	    "answered_again", U64(stats->answered_again), "cookies_sent", U64(stats->cookies_sent),
	    "cookies_wrong", U64(stats->cookies_wrong), "half_open_refused", U64(stats->half_open_refused),
	    "established", U64(stats->established), "authentication_failed",
	    U64(stats->authentication_failed), "no_proposal", U64(stats->no_proposal), "dead",
	    U64(stats->dead), "collisions", U64(stats->collisions));
#define COUNTER_SET(name, help)                                                                              \
	if (call->result)                                                                                    \
		(void)json_object_set_new(                                                                   \
		    call->result, "onertt_" #name, json_integer((json_int_t)stats->onertt.name));
	TD_ONERTT_COUNTERS(COUNTER_SET)
#undef COUNTER_SET
	return 0;
}
