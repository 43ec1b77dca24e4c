// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/measure.h"

#include "bench/common/median.h"
#include "bench/path/port.h"
#include "bench/path/raw.h"
#include "dataplane/worker.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

#define ROUNDS 15
#define ROUNDS_QUICK 3
#define TRIES 6 // times as many rounds are tried at most
#define PASSES 11 // of a round, which takes their median: an interrupt hits one of them
#define WARM_PASSES 4
// A round in whose course the core clock moved, or beside which the sibling took, more than this is not
// taken, as far as there are others.
#define DRIFT 0.03

struct round {
	double path, raw, ports;
};

struct rounds {
	double path[ROUNDS], raw[ROUNDS], ports[ROUNDS], ratio[ROUNDS], cores[ROUNDS], adds[ROUNDS];
	unsigned count, noisy;
};

const char *const td_path_direction_names[TD_PATH_DIRECTIONS] = {"encrypt", "decrypt", "both"};

static bool has_plain(const struct td_path_row *row)
{
	return row->direction != TD_PATH_DECRYPT;
}

static bool has_sealed(const struct td_path_row *row)
{
	return row->direction != TD_PATH_ENCRYPT;
}

static unsigned packets_of(const struct td_path_row *row)
{
	return row->direction == TD_PATH_BOTH ? 2 * TD_PATH_PACKETS : TD_PATH_PACKETS;
}

// ---- one pass ---------------------------------------------------------------------------------

__attribute__((noinline)) void td_path_counted(unsigned packets)
{
	struct td_worker *worker = td_dp.workers[0];

	// In each turn each port gives a burst.
	for (unsigned done = 0; done < packets; done += TD_BURST)
		(void)td_worker_turn(worker);
}

__attribute__((noinline)) void td_path_row_counted(void)
{
	__asm__ volatile("");
}

static void offer(struct td_path_packets *packets, const struct td_path_row *row)
{
	if (has_plain(row)) {
		td_path_plain_make(packets);
		td_path_port_offer(TD_PATH_INSIDE, packets->plain, TD_PATH_PACKETS);
	}
	if (has_sealed(row)) {
		td_path_sealed_make(packets, row->suite);
		td_path_port_offer(TD_PATH_OUTSIDE, packets->sealed, TD_PATH_PACKETS);
	}
}

static void drops_print(void)
{
	for (unsigned reason = 0; reason < td_dp_drop_count(); reason++)
		if (td_dp_drops(0, reason))
			fprintf(stderr, "path: dropped: %llu %s\n",
			    (unsigned long long)td_dp_drops(0, reason), td_dp_drop_info(reason)->name);
}

// Whether every packet of the pass went out where it should.
static bool all_sent(const struct td_path_row *row)
{
	unsigned outside = td_path_port_sent(TD_PATH_OUTSIDE), inside = td_path_port_sent(TD_PATH_INSIDE);

	if (outside == (has_plain(row) ? TD_PATH_PACKETS : 0) &&
	    inside == (has_sealed(row) ? TD_PATH_PACKETS : 0))
		return true;
	drops_print();
	return false;
}

static uint64_t ports_cycles(struct td_path_packets *packets, const struct td_path_row *row)
{
	uint64_t cycles = 0;

	if (has_plain(row))
		cycles += td_path_ports_cycles(TD_PATH_INSIDE, packets->plain, TD_PATH_PACKETS);
	if (has_sealed(row))
		cycles += td_path_ports_cycles(TD_PATH_OUTSIDE, packets->sealed, TD_PATH_PACKETS);
	return cycles;
}

static uint64_t raw_cycles(struct td_path_packets *packets, const struct td_path_row *row)
{
	uint64_t cycles = 0;

	if (has_plain(row))
		cycles += td_path_raw_cycles(packets, row->suite, true);
	if (has_sealed(row))
		cycles += td_path_raw_cycles(packets, row->suite, false);
	return cycles;
}

// ---- rounds -----------------------------------------------------------------------------------

