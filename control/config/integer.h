// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// libconfig 1.5 cuts an integer that has no L behind it to 32 bits, and says nothing. It is found in the
// text.

#include <stdbool.h>
#include <stddef.h>

// Returns the first integer of a line that would be cut, with its digits in *length, or NULL. *comment says
// whether the line begins in a comment between /* and */, and then whether the next one does.
const char *td_config_cut_integer(const char *line, bool *comment, size_t *length);
