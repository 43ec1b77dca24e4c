// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/report.h"

#include "bench/common/cpu.h"
#include "dataplane/publish.h"

#include <errno.h>
#include <jansson.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

struct td_path_report {
	json_t *root, *rows, *workers;
	unsigned printed;
	bool workers_printed; // their head
	struct td_path_row last;
};

struct td_path_report *td_path_report_create(bool quick, bool hugepages)
{
	struct td_path_report *report = calloc(1, sizeof(*report));
	double tsc_hz = (double)rte_get_tsc_hz();
	char cpu[128];

	if (!report)
		return NULL;
	td_cpu_name(cpu, sizeof(cpu));
	report->rows = json_array();
	report->workers = json_array();
	report->root = json_pack("{s:s, s:s, s:s, s:f, s:b, s:b, s:O, s:O}", "benchmark", "path", "version",
	    TD_VERSION, "cpu", cpu, "tsc_hz", tsc_hz, "quick", quick, "hugepages", hugepages, "rows",
	    report->rows, "workers", report->workers);
	if (!report->root) {
		td_path_report_destroy(report);
		return NULL;
	}
	printf("%s, TSC %.3f GHz, tables in %s pages; TSC cycles a packet\n", cpu, tsc_hz / 1e9,
	    hugepages ? "huge" : "small");
	return report;
}

void td_path_report_destroy(struct td_path_report *report)
{
	json_decref(report->rows);
	json_decref(report->workers);
	json_decref(report->root);
	free(report);
}

// The packets and bits that one core does in a second.
static double mpps(const struct td_path_result *result)
{
	return (double)rte_get_tsc_hz() / result->path.median / 1e6;
}

static double gbps(const struct td_path_result *result)
{
	return mpps(result) * result->bytes * 8 / 1e3;
}

static void head_print(struct td_path_report *report, const struct td_path_row *row)
{
	const struct td_path_row *last = &report->last;

	if (report->printed++ && last->suite == row->suite && last->tunnels == row->tunnels)
		return;
	report->last = *row;
	printf("%s, %u tunnel%s\n", td_dp_suite_info(row->suite)->name, row->tunnels,
	    row->tunnels == 1 ? "" : "s");
	printf("  %-13s %8s %8s %8s %6s %8s %7s %7s %7s %3s %5s %6s %5s\n", "", "median", "min", "max",
	    "ports", "raw", "of raw", "Mpps", "Gb/s", "n", "noisy", "clock", "adds");
}

static void row_print(struct td_path_report *report, const struct td_path_result *result)
{
	const struct td_path_row *row = &result->row;
	char size[16];

	head_print(report, row);
	snprintf(size, sizeof(size), row->size == TD_PATH_IMIX ? "IMIX" : "%u", row->size);
	printf("  %-7s %5s", td_path_direction_names[row->direction], size);
	if (result->failed)
		printf(" FAILED: packets did not come out\n");
	else
		printf(" %8.1f %8.1f %8.1f %6.1f %8.1f %6.1f%% %7.2f %7.2f %3u %5u %6.2f %5.2f\n",
		    result->path.median, result->path.min, result->path.max, result->ports.median,
		    result->raw.median, 100 * result->ratio, mpps(result), gbps(result), result->rounds,
		    result->noisy, result->probe.core, result->probe.adds);
	fflush(stdout);
}

static json_t *figures_json(const struct td_path_figures *figures)
{
	return json_pack(
	    "{s:f, s:f, s:f}", "median", figures->median, "min", figures->min, "max", figures->max);
}

int td_path_report_add(struct td_path_report *report, const struct td_path_result *result)
{
	const struct td_path_row *row = &result->row;

	row_print(report, result);
	json_t *made =
	    json_pack("{s:s, s:s, s:i, s:f, s:i, s:b}", "direction", td_path_direction_names[row->direction],
	        "suite", td_dp_suite_info(row->suite)->name, "size", (int)row->size, "mean_bytes",
	        result->bytes, "tunnels", (int)row->tunnels, "failed", result->failed);
	json_t *figures =
	    result->failed
	        ? json_object()
	        : json_pack("{s:o, s:o, s:o, s:f, s:f, s:f, s:i, s:i, s:f, s:f}", "cycles",
	              figures_json(&result->path), "raw_cycles", figures_json(&result->raw), "port_cycles",
	              figures_json(&result->ports), "of_raw", result->ratio, "mpps", mpps(result), "gbps",
	              gbps(result), "rounds", (int)result->rounds, "noisy_rounds", (int)result->noisy,
	              "core_clock", result->probe.core, "adds_per_clock", result->probe.adds);
	int code = made && figures ? json_object_update(made, figures) : -1;
	json_decref(figures);
	if (code) {
		json_decref(made);
		return -ENOMEM;
	}
	return json_array_append_new(report->rows, made) ? -ENOMEM : 0;
}

static void pair_print(struct td_path_report *report, const struct td_path_pair_result *result)
{
	const struct td_path_row *row = &result->row;
	double to_mpps = (double)rte_get_tsc_hz() / 1e6;

	if (!report->workers_printed)
		printf("two workers, each with a tunnel, or one tunnel with SAs for each\n"
		       "  %-23s %10s %10s %6s %5s\n",
		    "", "1: Mpps", "2: Mpps", "times", "n");
	report->workers_printed = true;
	printf("  %-7s %5u %u tunnel%-2s", td_path_direction_names[row->direction], row->size, row->tunnels,
	    row->tunnels > 1 ? "s" : "");
	if (result->failed)
		printf(" FAILED: packets did not come out\n");
	else if (result->ratio > 0)
		printf(" %10.2f %10.2f %6.2f %2u/%u\n", to_mpps * result->one, to_mpps * result->two,
		    result->ratio, result->rounds, result->tries);
	else
		printf(" no two free cores (%d CPUs): in %u of %u rounds; others ran in %u, shared a core in "
		       "%u, "
		       "moved its clock in %u\n",
		    result->cpus, result->rounds, result->tries, result->preempted, result->shared,
		    result->drifted);
	fflush(stdout);
}

// A figure, or null where there were no two free cores.
static json_t *figure_json(const struct td_path_pair_result *result, double value)
{
	return !result->failed && result->ratio > 0 ? json_real(value) : json_null();
}

int td_path_report_add_pair(struct td_path_report *report, const struct td_path_pair_result *result)
{
	const struct td_path_row *row = &result->row;
	double to_mpps = (double)rte_get_tsc_hz() / 1e6;

	pair_print(report, result);
	json_t *made =
	    json_pack("{s:s, s:s, s:i, s:i, s:b, s:i, s:b, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:o}",
	        "direction", td_path_direction_names[row->direction], "suite",
	        td_dp_suite_info(row->suite)->name, "size", (int)row->size, "tunnels", (int)row->tunnels,
	        "failed", result->failed, "cpus", result->cpus, "two_free_cores", result->ratio > 0,
	        "tried_rounds", (int)result->tries, "rounds", (int)result->rounds, "preempted_rounds",
	        (int)result->preempted, "shared_rounds", (int)result->shared, "drifted_rounds",
	        (int)result->drifted, "mpps_one", figure_json(result, to_mpps * result->one), "mpps_two",
	        figure_json(result, to_mpps * result->two), "ratio", figure_json(result, result->ratio));
	return !made || json_array_append_new(report->workers, made) ? -ENOMEM : 0;
}

int td_path_report_write(const struct td_path_report *report, const char *path)
{
	if (json_dump_file(report->root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9)))
		return errno ? -errno : -EIO;
	return 0;
}
