// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Files read whole, of which some hold secrets.

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct td_file {
	uint8_t *data;
	size_t length;
};

// Reads a regular file; one with a secret must be closed to group and others. Returns 0, or -errno and
// *error, which says what to do.
int td_file_read(const char *path, bool secret, struct td_file *file, struct td_error *error);
void td_file_free(struct td_file *file); // wipes
