// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Memory for SAs and their key schedules: cache-line aligned, in large pages where the kernel gives
// them, kept out of core dumps, wiped when freed. Control thread only.

#include <stddef.h>

// Zeroed memory of size bytes (1 to 8192). Returns NULL when there is none.
void *td_slab_alloc(size_t size);
// Wipes and frees; size as allocated. NULL is fine.
void td_slab_free(void *object, size_t size);
// Gives all chunks back to the kernel, wiped. Nothing allocated may be in use any more.
void td_slab_fini(void);
