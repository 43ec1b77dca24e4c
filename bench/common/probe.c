// SPDX-License-Identifier: BSD-3-Clause
#include "bench/common/probe.h"

#include <rte_common.h>
#include <rte_cycles.h>

#define TRIES 3
#define LOOPS 1000
#define CHAIN 100 // dependent adds per loop
#define LANES 8 // chains that do not depend on each other
#define LANE 16 // adds of each chain per loop

// Adds of two registers: newer cores fold an immediate into the rename stage, at no clock at all.
static uint64_t chain_cycles(void)
{
	uint64_t sum = 0, one = 1;
	uint64_t start = rte_rdtsc_precise();

	for (unsigned i = 0; i < LOOPS; i++)
		__asm__ volatile(".rept %c2\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(one), "i"(CHAIN));
	return rte_rdtsc_precise() - start;
}

static uint64_t lanes_cycles(void)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, one = 1;
	uint64_t start = rte_rdtsc_precise();

	for (unsigned i = 0; i < LOOPS; i++)
		__asm__ volatile(".rept %c9\n\t"
		                 "add %8, %0\n\tadd %8, %1\n\tadd %8, %2\n\tadd %8, %3\n\t"
		                 "add %8, %4\n\tadd %8, %5\n\tadd %8, %6\n\tadd %8, %7\n\t"
		                 ".endr"
		                 : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h)
		                 : "r"(one), "i"(LANE));
	return rte_rdtsc_precise() - start;
}

// The fastest of some tries: what an interrupt takes is not the core's.
static uint64_t fastest(uint64_t (*measure)(void))
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t cycles = measure();

		best = RTE_MIN(best, cycles);
	}
	return best;
}

struct td_probe td_probe_take(void)
{
	double chain = (double)fastest(chain_cycles), lanes = (double)fastest(lanes_cycles);
	double core = (double)LOOPS * CHAIN / chain;

	return (struct td_probe){.core = core, .adds = (double)LOOPS * LANES * LANE / lanes / core};
}
