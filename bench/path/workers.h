// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The rows of two workers (pair.h), in a process of their own: a process starts DPDK once, and the other rows
// are of a gateway with one worker. It is forked before DPDK starts, and waits until it is asked.

#include "bench/path/pair.h"

struct td_path_workers {
	int socket, pid;
};

// wanted says whether a row is to run. Returns 0 or -errno.
int td_path_workers_fork(struct td_path_workers *workers, bool quick,
    bool (*wanted)(const void *context, const struct td_path_row *row), const void *context);
// The next result; the first call starts the rows. False: there is none left, and the process is gone;
// *failed is set if it did not end well.
bool td_path_workers_next(struct td_path_workers *workers, struct td_path_pair_result *result, bool *failed);
