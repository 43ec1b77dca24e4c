// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdlib.h>

static inline int td_median_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

// Sorts the values, of which there is at least one.
static inline double td_median(double *values, unsigned count)
{
	qsort(values, count, sizeof(values[0]), td_median_compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}
