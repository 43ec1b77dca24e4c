// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/report.h"

#include "bench/common/cpu.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct td_report {
	json_t *root, *rows;
};

struct summary {
	double median, min, max;
};

struct td_report *td_report_create(bool quick)
{
	struct td_report *report = calloc(1, sizeof(*report));
	const char *library = OpenSSL_version(OPENSSL_VERSION);
	char cpu[128];

	if (!report)
		return NULL;
	td_cpu_name(cpu, sizeof(cpu));
	report->rows = json_array();
	report->root = json_pack("{s:s, s:s, s:s, s:s, s:b, s:O}", "benchmark", "handshake", "version",
	    TD_VERSION, "cpu", cpu, "libcrypto", library, "quick", quick, "rows", report->rows);
	if (!report->root) {
		td_report_destroy(report);
		return NULL;
	}
	printf("%s, %s\n", cpu, library);
	printf("%-52s %-5s %10s %10s %10s %3s\n", "", "unit", "median", "min", "max", "n");
	return report;
}

void td_report_destroy(struct td_report *report)
{
	json_decref(report->rows);
	json_decref(report->root);
	free(report);
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static struct summary summarize(double *values, unsigned count)
{
	qsort(values, count, sizeof(values[0]), compare);
	return (struct summary){
	    .median = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2,
	    .min = values[0],
	    .max = values[count - 1],
	};
}

// Digits behind the point for small figures, none for large ones.
static void figure_print(double figure)
{
	printf(" %10.*f", fabs(figure) < 10 ? 2 : fabs(figure) < 1000 ? 1 : 0, figure);
}

static void row_print(const struct td_figure *figure, const struct summary *summary, unsigned rounds)
{
	static const char *const aims[] = {"", "at least", "at most", "bound"};

	printf("  %-50s %-5s", figure->name, figure->unit);
	figure_print(summary->median);
	figure_print(summary->min);
	figure_print(summary->max);
	printf(" %3u", rounds);
	if (figure->aim != TD_AIM_NONE)
		printf("  (%s %g)", aims[figure->aim], figure->value);
	putchar('\n');
}

static json_t *row_json(const struct td_result *result, const struct td_figure *figure)
{
	static const char *const aims[] = {NULL, "least", "most", "bound"};
	json_t *row = json_pack("{s:s, s:s, s:s, s:i}", "group", result->name, "name", figure->name, "unit",
	    figure->unit, "rounds", (int)result->rounds);

	if (row && figure->aim != TD_AIM_NONE)
		json_object_set_new(row, aims[figure->aim], json_real(figure->value));
	return row;
}

static int figure_add(struct td_report *report, struct td_result *result, unsigned number)
{
	const struct td_figure *figure = &result->group->figures[number];
	struct summary summary = summarize(result->values[number], result->rounds);
	json_t *row = row_json(result, figure);

	row_print(figure, &summary, result->rounds);
	if (!row || json_object_set_new(row, "median", json_real(summary.median)) ||
	    json_object_set_new(row, "min", json_real(summary.min)) ||
	    json_object_set_new(row, "max", json_real(summary.max)) ||
	    json_array_append_new(report->rows, row))
		return -ENOMEM;
	if (figure->aim == TD_AIM_BOUND && summary.max > figure->value) {
		printf("  FAILED: more than %g\n", figure->value);
		return -ERANGE;
	}
	return 0;
}

int td_report_add(struct td_report *report, struct td_result *result)
{
	int ret = 0;

	puts(result->name);
	if (result->rounds == 0) {
		puts("  FAILED: it did not run");
		return -ERANGE;
	}
	for (unsigned i = 0; result->group->figures[i].name; i++) {
		int added = figure_add(report, result, i);

		ret = ret ? ret : added;
	}
	fflush(stdout);
	return ret;
}

int td_report_write(const struct td_report *report, const char *path)
{
	if (json_dump_file(report->root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9)))
		return errno ? -errno : -EIO;
	return 0;
}
