// SPDX-License-Identifier: BSD-3-Clause
// Micro-benchmarks of the data plane. See docs/benchmarking.md.

#include "bench/load/gateway.h"
#include "bench/micro/measure.h"
#include "bench/micro/report.h"
#include "dataplane/publish.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
	bool quick;
	const char *json; // NULL: no file
	char **patterns; // NULL at the end; none: all rows
};

static void usage(FILE *out)
{
	fputs("usage: micro [--quick] [--json FILE] [PATTERN...]\n"
	      "  --quick      small tables and few rounds: shows that the rows run, not how fast\n"
	      "  --json FILE  writes the results there as well\n"
	      "With PATTERNs only rows run whose group or name contains one of them.\n"
	      "Exit status 1: a row failed (a packet was lost, or memory is beyond its bound).\n",
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

// The row's name with its argument in place of "%s".
static void name_fill(const struct td_row *row, uint64_t argument, char *name, size_t size)
{
	const char *place = strstr(row->name, "%s");
	char text[32];

	if (!place) {
		snprintf(name, size, "%s", row->name);
		return;
	}
	if (row->full == TD_ROW_SUITES)
		// Some names are those of two suites.
		snprintf(text, sizeof(text), "%s%s",
		    td_dp_suite_info((unsigned)argument)->protocol == TD_SA_AH ? "ah-" : "",
		    td_dp_suite_info((unsigned)argument)->name);
	else if (argument >= 1000000 && argument % 1000000 == 0)
		snprintf(text, sizeof(text), "%" PRIu64 "M", argument / 1000000);
	else if (argument >= 1000 && argument % 1000 == 0)
		snprintf(text, sizeof(text), "%" PRIu64 "k", argument / 1000);
	else
		snprintf(text, sizeof(text), "%" PRIu64, argument);
	snprintf(name, size, "%.*s%s%s", (int)(place - row->name), row->name, text, place + 2);
}

static bool is_wanted(const struct options *options, const struct td_row *row, const char *name)
{
	for (char **pattern = options->patterns; *pattern; pattern++)
		if (strstr(row->group, *pattern) || strstr(name, *pattern))
			return true;
	return !*options->patterns;
}

// Returns whether the row passed, or was not wanted.
static bool row_run(
    const struct options *options, const struct td_row *row, uint64_t argument, struct td_report *report)
{
	char name[TD_RESULT_NAME_MAX];
	struct td_result result;

	name_fill(row, argument, name, sizeof(name));
	if (!is_wanted(options, row, name))
		return true;
	td_measure(row, argument, name, options->quick, &result);
	td_dp_reclaim();
	return td_report_add(report, &result) == 0 && !result.failed;
}

static bool rows_run(const struct options *options, struct td_report *report)
{
	bool passed = true;

	for (size_t i = 0; i < td_row_count; i++) {
		const struct td_row *row = &td_rows[i];

		if (row->full != TD_ROW_SUITES) {
			passed &= row_run(options, row, options->quick ? row->quick : row->full, report);
			continue;
		}
		for (unsigned suite = 0; suite < td_dp_suite_count(); suite++)
			if (td_dp_suite_available(suite))
				passed &= row_run(options, row, suite, report);
	}
	return passed;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = options_parse(argc, argv, &options);

	if (status >= 0)
		return status;
	if (td_load_open("micro"))
		return 1;
	struct td_report *report = td_report_create(options.quick);
	bool passed = report && rows_run(&options, report);
	if (report && options.json) {
		int result = td_report_write(report, options.json);

		if (result)
			fprintf(stderr, "micro: %s: %s\n", options.json, strerror(-result));
		passed &= result == 0;
	}
	if (report)
		td_report_destroy(report);
	td_dp_stop();
	return passed ? 0 : 1;
}
