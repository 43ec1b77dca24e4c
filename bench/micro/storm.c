// SPDX-License-Identifier: BSD-3-Clause
// Many SAs come, change and go, alone or beside traffic whose own tunnels roll over meanwhile.

#include "bench/load/storm.h"
#include "bench/load/traffic.h"
#include "bench/micro/row.h"
#include "common/clock.h"

#include <math.h>
#include <time.h>

static bool is_whole(const struct td_storm_rates *rates)
{
	return !isnan(rates->install) && !isnan(rates->change) && !isnan(rates->withdraw);
}

double td_storm_install(uint64_t argument)
{
	return td_storm_run(argument).install;
}

double td_storm_switch(uint64_t argument)
{
	return td_storm_run(argument).change;
}

double td_storm_remove(uint64_t argument)
{
	return td_storm_run(argument).withdraw;
}

double td_storm_lost(uint64_t argument)
{
	struct td_storm_rates rates = td_storm_run(argument);

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
	struct td_storm_rates rates = td_storm_run(argument);
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
	struct td_storm_rates rates = td_storm_run(argument);
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
