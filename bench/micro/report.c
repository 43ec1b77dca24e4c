// SPDX-License-Identifier: BSD-3-Clause
#include "bench/micro/report.h"

#include "bench/common/cpu.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct td_report {
	json_t *root, *rows;
	const char *group; // of the last row
};

struct td_report *td_report_create(bool quick)
{
	struct td_report *report = calloc(1, sizeof(*report));
	char cpu[128];

	if (!report)
		return NULL;
	td_cpu_name(cpu, sizeof(cpu));
	report->rows = json_array();
	report->root = json_pack("{s:s, s:s, s:s, s:f, s:b, s:O}", "benchmark", "micro", "version",
	    TD_VERSION, "cpu", cpu, "tsc_hz", (double)rte_get_tsc_hz(), "quick", quick, "rows", report->rows);
	if (!report->root) {
		td_report_destroy(report);
		return NULL;
	}
	printf("%s, TSC %.3f GHz\n", cpu, (double)rte_get_tsc_hz() / 1e9);
	printf("%-46s %-7s %12s %12s %12s %3s %6s %5s\n", "", "unit", "median", "min", "max", "n", "clock",
	    "adds");
	return report;
}

void td_report_destroy(struct td_report *report)
{
	json_decref(report->rows);
	json_decref(report->root);
	free(report);
}

// One digit behind the point for small figures, none for large ones.
static void figure_print(double figure)
{
	printf(" %12.*f", fabs(figure) < 1000 ? 1 : 0, figure);
}

static void row_print(struct td_report *report, const struct td_result *result)
{
	const struct td_row *row = result->row;

	if (!report->group || strcmp(report->group, row->group))
		printf("%s\n", row->group);
	report->group = row->group;
	printf("  %-44s %-7s", result->name, row->unit);
	if (result->rounds) {
		figure_print(result->median);
		figure_print(result->min);
		figure_print(result->max);
		printf(" %3u %6.2f %5.2f", result->rounds, result->probe.core, result->probe.adds);
	}
	if (result->failed && result->rounds)
		printf("  FAILED: more than %g", row->most);
	else if (result->failed)
		printf(" FAILED: it did not run");
	putchar('\n');
	fflush(stdout);
}

int td_report_add(struct td_report *report, const struct td_result *result)
{
	const struct td_row *row = result->row;
	json_t *figures;

	row_print(report, result);
	if (result->rounds == 0)
		figures = json_pack("{s:n, s:n, s:n}", "median", "min", "max");
	else
		figures = json_pack("{s:f, s:f, s:f, s:f, s:f}", "median", result->median, "min", result->min,
		    "max", result->max, "core_clock", result->probe.core, "adds_per_clock",
		    result->probe.adds);
	json_t *head = json_pack("{s:s, s:s, s:s, s:i, s:i, s:b}", "group", row->group, "name", result->name,
	    "unit", row->unit, "rounds", (int)result->rounds, "noisy_rounds", (int)result->noisy, "failed",
	    result->failed);
	if (head && row->most != TD_ROW_UNBOUNDED)
		json_object_set_new(head, "most", json_real(row->most));
	int result_code = head && figures ? json_object_update(head, figures) : -1;
	json_decref(figures);
	if (result_code) {
		json_decref(head);
		return -ENOMEM;
	}
	return json_array_append_new(report->rows, head) ? -ENOMEM : 0;
}

int td_report_write(const struct td_report *report, const char *path)
{
	if (json_dump_file(report->root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9)))
		return errno ? -errno : -EIO;
	return 0;
}
