// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/pair.h"

#include "bench/common/median.h"
#include "bench/path/gateway.h"
#include "bench/path/port.h"
#include "common/log.h"
#include "dataplane/worker.h"

#include <math.h>
#include <pthread.h>
#include <rte_pause.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#define ROUNDS 15
#define ROUNDS_QUICK 3 // at least so many make a result
#define TRIES 6 // times as many rounds are tried at most
#define SECONDS 8 // and for so long
#define SECONDS_QUICK 1
#define PASSES 11
#define WARM_PASSES 4
#define DRIFT 0.03 // as in measure.c
#define SPINS 1000 // before a thread that waits for the other one lets others run

// One worker, and what it found in the last round.
struct side {
	struct td_path_packets packets;
	struct td_probe before, after;
	double cycles; // TSC cycles for all packets, median of the passes
	bool preempted, failed;
};

struct pair {
	const struct td_path_row *row;
	struct side *sides; // of both
	int cpu; // of the second thread
	pthread_barrier_t round; // where the second thread sleeps
	bool over; // no round comes any more. Written before the barrier
	unsigned arrived, met; // both threads: see meet
};

struct rounds {
	double one[ROUNDS], two[ROUNDS], ratio[ROUNDS];
};

static struct side sides[TD_PATH_WORKERS_MAX];
static cpu_set_t allowed; // before the gateway took one of them

// Both threads go on from here at the same time.
static void meet(struct pair *pair)
{
	unsigned met = __atomic_load_n(&pair->met, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&pair->arrived, 1, __ATOMIC_ACQ_REL) == TD_PATH_WORKERS_MAX) {
		__atomic_store_n(&pair->arrived, 0, __ATOMIC_RELAXED);
		// Pairs with the acquires in this function: who goes on sees that nobody has arrived again.
		__atomic_store_n(&pair->met, met + 1, __ATOMIC_RELEASE);
		return;
	}
	for (unsigned spins = 0; __atomic_load_n(&pair->met, __ATOMIC_ACQUIRE) == met; spins++)
		if (spins < SPINS)
			rte_pause();
		else
			(void)sched_yield();
}

static long switches(void)
{
	struct rusage usage = {0};

	(void)getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

// Passes through one worker; together: in step with the other thread.
static void passes_run(struct pair *pair, struct side *side, unsigned passes, bool together)
{
	bool encrypt = pair->row->direction == TD_PATH_ENCRYPT;
	enum td_path_port from = encrypt ? TD_PATH_INSIDE : TD_PATH_OUTSIDE;
	struct td_worker *worker = td_dp.workers[side->packets.worker];
	double cycles[PASSES];

	for (unsigned pass = 0; pass < passes; pass++) {
		if (encrypt)
			td_path_plain_make(&side->packets);
		else
			td_path_sealed_make(&side->packets, pair->row->suite);
		td_path_port_offer(
		    from, encrypt ? side->packets.plain : side->packets.sealed, TD_PATH_PACKETS);
		if (together)
			meet(pair);
		long before = switches();
		uint64_t start = rte_rdtsc_precise();
		for (unsigned done = 0; done < TD_PATH_PACKETS; done += TD_BURST)
			(void)td_worker_turn(worker);
		cycles[pass] = (double)(rte_rdtsc_precise() - start);
		side->preempted |= switches() != before;
		side->failed |= td_path_port_sent(!from) != TD_PATH_PACKETS;
	}
	side->cycles = td_median(cycles, passes);
}

// A round of one thread. The probes of both threads are taken at the same time: two CPUs that are one core
// show it there.
static void round_run(struct pair *pair, struct side *side, bool together)
{
	side->preempted = false;
	if (together)
		meet(pair);
	side->before = td_probe_take();
	passes_run(pair, side, PASSES, together);
	if (together)
		meet(pair);
	side->after = td_probe_take();
}

// ---- the second thread ------------------------------------------------------------------------

static void *second_run(void *argument)
{
	struct pair *pair = argument;
	struct side *side = &pair->sides[1];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(pair->cpu, &cpus);
	side->failed |= pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0;
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, side->packets.worker);
	passes_run(pair, side, WARM_PASSES, false);
	for (;;) {
		(void)pthread_barrier_wait(&pair->round);
		if (pair->over)
			break;
		round_run(pair, side, true);
		(void)pthread_barrier_wait(&pair->round);
	}
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, side->packets.worker);
	return NULL;
}

// ---- rounds -----------------------------------------------------------------------------------

static bool drifted(double before, double after)
{
	return fabs(after / before - 1) > DRIFT;
}

