// SPDX-License-Identifier: BSD-3-Clause
// The one-round-trip exchange: handshakes beside the X25519 operations in them, sealed transactions of its
// sessions, and the time until the first protected packet, each beside IKEv2 where that has the same.

#include "bench/handshake/pair.h"
#include "bench/handshake/raw.h"
#include "bench/handshake/row.h"
#include "common/clock.h"

#include <errno.h>

#define LIVENESS_NS TD_NS_PER_S
#define TURNS 16 // liveness exchanges of each session in a round
#define LATENCY_NS (10 * TD_NS_PER_MS) // one way

static const struct td_pki *pki;
static struct td_raw *raw;
static struct td_statics statics;
static unsigned count;
static struct td_pair pair;

static int setup(const struct td_pki *made, enum td_onertt_authentication authentication, unsigned sites)
{
	pki = made;
	count = sites; // fewer than make the responder ask for cookies
	raw = td_raw_create(pki->key);
	return raw ? td_statics_make(&statics, authentication, count) : -EIO;
}

static struct td_pair_config config_of(bool onertt)
{
	return (struct td_pair_config){
	    .peers = count,
	    .tunnels = 1,
	    .statics = onertt ? &statics : NULL,
	    .esp = "aes128gcm16",
	    .start = TD_START_BOOT,
	};
}

void td_onertt_teardown(void)
{
	td_pair_stop(&pair);
	td_statics_free(&statics);
	td_raw_free(raw);
	raw = NULL;
}

// ---- handshakes -----------------------------------------------------------------------------------

int td_onertt_connect_setup(const struct td_group *group, const struct td_pki *made, unsigned tunnels)
{
	return setup(made, (enum td_onertt_authentication)group->argument, tunnels);
}

// A fresh key of each side, and what the tokens ask of each: es, ss, ee and se, or es and ee.
static int raw_measure(bool secret, uint64_t *cpu_ns)
{
	uint64_t start_ns = td_cpu_now_ns();
	int ret = td_raw_generate(raw, 2 * count);

	if (ret == 0)
		ret = td_raw_agree(raw, (secret ? 2 : 4) * 2 * count);
	*cpu_ns = td_cpu_now_ns() - start_ns;
	return ret;
}

int td_onertt_connect_round(const struct td_group *group, double *values)
{
	struct td_pair_config config = config_of(true);
	uint64_t raw_ns = 0;
	int ret = td_pair_start(&pair, &config, pki);

	if (ret == 0) {
		td_pair_connect(&pair);
		td_pair_run(&pair);
		ret = td_pair_is_up(&pair) && td_ike_stats(pair.sides[1].ike)->onertt.accepted == count
		          ? raw_measure(group->argument == TD_ONERTT_SECRET, &raw_ns)
		          : -EPROTO;
	}
	if (ret == 0) {
		double both_ns = (double)(pair.cpu_ns[0] + pair.cpu_ns[1]);

		values[0] = count * 1e9 / both_ns;
		values[1] = (double)pair.cpu_ns[0] / count / 1e3;
		values[2] = (double)pair.cpu_ns[1] / count / 1e3;
		values[3] = (double)raw_ns / count / 1e3;
		values[4] = 100 * (double)raw_ns / both_ns;
	}
	td_pair_stop(&pair);
	return ret;
}

// ---- transactions -----------------------------------------------------------------------------------

// argument: of the one-round-trip exchange, else of IKEv2
int td_transaction_setup(const struct td_group *group, const struct td_pki *made, unsigned tunnels)
{
	int ret = setup(made, TD_ONERTT_KEY, tunnels);
	struct td_pair_config config = config_of(group->argument);

	config.liveness_ns = LIVENESS_NS;
	if (ret == 0)
		ret = td_pair_start(&pair, &config, pki);
	if (ret < 0)
		return ret;
	td_pair_connect(&pair);
	td_pair_run(&pair);
	return td_pair_is_up(&pair) ? 0 : -EPROTO;
}

