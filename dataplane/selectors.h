// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What an SA carries where its peer took only part of the tunnel's traffic (RFC 7296 2.9, RFC 4301 4.4.2.1).

#include "dataplane/publish.h"

#include <rte_mbuf.h>

struct td_selectors;

// A copy of what params say. Returns NULL without memory. To be freed; NULL is fine.
struct td_selectors *td_selectors_create(const struct td_sa_params *params);
void td_selectors_free(struct td_selectors *selectors);
// Whether a packet that starts at its IP header, of which the length has been checked, is among them. Any
// worker.
bool td_selectors_match(const struct td_selectors *selectors, const struct rte_mbuf *mbuf, bool outbound);
