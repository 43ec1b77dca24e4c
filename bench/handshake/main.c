// SPDX-License-Identifier: BSD-3-Clause
// Benchmarks of the IKEv2 engine. See docs/benchmarking.md.

#include "bench/handshake/report.h"

#include "common/clock.h"

#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define QUICK_ROUNDS 3
#define ROUNDS_MIN 3
#define GROUP_NS (10 * TD_NS_PER_S) // no further round of a group after this

struct options {
	bool quick;
	const char *json; // NULL: no file
	char **patterns; // NULL at the end; none: all groups
};

static void usage(FILE *out)
{
	fputs("usage: handshake [--quick] [--json FILE] [PATTERN...]\n"
	      "  --quick      few tunnels and rounds: shows that it runs, not how fast\n"
	      "  --json FILE  writes the results there as well\n"
	      "With PATTERNs only groups run whose name contains one of them.\n"
	      "Exit status 1: a group did not run, or a tunnel missed a deadline.\n",
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
	options->patterns = &argv[optind];
	return -1;
}

static bool is_wanted(const struct options *options, const char *name)
{
	for (char **pattern = options->patterns; *pattern; pattern++)
		if (strstr(name, *pattern))
			return true;
	return !*options->patterns;
}

// The group's name with the number of tunnels in place of "%u".
static void name_fill(const struct td_group *group, unsigned tunnels, char *name)
{
	const char *place = strstr(group->name, "%u");

	if (place)
		snprintf(name, TD_GROUP_NAME_MAX, "%.*s%u%s", (int)(place - group->name), group->name,
		    tunnels, place + 2);
	else
		snprintf(name, TD_GROUP_NAME_MAX, "%s", group->name);
}

static int round_run(const struct td_group *group, struct td_result *result, bool keep)
{
	double values[TD_FIGURES_MAX] = {0};
	int ret = group->round(group, values);

	if (ret < 0 || !keep)
		return ret;
	for (unsigned i = 0; group->figures[i].name; i++)
		result->values[i][result->rounds] = values[i];
	result->rounds++;
	return 0;
}

static int rounds_run(const struct td_group *group, bool quick, struct td_result *result)
{
	unsigned wanted = quick && group->rounds > QUICK_ROUNDS ? QUICK_ROUNDS : group->rounds;
	uint64_t start_ns = td_clock_now_ns();
	// A round that is not taken fills caches and fetches algorithms, where there are many.
	int ret = wanted > ROUNDS_MIN ? round_run(group, result, false) : 0;

	while (ret == 0 && result->rounds < wanted) {
		if (result->rounds >= ROUNDS_MIN && td_clock_now_ns() - start_ns > GROUP_NS)
			break;
		ret = round_run(group, result, true);
	}
	return ret;
}

// Returns whether the group passed, or was not wanted.
static bool group_run(const struct options *options, const struct td_group *group, const struct td_pki *pki,
    struct td_report *report)
{
	unsigned tunnels = options->quick ? group->quick : group->full;
	struct td_result result = {.group = group};

	name_fill(group, tunnels, result.name);
	if (!is_wanted(options, result.name))
		return true;
	int ret = group->setup(group, pki, tunnels);
	if (ret == 0)
		ret = rounds_run(group, options->quick, &result);
	group->teardown();
	if (ret < 0) {
		fprintf(stderr, "handshake: %s: %s\n", result.name, strerror(-ret));
		result.rounds = 0;
	}
	return td_report_add(report, &result) == 0;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = options_parse(argc, argv, &options);
	struct td_pki pki;
	bool passed;

	if (status >= 0)
		return status;
	// Memory that was given back would be paid for again in each round; a daemon keeps what it has.
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
	(void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
	struct td_report *report = td_report_create(options.quick);
	passed = report && td_pki_make(&pki) == 0;
	for (size_t i = 0; passed && i < td_group_count; i++)
		status = group_run(&options, &td_groups[i], &pki, report) ? status : 1;
	if (report && options.json) {
		int result = td_report_write(report, options.json);

		if (result)
			fprintf(stderr, "handshake: %s: %s\n", options.json, strerror(-result));
		passed &= result == 0;
	}
	if (passed)
		td_pki_free(&pki);
	if (report)
		td_report_destroy(report);
	return passed && status < 1 ? 0 : 1;
}
