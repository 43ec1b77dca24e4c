// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/pair.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HUB_ADDRESS 0xc0000201u // 192.0.2.1
#define SITE_ADDRESSES 0x0a000001u // 10.0.0.1 and on
#define SELECTORS 0x80000000u // 128.0.0.0/24 and on, one for each tunnel

uint64_t td_cpu_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * TD_NS_PER_S + (uint64_t)now.tv_nsec;
}

// ---- configuration ------------------------------------------------------------------------------

// What a peer is verified by. NULL: libcrypto failed.
static struct td_ike_credential *trust_of(
    struct td_pair *pair, const struct td_pki *pki, unsigned side, unsigned number)
{
	if (!pair->config.certificates)
		return pki->psk;
	if (!pair->config.newcomers)
		return pki->trust;
	pair->trusts[side][number] = td_pki_trust(pki);
	return pair->trusts[side][number];
}

static int peer_add(struct td_pair *pair, const struct td_pki *pki, unsigned side, unsigned number)
{
	char names[2][32] = {"a.example", "b.example"};
	const struct td_ip addresses[2] = {
	    td_ip_from_v4(SITE_ADDRESSES + number), td_ip_from_v4(HUB_ADDRESS)};
	struct td_ike_peer_config config = {
	    .local_address = addresses[side],
	    .remote_address = addresses[1 - side],
	    .local = pair->config.certificates ? pki->keys[side] : pki->psk,
	    .remote = trust_of(pair, pki, side, number),
	    .retransmit_ns = 2 * TD_NS_PER_S,
	    .retransmit_tries = 5,
	    .liveness_ns = pair->config.soft_ns ? 30 * TD_NS_PER_S
	                   : side               ? 0
	                                        : pair->config.liveness_ns,
	    .fragment_bytes = 1280,
	};
	struct td_error error;

	(void)snprintf(config.name, sizeof(config.name), "peer%u", number);
	if (pair->config.statics) {
		td_statics_config(pair->config.statics, side, number, &config.onertt);
		(void)snprintf(names[0], sizeof(names[0]), "site%u.example", number);
	}
	if (!config.remote || td_ike_id_parse(names[side], &config.local_id) < 0 ||
	    td_ike_id_parse(names[1 - side], &config.remote_id) < 0 ||
	    td_ike_proposal_parse(
	        TD_IKE_PROTO_IKE, "aes128gcm16-prfsha256-x25519", &config.proposals, &error) < 0)
		return -EINVAL;
	pair->peers[side][number] = td_ike_peer_add(pair->sides[side].ike, &config);
	return pair->peers[side][number] ? 0 : -ENOMEM;
}

static int tunnel_add(struct td_pair *pair, unsigned side, unsigned number)
{
	struct td_gateway *gateway = &pair->sides[side];
	const struct td_prefix hub = {.ip = td_ip_from_v4(0xc6336400u), .length = 24}; // 198.51.100.0/24
	const struct td_prefix site = {.ip = td_ip_from_v4(SELECTORS + (number << 8)), .length = 24};
	struct td_ike_child_config child = {.local = {1, {td_ts_from_prefix(side ? &hub : &site)}},
	    .remote = {1, {td_ts_from_prefix(side ? &site : &hub)}}};
	struct td_life_config life = {
	    .start = side ? TD_START_RESPOND : pair->config.start,
	    .slots = 1,
	    .soft_ns = pair->config.soft_ns,
	    .hard_ns = pair->config.hard_ns,
	    .drain_ns = 5 * TD_NS_PER_S,
	    .quiet_ns = 26 * TD_NS_PER_S, // of the retransmissions above
	    .retry_ns = 2 * TD_NS_PER_S,
	};
	struct td_error error;

	(void)snprintf(life.name, sizeof(life.name), "tunnel%u", number);
	if (td_ike_proposal_parse(TD_IKE_PROTO_ESP, pair->config.esp, &child.proposals, &error) < 0)
		return -EINVAL;
	pair->tunnels[side][number] =
	    td_life_tunnel_add(gateway->life, &life, td_ike_negotiator(gateway->ike), NULL);
	if (!pair->tunnels[side][number])
		return -ENOMEM;
	return td_ike_tunnel_add(
	    pair->peers[side][number / pair->config.tunnels], pair->tunnels[side][number], &child);
}