int td_transaction_round(const struct td_group *group, double *values)
{
	const struct td_ike_stats *stats[2] = {
	    td_ike_stats(pair.sides[0].ike), td_ike_stats(pair.sides[1].ike)};
	uint64_t before = stats[0]->received + stats[1]->received;

	(void)group;
	pair.cpu_ns[0] = pair.cpu_ns[1] = 0;
	for (unsigned i = 0; i < TURNS; i++)
		td_pair_wait(&pair, LIVENESS_NS);
	double done = (double)(stats[0]->received + stats[1]->received - before) / 2;
	if (done < count * (TURNS - 1.0) || stats[1]->onertt.stale + stats[1]->onertt.wrong_code > 0)
		return -EPROTO;
	values[0] = done * 1e9 / (double)(pair.cpu_ns[0] + pair.cpu_ns[1]);
	values[1] = (double)pair.cpu_ns[0] / done / 1e3;
	values[2] = (double)pair.cpu_ns[1] / done / 1e3;
	return 0;
}

// ---- the first packet ---------------------------------------------------------------------------------

int td_first_setup(const struct td_group *group, const struct td_pki *made, unsigned tunnels)
{
	(void)group;
	return setup(made, TD_ONERTT_KEY, tunnels);
}

// Both clocks go on to what comes next.
static bool jump(void)
{
	uint64_t next_ns = UINT64_MAX, now_ns = pair.sides[0].timers.now_ns;

	for (unsigned side = 0; side < 2; side++) {
		uint64_t timer_ns = td_timers_next_ns(&pair.sides[side].timers);
		uint64_t parcel_ns = td_gateway_next_ns(&pair.sides[side]);

		next_ns = timer_ns < next_ns ? timer_ns : next_ns;
		next_ns = parcel_ns < next_ns ? parcel_ns : next_ns;
	}
	if (next_ns == UINT64_MAX)
		return false;
	td_pair_wait(&pair, next_ns > now_ns ? next_ns - now_ns : 0);
	return true;
}

// One tunnel after another, from the wish until its initiator may send on it: the path's part of that in
// *path_ns, and what both sides have computed meanwhile, all of which is waited for, in *cpu_ns.
static int first_measure(bool onertt, uint64_t *path_ns, uint64_t *cpu_ns)
{
	struct td_pair_config config = config_of(onertt);
	int ret;

	config.latency_ns = LATENCY_NS;
	config.start = TD_START_RESPOND;
	ret = td_pair_start(&pair, &config, pki);
	*path_ns = *cpu_ns = 0;
	if (ret == 0)
		td_pair_connect(&pair);
	for (unsigned i = 0; ret == 0 && i < count; i++) {
		uint64_t start_ns = pair.sides[0].timers.now_ns;

		pair.cpu_ns[0] = pair.cpu_ns[1] = 0;
		uint64_t wish_ns = td_cpu_now_ns();
		td_life_tunnel_up(pair.tunnels[0][i]);
		pair.cpu_ns[0] += td_cpu_now_ns() - wish_ns;
		td_pair_wait(&pair, 0);
		while (ret == 0 && !td_life_tunnel_is_up(pair.tunnels[0][i]))
			ret = jump() ? 0 : -EPROTO;
		*path_ns += pair.sides[0].timers.now_ns - start_ns;
		*cpu_ns += pair.cpu_ns[0] + pair.cpu_ns[1];
	}
	td_pair_stop(&pair);
	return ret;
}

int td_first_round(const struct td_group *group, double *values)
{
	uint64_t path_ns[2], cpu_ns[2];
	int ret = first_measure(false, &path_ns[0], &cpu_ns[0]);

	(void)group;
	if (ret == 0)
		ret = first_measure(true, &path_ns[1], &cpu_ns[1]);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < 2; i++) {
		values[3 * i] = (double)path_ns[i] / (2.0 * LATENCY_NS) / count;
		values[3 * i + 1] = (double)cpu_ns[i] / count / 1e3;
		values[3 * i + 2] = (double)(path_ns[i] + cpu_ns[i]) / count / 1e6;
	}
	values[6] = 100 * values[5] / values[2];
	return 0;
}
