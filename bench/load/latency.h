// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How long packets were on their way: counts in classes that are 3% wide.

#include <stdint.h>

#define TD_LATENCY_STEPS 32u // classes of an octave
#define TD_LATENCY_CLASSES (60u * TD_LATENCY_STEPS)

struct td_latency {
	uint64_t count, worst;
	uint64_t classes[TD_LATENCY_CLASSES];
};

static inline unsigned td_latency_class(uint64_t value)
{
	unsigned octave;

	if (value < TD_LATENCY_STEPS)
		return (unsigned)value;
	octave = 63 - (unsigned)__builtin_clzll(value) - 5;
	return octave * TD_LATENCY_STEPS + (unsigned)(value >> octave);
}

static inline void td_latency_add(struct td_latency *latency, uint64_t value)
{
	latency->count++;
	latency->classes[td_latency_class(value)]++;
	if (value > latency->worst)
		latency->worst = value;
}

// The value that a share of all, between 0 and 1, does not exceed; 0 if there are none.
static inline uint64_t td_latency_quantile(const struct td_latency *latency, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)latency->count), seen = 0;

	for (unsigned i = 0; i < TD_LATENCY_CLASSES; i++) {
		unsigned octave = i < 2 * TD_LATENCY_STEPS ? 0 : i / TD_LATENCY_STEPS - 1;

		seen += latency->classes[i];
		// The middle of its class.
		if (seen > wanted || (seen && seen == latency->count)) {
			uint64_t value =
			    ((uint64_t)(i - octave * TD_LATENCY_STEPS) << octave) + ((1ull << octave) >> 1);

			return value < latency->worst ? value : latency->worst;
		}
	}
	return 0;
}
