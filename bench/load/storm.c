// SPDX-License-Identifier: BSD-3-Clause
#include "bench/load/storm.h"

#include "bench/load/child.h"
#include "bench/load/traffic.h"
#include "common/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define TICK_CHANGES 64 // changes between two looks at what else the control thread does
#define TICK_EVENTS 256

// A tunnel beside those of the traffic, and its child.
struct site {
	struct td_dp_tunnel *tunnel;
	struct td_child child;
};

static struct site *sites;
static uint64_t site_count;

static int install(struct site *site)
{
	site->tunnel = td_dp_tunnel_create((uint32_t)(TD_TRAFFIC_TUNNELS + (site - sites)));
	return site->tunnel ? td_child_install(&site->child, site->tunnel) : -ENOMEM;
}

static int change(struct site *site)
{
	struct td_child old = site->child;
	int result = td_child_install(&site->child, site->tunnel);

	if (result)
		site->child = old;
	else
		td_child_remove(&old);
	return result;
}

static int withdraw(struct site *site)
{
	if (!site->tunnel)
		return 0;
	td_dp_tunnel_switch(site->tunnel, 0, NULL);
	td_child_remove(&site->child);
	td_dp_tunnel_remove(site->tunnel);
	site->tunnel = NULL;
	return 0;
}

// What the control thread does between changes.
static int tick(void)
{
	struct td_event events[TICK_EVENTS];

	(void)td_dp_events_receive(events, TICK_EVENTS);
	td_dp_reclaim();
	return td_traffic_rollover();
}

// Does one thing to all sites. Returns sites per second, NAN after an error.
static double each(int (*one)(struct site *site))
{
	uint64_t start_ns = td_clock_now_ns();

	for (uint64_t i = 0; i < site_count; i++)
		if (one(&sites[i]) || (i % TICK_CHANGES == 0 && tick()))
			return NAN;
	return (double)site_count * 1e9 / (double)(td_clock_now_ns() - start_ns);
}

struct td_storm_rates td_storm_run(uint64_t count)
{
	struct td_storm_rates rates = {NAN, NAN, NAN};

	sites = calloc(count, sizeof(sites[0]));
	if (!sites)
		return rates;
	site_count = count;
	rates.install = each(install);
	if (!isnan(rates.install))
		rates.change = each(change);
	rates.withdraw = each(withdraw);
	free(sites);
	return rates;
}
