// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdint.h>
#include <time.h>

#define TD_NS_PER_S 1000000000ull
#define TD_NS_PER_MS 1000000ull

// Monotonic time in nanoseconds. For the control thread; workers use the TSC.
static inline uint64_t td_clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * TD_NS_PER_S + (uint64_t)now.tv_nsec;
}
