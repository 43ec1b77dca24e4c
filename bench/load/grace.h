// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Some changes reach the workers only after a few grace periods (dataplane/route6.h).

#include "dataplane/publish.h"

#include <time.h>

// Long enough for all of them, and for what they leave to be reclaimed.
static inline void td_grace_wait(void)
{
	for (unsigned i = 0; i < 100; i++) {
		td_dp_reclaim();
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	}
}
