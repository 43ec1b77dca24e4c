// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters with one writer. Other threads may read them at any time; nobody stops for it.

#include <stdint.h>

static inline void td_counter_add(uint64_t *counter, uint64_t count)
{
	// Only this thread writes, so a plain read is exact; the store must not tear for readers.
	__atomic_store_n(counter, *counter + count, __ATOMIC_RELAXED);
}

static inline uint64_t td_counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
