// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Longest prefix match on 128-bit addresses for any number of readers, changed while they read. Two equal
// tables (left and right; Ramalhete and Correia, "Left-Right", 2015): the workers read one, the control
// thread changes the other, swaps them, and brings the first up to date after a grace period. Nobody waits:
// changes made during a grace period are queued and go in together behind it. IPv4 fits as well, with the
// address in the first four bytes; rte_lpm would need a scan of all prefixes of a length for each change.

#include "dataplane/rcu.h"

#include <stdbool.h>
#include <stdint.h>

#define TD_ROUTE6_INDEX_MAX ((1u << 21) - 1) // rte_lpm6 keeps 21 bits

struct td_route6;

// ---- control thread -----------------------------------------------------------------------------

// An empty table for routes_max prefixes. Prefixes longer than 24 bits share groups of 256 entries (1 kB),
// one for each different beginning of 24, 32, 40, ... bits that is shorter than the prefix. NULL without
// memory; it takes 2 x (64 MB + groups_max kB + about 64 bytes a prefix) of the data plane's.
struct td_route6 *td_route6_create(const char *name, uint32_t routes_max, uint32_t groups_max);
// Has told called with true just before workers may see changes, and with false once they all can: within
// td_route6_set and td_route6_delete, or later from td_rcu_reclaim.
void td_route6_watch(struct td_route6 *table, void (*told)(bool begins));
// No worker can find the table any more; it is freed after the grace period, and whatever still waits in
// td_route6_retire is released.
void td_route6_destroy(struct td_route6 *table);
// Adds a prefix or changes its index, from 1 to TD_ROUTE6_INDEX_MAX. Bits behind length are ignored. Workers
// see it at once or after the grace periods under way. Returns 0, -EINVAL, -ENOMEM or -ENOSPC; a success
// never turns into a failure later. A deleted prefix holds its room until both tables have forgotten it.
int td_route6_set(struct td_route6 *table, const uint8_t ip[16], unsigned length, uint32_t index);
// Removes a prefix, if it is there. Workers may see it until the grace periods under way are over.
void td_route6_delete(struct td_route6 *table, const uint8_t ip[16], unsigned length);
// Like td_rcu_retire, for what indexes stand for: release is called once no worker holds an index that it
// found before the changes made so far.
void td_route6_retire(
    struct td_route6 *table, struct td_retired *retired, void (*release)(struct td_retired *retired));

// ---- any worker, inside a read-side section -------------------------------------------------------

// The index of the longest prefix that covers the address, 0 when there is none.
uint32_t td_route6_lookup(const struct td_route6 *table, const uint8_t ip[16]);
