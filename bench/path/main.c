// SPDX-License-Identifier: BSD-3-Clause
// The packet path, from port to port, beside the bare cipher. See docs/benchmarking.md.

#include "bench/path/gateway.h"
#include "bench/path/measure.h"
#include "bench/path/report.h"
#include "bench/path/workers.h"
#include "dataplane/publish.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const suites[] = {"aes128gcm16", "aes256gcm16", "chacha20poly1305", "aes128-sha256"};
static const unsigned sizes[] = {64, 128, 256, 512, 1024, 1400, TD_PATH_IMIX};
static const unsigned tunnels[] = {1, 1000, TD_PATH_TUNNELS_MAX};
static const unsigned sizes_quick[] = {64, 1400};
static const unsigned tunnels_quick[] = {1, 1000};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct options {
	bool quick, hugepages;
	unsigned passes; // 0: measure; else only these, for a profiler
	const char *json; // NULL: no file
	char **patterns; // NULL at the end; none: all rows
};

static struct td_path_packets packets;

static void usage(FILE *out)
{
	fputs(
	    "usage: path [--quick] [--hugepages] [--json FILE] [PATTERN...]\n"
	    "       path --passes N PATTERN...\n"
	    "  --quick      few rows and rounds: shows that they run, not how fast\n"
	    "  --hugepages  DPDK's memory in hugepages, of which 1 GB is reserved\n"
	    "  --json FILE  writes the results there as well\n"
	    "  --passes N   measures nothing: N passes of 192 packets for a profiler, below td_path_counted\n"
	    "Only rows run that have every PATTERN among direction, suite, size (or imix) and tunnels; those "
	    "of two\n"
	    "workers have the word workers, and no number of tunnels.\n"
	    "Exit status 1: a packet did not come out, or no row ran.\n",
	    out);
}

// Returns -1 to go on, else the exit status.
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
	    {"quick", no_argument, NULL, 'q'},
	    {"json", required_argument, NULL, 'j'},
	    {"passes", required_argument, NULL, 'p'},
	    {"hugepages", no_argument, NULL, 'H'},
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
		case 'p':
			options->passes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'H':
			options->hugepages = true;
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

// Direction, suite, size and tunnels, as words.
static void row_name(const struct td_path_row *row, char *name, size_t size)
{
	char bytes[16] = "imix";

	if (row->size != TD_PATH_IMIX)
		snprintf(bytes, sizeof(bytes), "%u", row->size);
	snprintf(name, size, "%s %s %s %u", td_path_direction_names[row->direction],
	    td_dp_suite_info(row->suite)->name, bytes, row->tunnels);
}

// Whether a row's name has the word, which ends at a comma or with its text.
static bool has_word(const char *name, const char *word)
{
	size_t length = strcspn(word, ",");
	char words[64], *rest = words;

	snprintf(words, sizeof(words), "%s", name);
	for (char *one; (one = strsep(&rest, " "));)
		if (strlen(one) == length && strncmp(one, word, length) == 0)
			return true;
	return false;
}

static bool has_words(const char *name, const char *words)
{
	for (const char *word = words; word; word = strchr(word, ',') ? strchr(word, ',') + 1 : NULL)
		if (!has_word(name, word))
			return false;
	return true;
}

// All words without a comma, and one of the lists with commas, as far as there are any.
static bool is_wanted(const struct options *options, const char *name)
{
	bool lists = false, listed = false;

	for (char **pattern = options->patterns; *pattern; pattern++) {
		bool has = has_words(name, *pattern);

		if (strchr(*pattern, ',')) {
			lists = true;
			listed |= has;
		} else if (!has) {
			return false;
		}
	}
	return listed || !lists;
}

struct run {
	const struct options *options;
	struct td_path_report *report; // NULL: for a profiler
	unsigned done;
	bool failed;
	unsigned suite, tunnels; // in place; tunnels 0: none are
};

static void row_run(struct run *run, const struct td_path_row *row)
{
	struct td_path_result result;
	char name[64];

	row_name(row, name, sizeof(name));
	if (!is_wanted(run->options, name))
		return;
	if (run->tunnels != row->tunnels || run->suite != row->suite) {
		int error = td_path_tunnels_set(row->suite, row->tunnels, TD_PATH_OWNER_FIRST);

		if (error)
			fprintf(stderr, "path: %u tunnels: %s\n", row->tunnels, strerror(-error));
		run->failed |= error != 0;
		run->tunnels = row->tunnels;
		run->suite = row->suite;
	}
	run->done++;
	if (!run->report) {
		run->failed |= !td_path_count(&packets, row, run->options->passes);
		puts(name);
		fflush(stdout);
		return;
	}
	td_path_measure(&packets, row, run->options->quick, &result);
	run->failed |= result.failed || td_path_report_add(run->report, &result);
}

static void suite_run(struct run *run, unsigned suite)
{
	bool quick = run->options->quick;
	const unsigned *size = quick ? sizes_quick : sizes, *tunnel = quick ? tunnels_quick : tunnels;
	size_t size_count = quick ? COUNT(sizes_quick) : COUNT(sizes);
	size_t tunnel_count = quick ? COUNT(tunnels_quick) : COUNT(tunnels);

	for (size_t t = 0; t < tunnel_count; t++)
		for (unsigned direction = 0; direction < TD_PATH_DIRECTIONS; direction++)
			for (size_t s = 0; s < size_count; s++)
				row_run(run, &(struct td_path_row){(enum td_path_direction)direction, suite,
				                 size[s], tunnel[t]});
}

static void rows_run(struct run *run)
{
	for (size_t i = 0; i < COUNT(suites); i++) {
		int suite = td_dp_suite_find(TD_SA_ESP, suites[i]);

		if (suite >= 0 && td_dp_suite_available((unsigned)suite))
			suite_run(run, (unsigned)suite);
	}
}

// ---- two workers --------------------------------------------------------------------------------

static bool is_wanted_pair(const void *context, const struct td_path_row *row)
{
	char name[64];

	snprintf(name, sizeof(name), "%s %s %u workers", td_path_direction_names[row->direction],
	    td_dp_suite_info(row->suite)->name, row->size);
	return is_wanted(context, name);
}

static void pairs_run(struct run *run, struct td_path_workers *workers)
{
	struct td_path_pair_result result;

	while (td_path_workers_next(workers, &result, &run->failed)) {
		run->done++;
		run->failed |= td_path_report_add_pair(run->report, &result) != 0;
	}
}

// Returns whether all is well.
static bool report_write(const struct options *options, struct td_path_report *report)
{
	int result = options->json ? td_path_report_write(report, options->json) : 0;

	if (result)
		fprintf(stderr, "path: %s: %s\n", options->json, strerror(-result));
	return result == 0;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = options_parse(argc, argv, &options);
	struct run run = {.options = &options};
	struct td_path_workers workers = {-1, -1};

	if (status >= 0)
		return status;
	if (options.passes == 0 && td_path_workers_fork(&workers, options.quick, is_wanted_pair, &options))
		return 1;
	if (td_path_gateway_open(1, options.hugepages))
		return 1;
	run.failed = td_path_packets_create(&packets) != 0;
	if (options.passes == 0)
		run.report = td_path_report_create(options.quick, options.hugepages);
	if (!run.failed && (options.passes || run.report))
		rows_run(&run);
	if (run.report) {
		pairs_run(&run, &workers);
		run.failed |= !report_write(&options, run.report);
		td_path_report_destroy(run.report);
	}
	td_path_gateway_close();
	return run.failed || run.done == 0;
}
