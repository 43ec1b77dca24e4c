// SPDX-License-Identifier: BSD-3-Clause
// Memory of SAs: counted from their own sizes, the outer header template and the SPI table; and, for many of
// them, what the kernel says is resident.

#include "bench/load/child.h"
#include "bench/micro/row.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB (1024.0 * 1024.0)
#define MALLOC_HEADER_BYTES 8 // glibc

static struct td_dp_tunnel *tunnel;
static struct td_child *children;
static size_t child_count;
static double resident_bytes;

// Of both SAs, without the SPI table. The slab rounds up to cache lines.
static size_t child_bytes(const struct td_child *child)
{
	return RTE_ALIGN_CEIL(child->in->alloc_bytes, RTE_CACHE_LINE_SIZE) +
	       RTE_ALIGN_CEIL(child->out->alloc_bytes, RTE_CACHE_LINE_SIZE) + MALLOC_HEADER_BYTES +
	       malloc_usable_size((void *)(uintptr_t)child->out->outer);
}

// Bytes of one child, or NAN.
static double pair_bytes(unsigned suite, unsigned window)
{
	static struct td_dp_tunnel nowhere; // an SA has a tunnel, also one that nobody sends on
	struct td_child child;
	struct td_sa_params params;

	td_child_params(&params, &nowhere, suite);
	params.replay_window = window;
	if (td_child_create(&child, &params))
		return NAN;
	// At its fullest before it grows, a table has four slots for an SA, and two at the least.
	size_t bytes = child_bytes(&child) + 4 * sizeof(struct td_spi_slot);
	td_child_remove(&child);
	return (double)bytes;
}

double td_memory_pair(uint64_t argument)
{
	return pair_bytes((unsigned)argument, TD_REPLAY_WINDOW_DEFAULT);
}

// The suite that takes most beside its schedules; argument is the window.
double td_memory_beside(uint64_t argument)
{
	double most = 0;

	for (unsigned suite = 0; suite < td_dp_suite_count(); suite++) {
		if (!td_dp_suite_available(suite))
			continue;
		double bytes =
		    pair_bytes(suite, (unsigned)argument) - 2.0 * td_suite_at(suite)->schedule_bytes;

		if (isnan(bytes))
			return NAN;
		most = RTE_MAX(most, bytes);
	}
	return most;
}

static double resident_now(void)
{
	unsigned long total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file)
		return NAN;
	if (fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident ? (double)resident * (double)sysconf(_SC_PAGESIZE) : NAN;
}

void td_memory_empty(void)
{
	for (size_t i = 0; i < child_count; i++) {
		td_child_remove(&children[i]);
		if (i % 512 == 0)
			td_dp_reclaim();
	}
	if (tunnel)
		td_dp_tunnel_remove(tunnel);
	free(children);
	children = NULL;
	child_count = 0;
	tunnel = NULL;
}

int td_memory_fill(uint64_t argument)
{
	double before = resident_now();
	unsigned suite = (unsigned)td_dp_suite_find(TD_SA_ESP, "aes256gcm16");

	children = calloc(argument, sizeof(children[0]));
	tunnel = td_dp_tunnel_create(0);
	if (!children || !tunnel)
		return -ENOMEM;
	for (child_count = 0; child_count < argument; child_count++) {
		struct td_child *child = &children[child_count];
		struct td_sa_params params;

		td_child_params(&params, tunnel, suite);
		if (td_child_create(child, &params))
			return -ENOMEM;
		if (td_child_publish(child)) {
			td_child_remove(child);
			return -ENOMEM;
		}
	}
	td_dp_reclaim();
	resident_bytes = resident_now() - before;
	return 0;
}

double td_memory_resident(uint64_t argument)
{
	(void)argument;
	return resident_bytes / MIB;
}

double td_memory_counted(uint64_t argument)
{
	const struct td_spi_array *array = td_dp.workers[0]->spi_table.array;
	double bytes = (array->mask + 1.0) * (double)sizeof(array->slots[0]);

	(void)argument;
	for (size_t i = 0; i < child_count; i++)
		bytes += (double)child_bytes(&children[i]);
	return bytes / MIB;
}
