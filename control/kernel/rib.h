// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the kernel told about routes and neighbours, kept so that the best route of each prefix is the one
// that the workers have, and so that a fresh dump can be compared with it.

#include "dataplane/publish.h"

struct td_rib;

struct td_rib_route {
	bool local_table; // the local table goes before the main one, as in the kernel's rules
	uint32_t metric;
	struct td_dp_route route;
};

// Where a route goes among those of the same prefix, table and metric (the first of them is used).
enum td_rib_place { TD_RIB_FIRST, TD_RIB_LAST, TD_RIB_REPLACE };

struct td_rib *td_rib_create(void); // NULL: out of memory
void td_rib_destroy(struct td_rib *rib);

// A route that is there already stays where it is. Returns 0 or -ENOMEM.
int td_rib_route_add(struct td_rib *rib, const struct td_rib_route *route, enum td_rib_place place);
// Adds a route that the kernel does not have: it is used before all others of its prefix, and stays. Returns
// 0, -ENOMEM or -ENOSPC.
int td_rib_route_fix(struct td_rib *rib, const struct td_dp_route *route);
// Removes a route, and lets the next best take its place.
void td_rib_route_delete(struct td_rib *rib, const struct td_rib_route *route);
// Removes all routes of the same prefix, table and metric.
void td_rib_route_purge(struct td_rib *rib, const struct td_rib_route *route);

int td_rib_neighbour_set(struct td_rib *rib, unsigned port, const struct td_ip *ip, const uint8_t mac[6]);
// Returns false, and does nothing, if it is not known.
bool td_rib_neighbour_delete(struct td_rib *rib, unsigned port, const struct td_ip *ip);
// Tells the workers again about a neighbour. Returns false if it is not known.
bool td_rib_neighbour_refresh(struct td_rib *rib, unsigned port, const struct td_ip *ip);

// Between begin and end everything that exists is added again (by a dump or by notifications); end removes
// what was not.
void td_rib_sweep_begin(struct td_rib *rib);
void td_rib_sweep_end(struct td_rib *rib);
