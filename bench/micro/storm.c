// SPDX-License-Identifier: BSD-3-Clause
// Many SAs come, change and go, alone or beside traffic whose own tunnels roll over meanwhile.

#include "bench/micro/child.h"
#include "bench/micro/row.h"
#include "bench/micro/traffic.h"
#include "common/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

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

struct rates {
	double install, change, withdraw; // per second
};

static struct rates storm(uint64_t count)
{
	struct rates rates = {NAN, NAN, NAN};

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

static bool is_whole(const struct rates *rates)
{
	return !isnan(rates->install) && !isnan(rates->change) && !isnan(rates->withdraw);
}

double td_storm_install(uint64_t argument)
{
	return storm(argument).install;
}

double td_storm_switch(uint64_t argument)
{
	return storm(argument).change;
}

double td_storm_remove(uint64_t argument)
{
	return storm(argument).withdraw;
}

double td_storm_lost(uint64_t argument)
{
	struct rates rates = storm(argument);

	return is_whole(&rates) ? (double)td_traffic_lost() : NAN;
}

static void wait_ms(uint64_t duration_ms)
{
	nanosleep(
	    &(struct timespec){(time_t)(duration_ms / 1000), (long)(duration_ms % 1000) * 1000000}, NULL);
}

double td_storm_gap(uint64_t argument)
{
	(void)td_traffic_gap_us();
	struct rates rates = storm(argument);
	return is_whole(&rates) ? td_traffic_gap_us() : NAN;
}

double td_storm_gap_quiet(uint64_t argument)
{
	(void)td_traffic_gap_us();
	wait_ms(argument);
	return td_traffic_gap_us();
}

double td_storm_rate(uint64_t argument)
{
	uint64_t start_ns = td_clock_now_ns(), before = td_traffic_received();
	struct rates rates = storm(argument);
	uint64_t received = td_traffic_received() - before;

	return is_whole(&rates) ? (double)received * 1e9 / (double)(td_clock_now_ns() - start_ns) : NAN;
}

double td_storm_rate_quiet(uint64_t argument)
{
	uint64_t start_ns = td_clock_now_ns(), before = td_traffic_received();

	wait_ms(argument);
	uint64_t received = td_traffic_received() - before;
	return (double)received * 1e9 / (double)(td_clock_now_ns() - start_ns);
}
