// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// DPDK for a unit test: no hugepages, no devices, no worker; and RCU for one.

#include "dataplane/eal.h"
#include "dataplane/rcu.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

static inline void test_eal_start(void)
{
	struct td_dp_config config = {.program = "test", .memory_mb = 256, .main_core = -1};
	struct td_error error;

	snprintf(config.file_prefix, sizeof(config.file_prefix), "unit%d", (int)getpid());
	cr_assert_eq(td_eal_start(&config, &error), 0, "%s", error.reason);
	cr_assert_eq(td_rcu_init(1), 0);
}
