// SPDX-License-Identifier: BSD-3-Clause
#include "bench/rollover/report.h"

#include "bench/common/cpu.h"
#include "bench/common/median.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

struct td_rollover_report {
	json_t *root, *rows;
	struct td_pace_latency wall, own; // of the first pace
	bool has_base, has_installs;
};

struct td_rollover_report *td_rollover_report_create(bool quick)
{
	struct td_rollover_report *report = calloc(1, sizeof(*report));
	char cpu[128];

	if (!report)
		return NULL;
	td_cpu_name(cpu, sizeof(cpu));
	report->rows = json_array();
	report->root = json_pack("{s:s, s:s, s:s, s:f, s:b, s:O}", "benchmark", "rollover", "version",
	    TD_VERSION, "cpu", cpu, "tsc_hz", (double)rte_get_tsc_hz(), "quick", quick, "rows", report->rows);
	if (!report->root) {
		td_rollover_report_destroy(report);
		return NULL;
	}
	printf("%s, TSC %.3f GHz\n", cpu, (double)rte_get_tsc_hz() / 1e9);
	printf("%-18s %9s %9s %5s %9s | %25s | %25s\n", "", "", "", "", "packets", "latency, us",
	    "of the worker's own time");
	printf("%-18s %9s %9s %5s %9s | %7s %8s %8s | %7s %8s %8s\n", "rollovers", "a second", "packets/s",
	    "lost", "near them", "median", "99.9 %", "worst", "median", "99.9 %", "worst");
	return report;
}

void td_rollover_report_destroy(struct td_rollover_report *report)
{
	json_decref(report->rows);
	json_decref(report->root);
	free(report);
}

static int row_keep(struct td_rollover_report *report, json_t *row)
{
	return row && json_array_append_new(report->rows, row) == 0 ? 0 : -ENOMEM;
}

static void name_fill(const struct td_pace_result *result, char *name, size_t size)
{
	if (result->wanted == 0)
		snprintf(name, size, "none");
	else if (result->wanted == TD_PACE_UNBOUNDED)
		snprintf(name, size, "without pause");
	else
		snprintf(name, size, "%" PRIu32 " a second", result->wanted);
}

static void latency_print(const struct td_pace_latency *latency)
{
	printf(" | %7.1f %8.1f %8.1f", latency->median_us, latency->most_us, latency->worst_us);
}

// Added: beyond the median without rollovers.
static json_t *latency_pack(const struct td_pace_latency *latency, const struct td_pace_latency *base)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f}", "median", latency->median_us, "p999", latency->most_us,
	    "worst", latency->worst_us, "added_p999", latency->most_us - base->median_us, "added_worst",
	    latency->worst_us - base->median_us);
}

int td_rollover_report_pace(struct td_rollover_report *report, const struct td_pace_result *result)
{
	double rate = (double)result->rollovers / result->seconds;
	double packet_rate = (double)result->packets / result->seconds;
	char name[32];

	name_fill(result, name, sizeof(name));
	if (!report->has_base) {
		report->wall = result->wall;
		report->own = result->own;
	}
	report->has_base = true;
	printf("  %-16s %9.1f %9.0f %5" PRIu64 " %9" PRIu64, name, rate, packet_rate, result->lost,
	    result->timed);
	latency_print(&result->wall);
	latency_print(&result->own);
	puts(result->failed ? "  FAILED" : "");
	fflush(stdout);
	return row_keep(report,
	    json_pack("{s:s, s:s, s:f, s:I, s:f, s:f, s:I, s:I, s:o, s:o, s:b}", "group", "rollovers", "name",
	        name, "seconds", result->seconds, "rollovers", (json_int_t)result->rollovers,
	        "rollovers_per_s", rate, "packets_per_s", packet_rate, "lost", (json_int_t)result->lost,
	        "timed", (json_int_t)result->timed, "wall_us", latency_pack(&result->wall, &report->wall),
	        "own_us", latency_pack(&result->own, &report->own), "failed", result->failed));
}

int td_rollover_report_installs(struct td_rollover_report *report, const char *name, double *rounds,
    unsigned count, double least, bool failed)
{
	double median = count ? td_median(rounds, count) : 0;

	if (!report->has_installs)
		printf("%-38s %10s %10s %10s %10s\n", "SAs a second", "median", "min", "max", "target");
	report->has_installs = true;
	if (count)
		printf("  %-36s %10.0f %10.0f %10.0f %10.0f%s\n", name, median, rounds[0], rounds[count - 1],
		    least,
		    failed           ? "  FAILED"
		    : median < least ? "  missed"
		                     : "");
	else
		printf("  %-36s FAILED: it did not run\n", name);
	fflush(stdout);
	return row_keep(report, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:i, s:f, s:b}", "group",
	                            "installs", "name", name, "unit", "/s", "median", median, "min",
	                            count ? rounds[0] : 0, "max", count ? rounds[count - 1] : 0, "rounds",
	                            (int)count, "least", least, "failed", failed || count == 0));
}

int td_rollover_report_write(const struct td_rollover_report *report, const char *path)
{
	if (json_dump_file(report->root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9)))
		return errno ? -errno : -EIO;
	return 0;
}
