// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The file that keeps, over restarts, a time that no accepted message 1 of the one-round-trip exchange is
// later than.

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct td_freshness_file;

// Opens directory/freshness, and makes both where they are missing. *found says whether it holds a time, then
// in *bound_us. A damaged file holds none. Refused: a link, a file of another user or one that others may
// write. NULL and *error.
struct td_freshness_file *td_freshness_file_open(
    const char *directory, bool *found, uint64_t *bound_us, struct td_error *error);
void td_freshness_file_close(struct td_freshness_file *file); // NULL is fine
// Writes, and syncs to disk; a crash on the way leaves the old time or the new one. From any thread, but one
// at a time. Returns 0 or -errno.
int td_freshness_file_save(struct td_freshness_file *file, uint64_t bound_us);