static bool round_run(struct td_path_packets *packets, const struct td_path_row *row, struct round *round)
{
	double count = (double)packets_of(row), path[PASSES], raw[PASSES], ports[PASSES];

	for (unsigned pass = 0; pass < PASSES; pass++) {
		raw[pass] = (double)raw_cycles(packets, row);
		ports[pass] = (double)ports_cycles(packets, row);
		offer(packets, row);
		uint64_t start = rte_rdtsc_precise();
		td_path_counted(TD_PATH_PACKETS);
		path[pass] = (double)(rte_rdtsc_precise() - start);
		if (!all_sent(row))
			return false;
	}
	round->ports = td_median(ports, PASSES) / count;
	round->raw = td_median(raw, PASSES) / count;
	round->path = td_median(path, PASSES) / count - round->ports;
	return true;
}

static long switches(void)
{
	struct rusage usage = {0};

	(void)getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

// Whether fewer additions are done in a clock than this core can do alone.
static bool sibling_busy(const struct td_probe *probe)
{
	static double most;

	if (probe->adds > most)
		most = probe->adds;
	return probe->adds < most * (1 - DRIFT);
}

// One try. False: a packet did not come out.
static bool round_try(
    struct td_path_packets *packets, const struct td_path_row *row, bool must_take, struct rounds *rounds)
{
	struct round round;
	long switches_before = switches();
	struct td_probe before = td_probe_take();

	if (!round_run(packets, row, &round))
		return false;
	struct td_probe after = td_probe_take();
	bool noisy = switches() != switches_before || fabs(after.core / before.core - 1) > DRIFT ||
	             sibling_busy(&before) || sibling_busy(&after);
	if (noisy && !must_take) {
		rounds->noisy++;
		return true;
	}
	rounds->path[rounds->count] = round.path;
	rounds->raw[rounds->count] = round.raw;
	rounds->ports[rounds->count] = round.ports;
	rounds->ratio[rounds->count] = round.raw / round.path;
	rounds->cores[rounds->count] = (before.core + after.core) / 2;
	rounds->adds[rounds->count++] = (before.adds + after.adds) / 2;
	return true;
}

static struct td_path_figures figures(double *values, unsigned count)
{
	double median = td_median(values, count);

	return (struct td_path_figures){median, values[0], values[count - 1]};
}

static double mean_bytes(const struct td_path_packets *packets)
{
	double sum = 0;

	for (unsigned i = 0; i < TD_PATH_PACKETS; i++)
		sum += packets->sizes[i];
	return sum / TD_PATH_PACKETS;
}

bool td_path_count(struct td_path_packets *packets, const struct td_path_row *row, unsigned passes)
{
	struct td_worker *worker = td_dp.workers[0];

	td_path_packets_begin(packets, row->size, row->tunnels);
	for (unsigned pass = 0; pass < WARM_PASSES; pass++) {
		offer(packets, row);
		for (unsigned done = 0; done < TD_PATH_PACKETS; done += TD_BURST)
			(void)td_worker_turn(worker);
		if (!all_sent(row))
			return false;
	}
	for (unsigned pass = 0; pass < passes; pass++) {
		offer(packets, row);
		td_path_counted(TD_PATH_PACKETS);
		if (!all_sent(row))
			return false;
	}
	td_path_row_counted();
	return true;
}

void td_path_measure(
    struct td_path_packets *packets, const struct td_path_row *row, bool quick, struct td_path_result *result)
{
	unsigned wanted = quick ? ROUNDS_QUICK : ROUNDS;
	struct rounds rounds = {.count = 0};

	*result = (struct td_path_result){.row = *row, .failed = true};
	// Fills caches and branch predictors.
	if (!td_path_count(packets, row, 0))
		return;
	result->bytes = mean_bytes(packets);
	for (unsigned tries = 0; rounds.count < wanted; tries++)
		if (!round_try(packets, row, tries >= TRIES * wanted, &rounds))
			return;
	result->path = figures(rounds.path, wanted);
	result->raw = figures(rounds.raw, wanted);
	result->ports = figures(rounds.ports, wanted);
	result->ratio = td_median(rounds.ratio, wanted);
	result->rounds = wanted;
	result->noisy = rounds.noisy;
	result->probe = (struct td_probe){td_median(rounds.cores, wanted), td_median(rounds.adds, wanted)};
	result->failed = false;
}
