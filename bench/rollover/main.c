// SPDX-License-Identifier: BSD-3-Clause
// Key changes beside traffic, and how fast SAs are installed. See docs/benchmarking.md.

#include "bench/load/gateway.h"
#include "bench/load/storm.h"
#include "bench/load/traffic.h"
#include "bench/rollover/pace.h"
#include "bench/rollover/report.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUNDS 5
#define INSTALLS_LEAST 200000

static const uint32_t paces[] = {0, 1, 10, 100, 1000, TD_PACE_UNBOUNDED};

struct options {
	bool quick;
	const char *json; // NULL: no file
};

static void usage(FILE *out)
{
	fputs("usage: rollover [--quick] [--json FILE]\n"
	      "  --quick      short and few rounds: shows that it runs, not how fast\n"
	      "  --json FILE  writes the results there as well\n"
	      "Exit status 1: a packet was lost, or something did not run.\n",
	    out);
}

// Returns -1 to go on, else the exit status.
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
	    {"quick", no_argument, NULL, 'q'},
	    {"json", required_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};

	for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;)
		switch (option) {
		case 'q':
			options->quick = true;
			break;
		case 'j':
			options->json = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	return -1;
}

// Returns whether all went well, here and below.
static bool paces_run(const struct options *options, struct td_rollover_report *report)
{
	struct td_pace_result result;
	bool good = true;

	(void)td_traffic_pause();
	// Not counted: it fills caches and the allocators' lists.
	td_pace_run(TD_PACE_UNBOUNDED, 0.1, &result);
	for (unsigned i = 0; i < COUNT(paces); i++) {
		// Long enough for ten rollovers at the slowest pace.
		td_pace_run(paces[i], options->quick ? 1.1 : 10.5, &result);
		good &= td_rollover_report_pace(report, &result) == 0 && !result.failed;
	}
	return good;
}

static bool installs_run(const struct options *options, struct td_rollover_report *report, const char *name)
{
	unsigned rounds = options->quick ? 1 : ROUNDS;
	double rates[ROUNDS];

	for (unsigned i = 0; i < rounds; i++) {
		// A tunnel has an inbound and an outbound SA.
		rates[i] = 2 * td_storm_run(options->quick ? 2000 : 100000).install;
		if (isnan(rates[i]))
			rounds = 0;
	}
	return td_rollover_report_installs(report, name, rates, rounds, INSTALLS_LEAST, rounds == 0) == 0 &&
	       rounds;
}

static bool run(const struct options *options, struct td_rollover_report *report)
{
	bool good = false;

	if (td_traffic_start(0) == 0) {
		good = paces_run(options, report);
		td_traffic_go_on();
		good &= installs_run(options, report, "in process, beside traffic");
		uint64_t lost = td_traffic_lost();
		if (lost)
			fprintf(stderr, "rollover: %llu packets lost\n", (unsigned long long)lost);
		good &= lost == 0;
	}
	td_traffic_stop();
	td_dp_reclaim();
	return installs_run(options, report, "in process, idle worker") && good;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = options_parse(argc, argv, &options);

	if (status >= 0)
		return status;
	if (td_load_open("rollover"))
		return 1;
	struct td_rollover_report *report = td_rollover_report_create(options.quick);
	bool passed = report && run(&options, report);
	if (report && options.json) {
		int result = td_rollover_report_write(report, options.json);

		if (result)
			fprintf(stderr, "rollover: %s: %s\n", options.json, strerror(-result));
		passed &= result == 0;
	}
	if (report)
		td_rollover_report_destroy(report);
	td_dp_stop();
	return passed ? 0 : 1;
}
