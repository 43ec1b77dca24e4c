// SPDX-License-Identifier: BSD-3-Clause
// Many tunnels that connect all at once, and rekey once. Each gateway is a machine of its own with one
// control thread: its clock goes on by the processor time that its work takes, and jumps when there is
// nothing to do. So waiting costs nothing, and what else runs on this machine makes nobody late.

#include "bench/handshake/pair.h"
#include "bench/handshake/row.h"
#include "common/clock.h"
#include "common/limits.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#define SOFT_NS (60 * TD_NS_PER_S)
#define HARD_NS (66 * TD_NS_PER_S)
#define LATENCY_NS (TD_NS_PER_MS / 2)
#define GIVE_UP_NS (300 * TD_NS_PER_S)

static struct td_pair pair;
static const struct td_pki *pki;
static unsigned count;
static uint64_t stall_ns[2];

// ---- the loop -----------------------------------------------------------------------------------

// One kind of work, as control/loop.c and control/negotiate/sockets.c do it: not too many at once, and not
// for too long. Nobody else gets a turn meanwhile. Returns whether there was anything to do.
static bool turn(unsigned side, bool messages)
{
	struct td_gateway *gateway = &pair.sides[side];
	unsigned most = messages ? TD_LOOP_MESSAGES : TD_LOOP_TIMERS, done = 0;
	uint64_t start_ns = td_cpu_now_ns(), spent_ns = 0;

	while (done < most && spent_ns < TD_LOOP_TURN_US * 1000ull) {
		bool did = messages ? td_gateway_take(gateway)
		                    : td_timers_run_one(&gateway->timers, gateway->timers.now_ns);

		if (!did)
			break;
		done++;
		spent_ns = td_cpu_now_ns() - start_ns;
	}
	if (done == 0)
		return false;
	if (spent_ns > stall_ns[side])
		stall_ns[side] = spent_ns;
	pair.cpu_ns[side] += spent_ns;
	td_timers_clock(&gateway->timers, gateway->timers.now_ns + spent_ns);
	return true;
}

static void loop_once(unsigned side)
{
	struct td_gateway *gateway = &pair.sides[side];
	bool busy = turn(side, true);

	busy |= turn(side, false);
	if (busy)
		return;
	uint64_t timer_ns = td_timers_next_ns(&gateway->timers), parcel_ns = td_gateway_next_ns(gateway);
	td_timers_clock(&gateway->timers, timer_ns < parcel_ns ? timer_ns : parcel_ns);
}

// The next thing that a side would do.
static uint64_t next_ns(unsigned side)
{
	const struct td_gateway *gateway = &pair.sides[side];
	uint64_t timer_ns = td_timers_next_ns(&gateway->timers), parcel_ns = td_gateway_next_ns(gateway);
	uint64_t first_ns = timer_ns < parcel_ns ? timer_ns : parcel_ns;

	return first_ns > gateway->timers.now_ns ? first_ns : gateway->timers.now_ns;
}

static bool all_up(void)
{
	return pair.sides[0].stats.up >= count && pair.sides[1].stats.up >= count && td_pair_is_up(&pair);
}

static bool all_rekeyed(void)
{
	return pair.sides[0].stats.rekeyed >= count && pair.sides[1].stats.rekeyed >= count;
}

// Whichever side is behind in time goes on. Returns when that was over, or -ETIMEDOUT.
static int run_until(bool (*reached)(void), double *seconds)
{
	while (!reached()) {
		unsigned side = next_ns(1) < next_ns(0);

		if (next_ns(side) > GIVE_UP_NS)
			return -ETIMEDOUT;
		loop_once(side);
	}
	uint64_t a_ns = pair.sides[0].timers.now_ns, b_ns = pair.sides[1].timers.now_ns;
	*seconds = (double)(a_ns > b_ns ? a_ns : b_ns) / 1e9;
	return 0;
}

// ---- figures ------------------------------------------------------------------------------------

static double memory_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd);
}

// Of one end of one tunnel, with its part of everything.
static double memory_each(double before)
{
	double model =
	    (double)(td_gateway_model_bytes(&pair.sides[0]) + td_gateway_model_bytes(&pair.sides[1]));

	return (memory_bytes() - before - model) / 2 / count;
}

int td_crowd_setup(const struct td_group *group, const struct td_pki *made, unsigned tunnels)
{
	(void)group;
	pki = made;
	count = tunnels;
	return 0;
}

static double failures(void)
{
	uint64_t sum = 0;

	for (unsigned side = 0; side < 2; side++) {
		const struct td_gateway_stats *stats = &pair.sides[side].stats;

		sum += stats->down + stats->expired + stats->failed;
	}
	return (double)sum;
}

int td_crowd_round(const struct td_group *group, double *values)
{
	struct td_pair_config config = {
	    .peers = count / group->argument,
	    .tunnels = group->argument,
	    .esp = "aes128gcm16-x25519",
	    .start = TD_START_BOOT,
	    .soft_ns = SOFT_NS,
	    .hard_ns = HARD_NS,
	    .latency_ns = LATENCY_NS,
	};
	double before = memory_bytes();
	int ret = td_pair_start(&pair, &config, pki);

	stall_ns[0] = stall_ns[1] = 0;
	if (ret == 0) {
		values[8] = memory_each(before);
		td_pair_connect(&pair);
		ret = run_until(all_up, &values[1]);
		values[0] = count * 1e9 / (double)pair.cpu_ns[1];
		values[9] = memory_each(before);
	}
	if (ret == 0)
		ret = run_until(all_rekeyed, &values[2]);
	if (ret < 0)
		fprintf(stderr, "handshake: up %lu and %lu, rekeyed %lu and %lu, failed %.0f\n",
		    pair.sides[0].stats.up, pair.sides[1].stats.up, pair.sides[0].stats.rekeyed,
		    pair.sides[1].stats.rekeyed, failures());
	uint64_t left_ns = pair.sides[0].stats.slack_min_ns;
	if (pair.sides[1].stats.slack_min_ns < left_ns)
		left_ns = pair.sides[1].stats.slack_min_ns;
	values[3] = (double)left_ns / 1e9;
	values[4] = failures();
	values[5] = (double)pair.cpu_ns[1] / 1e9;
	values[6] = (double)stall_ns[1] / 1e6;
	values[7] = (double)stall_ns[0] / 1e6;
	td_pair_stop(&pair);
	return ret;
}

void td_crowd_teardown(void) {}
