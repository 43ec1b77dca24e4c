// SPDX-License-Identifier: BSD-3-Clause
#include "bench/micro/measure.h"

#include "bench/common/median.h"
#include "common/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MIN 3
#define ROUNDS_MAX 9
#define ROW_NS 1500000000ull // no further round of a row after this
#define TRIES_MAX (3 * ROUNDS_MAX)
// A round in whose course the core clock moved further than this is not taken, as far as there are others.
#define CLOCK_DRIFT 0.03

struct rounds {
	double figures[ROUNDS_MAX], cores[ROUNDS_MAX], adds[ROUNDS_MAX];
	unsigned count, noisy;
};

static bool is_timed(const struct td_row *row)
{
	return strcmp(row->unit, "cycles") == 0;
}

// One try of a round. False: the row failed.
static bool round_try(const struct td_row *row, uint64_t argument, bool must_take, struct rounds *rounds)
{
	struct td_probe before = td_probe_take();
	double figure = row->body(argument);
	struct td_probe after = td_probe_take();

	if (isnan(figure))
		return false;
	if (is_timed(row) && !must_take && fabs(after.core / before.core - 1) > CLOCK_DRIFT) {
		rounds->noisy++;
		return true;
	}
	rounds->figures[rounds->count] = figure;
	rounds->cores[rounds->count] = (before.core + after.core) / 2;
	rounds->adds[rounds->count++] = (before.adds + after.adds) / 2;
	return true;
}

static bool rounds_run(const struct td_row *row, uint64_t argument, bool quick, struct rounds *rounds)
{
	uint64_t start_ns = td_clock_now_ns();
	unsigned wanted = quick ? ROUNDS_MIN : ROUNDS_MAX;

	// A round that is not taken fills caches and branch predictors.
	if (is_timed(row) && isnan(row->body(argument)))
		return false;
	for (unsigned tries = 0; rounds->count < wanted; tries++) {
		if (rounds->count >= ROUNDS_MIN && td_clock_now_ns() - start_ns > ROW_NS)
			break;
		if (!round_try(row, argument, tries >= TRIES_MAX, rounds))
			return false;
	}
	return true;
}

void td_measure(
    const struct td_row *row, uint64_t argument, const char *name, bool quick, struct td_result *result)
{
	struct rounds rounds = {.count = 0};

	*result = (struct td_result){.row = row, .median = NAN, .min = NAN, .max = NAN, .failed = true};
	snprintf(result->name, sizeof(result->name), "%s", name);
	int error = row->setup(argument);
	if (error)
		fprintf(stderr, "micro: %s %s: %s\n", row->group, name, strerror(-error));
	bool good = error == 0 && rounds_run(row, argument, quick, &rounds);
	row->teardown();
	if (!good)
		return;
	result->median = td_median(rounds.figures, rounds.count);
	result->min = rounds.figures[0];
	result->max = rounds.figures[rounds.count - 1];
	result->rounds = rounds.count;
	result->noisy = rounds.noisy;
	result->probe =
	    (struct td_probe){td_median(rounds.cores, rounds.count), td_median(rounds.adds, rounds.count)};
	result->failed = row->most != TD_ROW_UNBOUNDED && result->max > row->most;
}