static int side_start(struct td_pair *pair, const struct td_pki *pki, unsigned side)
{
	struct td_gateway *gateway = &pair->sides[side];
	int ret = td_gateway_start(gateway, &pair->sides[1 - side]);

	gateway->latency_ns = pair->config.latency_ns;
	if (ret == 0 && pair->config.statics)
		ret = td_gateway_remember(gateway, pair->config.peers);
	pair->peers[side] = calloc(pair->config.peers, sizeof(pair->peers[side][0]));
	pair->trusts[side] = calloc(pair->config.peers, sizeof(pair->trusts[side][0]));
	pair->tunnels[side] = calloc(pair->tunnel_count, sizeof(pair->tunnels[side][0]));
	if (ret == 0 && (!pair->peers[side] || !pair->trusts[side] || !pair->tunnels[side]))
		ret = -ENOMEM;
	for (unsigned i = 0; ret == 0 && i < pair->config.peers; i++)
		ret = peer_add(pair, pki, side, i);
	for (unsigned i = 0; ret == 0 && i < pair->tunnel_count; i++)
		ret = tunnel_add(pair, side, i);
	return ret;
}

int td_pair_start(struct td_pair *pair, const struct td_pair_config *config, const struct td_pki *pki)
{
	int ret = 0;

	*pair = (struct td_pair){.config = *config, .tunnel_count = config->peers * config->tunnels};
	for (unsigned side = 0; side < 2; side++)
		TAILQ_INIT(&pair->sides[side].inbox);
	for (unsigned side = 0; ret == 0 && side < 2; side++)
		ret = side_start(pair, pki, side);
	return ret;
}

void td_pair_stop(struct td_pair *pair)
{
	for (unsigned side = 0; side < 2; side++) {
		td_gateway_stop(&pair->sides[side]);
		for (unsigned i = 0; pair->trusts[side] && i < pair->config.peers; i++)
			td_ike_credential_free(pair->trusts[side][i]);
		free(pair->trusts[side]);
		free(pair->peers[side]);
		free(pair->tunnels[side]);
	}
	*pair = (struct td_pair){0};
}

// ---- running ------------------------------------------------------------------------------------

void td_pair_connect(struct td_pair *pair)
{
	for (unsigned side = 0; side < 2; side++) {
		uint64_t start_ns = td_cpu_now_ns();

		for (unsigned i = 0; i < pair->tunnel_count; i++)
			td_life_tunnel_start(pair->tunnels[side][i]);
		pair->cpu_ns[side] += td_cpu_now_ns() - start_ns;
	}
}

static bool is_idle(const struct td_gateway *gateway)
{
	return td_timers_next_ns(&gateway->timers) > gateway->timers.now_ns &&
	       td_gateway_next_ns(gateway) > gateway->timers.now_ns;
}

void td_pair_run(struct td_pair *pair)
{
	for (unsigned side = 0; !is_idle(&pair->sides[0]) || !is_idle(&pair->sides[1]); side = 1 - side) {
		uint64_t start_ns = td_cpu_now_ns();

		td_gateway_run(&pair->sides[side]);
		pair->cpu_ns[side] += td_cpu_now_ns() - start_ns;
	}
}

void td_pair_wait(struct td_pair *pair, uint64_t duration_ns)
{
	for (unsigned side = 0; side < 2; side++)
		td_timers_clock(&pair->sides[side].timers, pair->sides[side].timers.now_ns + duration_ns);
	td_pair_run(pair);
}

bool td_pair_is_up(const struct td_pair *pair)
{
	for (unsigned side = 0; side < 2; side++)
		for (unsigned i = 0; i < pair->tunnel_count; i++)
			if (!td_life_tunnel_is_up(pair->tunnels[side][i]))
				return false;
	return true;
}