static bool shares(const struct td_probe *probe)
{
	// Of all probes so far, whatever the row: the CPUs are alike.
	static double most;

	most = RTE_MAX(most, probe->adds);
	return probe->adds < most * (1 - DRIFT);
}

// Counts a round in alone, of the first worker while the other slept, and in the sides; whatever disturbed it
// says where.
static void round_count(const struct side *alone, struct rounds *rounds, struct td_path_pair_result *result)
{
	bool preempted = alone->preempted, shared = shares(&alone->before) || shares(&alone->after);
	bool moved = drifted(alone->before.core, sides[0].before.core);

	for (unsigned i = 0; i < TD_PATH_WORKERS_MAX; i++) {
		preempted |= sides[i].preempted;
		shared |= shares(&sides[i].before) || shares(&sides[i].after);
		moved |= drifted(sides[i].before.core, sides[i].after.core);
	}
	result->tries++;
	if (preempted) {
		result->preempted++;
	} else if (shared) {
		result->shared++;
	} else if (moved) {
		result->drifted++;
	} else {
		unsigned n = result->rounds++;

		rounds->one[n] = TD_PATH_PACKETS / alone->cycles;
		rounds->two[n] = TD_PATH_PACKETS / sides[0].cycles + TD_PATH_PACKETS / sides[1].cycles;
		rounds->ratio[n] = rounds->two[n] / rounds->one[n];
	}
}

static void rounds_run(struct pair *pair, bool quick, struct td_path_pair_result *result)
{
	unsigned wanted = quick ? ROUNDS_QUICK : ROUNDS;
	uint64_t end = rte_rdtsc() + (quick ? SECONDS_QUICK : SECONDS) * rte_get_tsc_hz();
	struct rounds rounds;

	passes_run(pair, &sides[0], WARM_PASSES, false);
	while (result->rounds < wanted && result->tries < TRIES * wanted && rte_rdtsc() < end) {
		round_run(pair, &sides[0], false);
		struct side alone = sides[0];
		(void)pthread_barrier_wait(&pair->round);
		round_run(pair, &sides[0], true);
		(void)pthread_barrier_wait(&pair->round);
		round_count(&alone, &rounds, result);
	}
	if (result->rounds < ROUNDS_QUICK)
		return;
	result->one = td_median(rounds.one, result->rounds);
	result->two = td_median(rounds.two, result->rounds);
	result->ratio = td_median(rounds.ratio, result->rounds);
}

// The first CPU that may be used, as the gateway has the last one.
static int cpu_first(void)
{
	int cpu = 0;

	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &allowed))
		cpu++;
	return cpu;
}

// The first of two tunnels is worker 0's, the other one worker 1's.
static void sides_begin(const struct td_path_row *row)
{
	for (unsigned i = 0; i < TD_PATH_WORKERS_MAX; i++) {
		td_path_packets_begin_one(&sides[i].packets, row->size, i, i % row->tunnels);
		sides[i].failed = false;
	}
}

int td_path_pair_open(void)
{
	CPU_ZERO(&allowed);
	(void)sched_getaffinity(0, sizeof(allowed), &allowed);
	// It would warn that these ports spread nothing over the workers.
	td_log_set_level(TD_LOG_ERROR);
	int result = td_path_gateway_open(TD_PATH_WORKERS_MAX, false);
	for (unsigned i = 0; i < TD_PATH_WORKERS_MAX && result == 0; i++)
		result = td_path_packets_create(&sides[i].packets);
	if (result == 0)
		(void)rte_rcu_qsbr_thread_register(td_rcu_qsbr, 1);
	return result;
}

void td_path_pair_measure(const struct td_path_row *row, bool quick, struct td_path_pair_result *result)
{
	struct pair pair = {.row = row, .sides = sides, .cpu = cpu_first()};
	pthread_t second;

	*result = (struct td_path_pair_result){.row = *row, .cpus = CPU_COUNT(&allowed), .failed = true};
	if (td_path_tunnels_set(
	        row->suite, row->tunnels, row->tunnels > 1 ? TD_PATH_OWNER_TURNS : TD_PATH_OWNER_EACH))
		return;
	sides_begin(row);
	if (pthread_barrier_init(&pair.round, NULL, TD_PATH_WORKERS_MAX))
		return;
	if (pthread_create(&second, NULL, second_run, &pair) == 0) {
		rounds_run(&pair, quick, result);
		pair.over = true;
		(void)pthread_barrier_wait(&pair.round);
		(void)pthread_join(second, NULL);
		result->failed = sides[0].failed || sides[1].failed;
	}
	(void)pthread_barrier_destroy(&pair.round);
}
