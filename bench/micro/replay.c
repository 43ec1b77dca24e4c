// SPDX-License-Identifier: BSD-3-Clause
// Replay window: check and advance of packets that are all accepted.

#include "dataplane/replay.h"

#include "bench/common/shuffle.h"
#include "bench/micro/row.h"
#include "common/limits.h"

#include <errno.h>
#include <math.h>
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#define PACKETS (1u << 17) // a multiple of every window

static uint64_t *sequences; // 1 to PACKETS, as they arrive
static uint64_t bitmap[2 * TD_REPLAY_WINDOW_MAX / 64];

int td_replay_start(uint64_t argument)
{
	(void)argument;
	sequences = calloc(PACKETS, sizeof(sequences[0]));
	for (unsigned i = 0; sequences && i < PACKETS; i++)
		sequences[i] = i + 1;
	return sequences ? 0 : -ENOMEM;
}

// Packets arrive in random order within blocks of a window, so that the window takes all of them.
int td_replay_shuffle(uint64_t argument)
{
	uint64_t random = 1;
	int result = td_replay_start(argument);

	for (unsigned i = 0; result == 0 && i < PACKETS; i += argument)
		td_shuffle(&sequences[i], argument, &random);
	return result;
}

void td_replay_end(void)
{
	free(sequences);
	sequences = NULL;
}

double td_replay_packets(uint64_t argument)
{
	struct td_replay replay;
	unsigned accepted = 0;

	td_replay_init(&replay, (unsigned)argument);
	memset(bitmap, 0, sizeof(bitmap));
	uint64_t start = rte_rdtsc_precise();
	for (unsigned i = 0; i < PACKETS; i++) {
		uint64_t sequence = td_replay_infer(&replay, (uint32_t)sequences[i]);

		if (td_replay_check(&replay, bitmap, sequence) != TD_REPLAY_OK)
			continue;
		td_replay_advance(&replay, bitmap, sequence);
		accepted++;
	}
	uint64_t cycles = rte_rdtsc_precise() - start;
	return accepted == PACKETS ? (double)cycles / PACKETS : NAN;
}
