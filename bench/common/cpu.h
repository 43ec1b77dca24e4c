// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The processor that a benchmark ran on.

#include <stddef.h>

// Its name as the kernel has it, or "unknown".
void td_cpu_name(char *name, size_t size);
