// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_hits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct td_dp_hits {
	struct td_retired retired;
	uint32_t number;
	uint64_t base[]; // what each worker's counter showed when it was given away
};

// Numbers that no worker counts under. Control thread.
struct free_number {
	struct free_number *next;
	uint32_t number;
};
static struct free_number *free_numbers;
static uint32_t used_numbers = TD_HITS_FIRST;

static uint64_t counter_read(unsigned worker, uint32_t number)
{
	return td_counter_read(&td_dp.workers[worker]->hits[number / TD_HITS_CHUNK][number % TD_HITS_CHUNK]);
}

// Workers find the chunk through a rule only, which is published later by a release store (policy.c).
static int chunk_make(struct td_worker *worker, uint32_t chunk)
{
	size_t size = TD_HITS_CHUNK * sizeof(uint64_t);

	if (worker->hits[chunk])
		return 0;
	worker->hits[chunk] = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	if (!worker->hits[chunk])
		return -ENOMEM;
	memset(worker->hits[chunk], 0, size);
	return 0;
}

int td_policy_hits_init(struct td_worker *worker)
{
	return chunk_make(worker, 0);
}

void td_policy_hits_fini(struct td_worker *worker)
{
	for (unsigned chunk = 0; chunk < TD_HITS_CHUNKS; chunk++)
		free(worker->hits[chunk]);
	// Numbers mean nothing without the counters.
	while (free_numbers) {
		struct free_number *item = free_numbers;

		free_numbers = item->next;
		free(item);
	}
	used_numbers = TD_HITS_FIRST;
}

uint32_t td_policy_hits_number(const struct td_dp_hits *hits)
{
	return hits ? hits->number : TD_HITS_UNREAD;
}

// Returns a number with chunks at every worker, or 0.
static uint32_t number_take(void)
{
	struct free_number *item = free_numbers;

	if (item) {
		uint32_t number = item->number;

		free_numbers = item->next;
		free(item);
		return number;
	}
	if (used_numbers == TD_HITS_CHUNK * TD_HITS_CHUNKS)
		return 0;
	for (unsigned i = 0; i < td_dp.worker_count; i++)
		if (chunk_make(td_dp.workers[i], used_numbers / TD_HITS_CHUNK))
			return 0;
	return used_numbers++;
}

struct td_dp_hits *td_dp_hits_create(void)
{
	struct td_dp_hits *hits = calloc(1, sizeof(*hits) + td_dp.worker_count * sizeof(hits->base[0]));

	if (!hits)
		return NULL;
	hits->number = number_take();
	if (!hits->number) {
		free(hits);
		return NULL;
	}
	for (unsigned i = 0; i < td_dp.worker_count; i++)
		hits->base[i] = counter_read(i, hits->number);
	return hits;
}

// The memory of the counter object becomes the note that its number is free, so this cannot fail.
static void hits_release(struct td_retired *retired)
{
	struct td_dp_hits *hits = RTE_PTR_SUB(retired, offsetof(struct td_dp_hits, retired));
	uint32_t number = hits->number;
	struct free_number *item = (struct free_number *)(void *)hits;

	_Static_assert(sizeof(*item) <= sizeof(*hits), "a note fits");
	*item = (struct free_number){.next = free_numbers, .number = number};
	free_numbers = item;
}

void td_dp_hits_remove(struct td_dp_hits *hits)
{
	if (hits)
		td_rcu_retire(&hits->retired, hits_release);
}

uint64_t td_dp_hits_read(const struct td_dp_hits *hits, unsigned worker)
{
	return hits ? counter_read(worker, hits->number) - hits->base[worker]
	            : counter_read(worker, TD_HITS_UNMATCHED);
}
