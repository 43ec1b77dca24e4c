// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/accepted.h"

#include "common/limits.h"
#include "control/ike/crypto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_S 1000000u
#define NONE UINT32_MAX
#define SLOWER 8 // the clock loses one part of so many to come back to the system's

// Entries are numbered; they are in a chain of their bucket and in the order of acceptance.
struct entry {
	struct td_accepted_name name;
	uint64_t time_us;
	uint32_t chain; // next of the bucket
	uint32_t older, newer;
};

struct td_accepted {
	int (*save)(void *context, uint64_t bound_us);
	void *context;
	bool found; // the bound of the last run
	uint64_t start_us; // the system's clock when this began
	uint64_t bound_us; // on disk
	bool saving; // a later one is on its way there:
	uint64_t saving_us;
	unsigned put_off; // commits that came too early for it
	uint64_t floor_us; // nothing up to here is accepted
	uint64_t highest_us; // accepted
	uint64_t base_us, base_steady_us; // the clock was there then
	uint32_t capacity, used;
	uint32_t oldest, newest;
	uint32_t bucket_mask;
	uint32_t *buckets;
	struct entry entries[];
};

static int name_make(const struct td_bytes *parts, unsigned count, struct td_accepted_name *name)
{
	return td_sha256(parts, count, name->digest);
}

int td_accepted_name_key(const uint8_t static_key[32], struct td_accepted_name *name)
{
	const struct td_bytes parts[] = {{(const uint8_t *)"key", 3}, {static_key, 32}};

	return name_make(parts, 2, name);
}

int td_accepted_name_id(uint8_t type, const void *data, size_t length, struct td_accepted_name *name)
{
	const struct td_bytes parts[] = {{(const uint8_t *)"id", 2}, {&type, 1}, {data, length}};

	return name_make(parts, 3, name);
}

// How far ahead a time may be, and more: a window is counted in whole steps.
static uint64_t window_us_of(const struct td_freshness_window *window)
{
	return (uint64_t)window->step_s * (window->steps + 1ull) * US_PER_S;
}

struct td_accepted *td_accepted_create(const struct td_accepted_setup *setup)
{
	struct td_accepted *accepted =
	    calloc(1, sizeof(*accepted) + setup->capacity * sizeof(accepted->entries[0]));
	uint32_t buckets = 1;

	while (buckets < setup->capacity)
		buckets *= 2;
	if (!accepted)
		return NULL;
	accepted->buckets = malloc(buckets * sizeof(*accepted->buckets));
	if (!accepted->buckets) {
		free(accepted);
		return NULL;
	}
	for (uint32_t i = 0; i < buckets; i++)
		accepted->buckets[i] = NONE;
	accepted->bucket_mask = buckets - 1;
	accepted->capacity = setup->capacity;
	accepted->oldest = accepted->newest = NONE;
	accepted->save = setup->save;
	accepted->context = setup->context;
	// Without a bound: no clock that was right can have accepted more than a window from now.
	accepted->floor_us = setup->found ? setup->bound_us : setup->wall_us + window_us_of(&setup->window);
	accepted->found = setup->found;
	accepted->start_us = setup->wall_us;
	accepted->bound_us = accepted->highest_us = accepted->floor_us;
	accepted->base_us = accepted->floor_us + 1;
	accepted->base_steady_us = setup->steady_us;
	return accepted;
}

void td_accepted_free(struct td_accepted *accepted)
{
	if (accepted)
		free(accepted->buckets);
	free(accepted);
}

// ---- the table --------------------------------------------------------------------------------

static uint32_t *bucket_of(const struct td_accepted *accepted, const struct td_accepted_name *name)
{
	uint32_t hash;

	// A digest is spread well as it is.
	memcpy(&hash, name->digest, sizeof(hash));
	return &accepted->buckets[hash & accepted->bucket_mask];
}

static uint32_t find(const struct td_accepted *accepted, const struct td_accepted_name *name)
{
	uint32_t at = *bucket_of(accepted, name);

	while (at != NONE && memcmp(&accepted->entries[at].name, name, sizeof(*name)) != 0)
		at = accepted->entries[at].chain;
	return at;
}

static void order_remove(struct td_accepted *accepted, uint32_t at)
{
	struct entry *entry = &accepted->entries[at];

	if (entry->older != NONE)
		accepted->entries[entry->older].newer = entry->newer;
	else
		accepted->oldest = entry->newer;
	if (entry->newer != NONE)
		accepted->entries[entry->newer].older = entry->older;
	else
		accepted->newest = entry->older;
}

static void order_add(struct td_accepted *accepted, uint32_t at)
{
	struct entry *entry = &accepted->entries[at];

	entry->older = accepted->newest;
	entry->newer = NONE;
	if (accepted->newest != NONE)
		accepted->entries[accepted->newest].newer = at;
	else
		accepted->oldest = at;
	accepted->newest = at;
}

// Forgets the one that was accepted longest ago, but not its time.
static uint32_t forget(struct td_accepted *accepted)
{
	uint32_t at = accepted->oldest;
	struct entry *entry = &accepted->entries[at];
	uint32_t *link = bucket_of(accepted, &entry->name);

	while (*link != at)
		link = &accepted->entries[*link].chain;
	*link = entry->chain;
	order_remove(accepted, at);
	if (accepted->floor_us < entry->time_us)
		accepted->floor_us = entry->time_us;
	return at;
}

static void remember(struct td_accepted *accepted, const struct td_accepted_name *name, uint64_t time_us)
{
	uint32_t at = find(accepted, name);

	if (at != NONE) {
		order_remove(accepted, at);
	} else {
		uint32_t *bucket = bucket_of(accepted, name);

		at = accepted->used < accepted->capacity ? accepted->used++ : forget(accepted);
		accepted->entries[at].name = *name;
		accepted->entries[at].chain = *bucket;
		*bucket = at;
	}
	accepted->entries[at].time_us = time_us;
	order_add(accepted, at);
}

// ---- time -------------------------------------------------------------------------------------

uint64_t td_accepted_now(const struct td_accepted *accepted, uint64_t wall_us, uint64_t steady_us)
{
	uint64_t passed_us = steady_us - accepted->base_steady_us;
	uint64_t least_us = accepted->base_us + passed_us - passed_us / SLOWER;

	return wall_us > least_us ? wall_us : least_us;
}

void td_accepted_widen(struct td_accepted *accepted, const struct td_freshness_window *window,
    uint64_t wall_us, uint64_t steady_us)
{
	uint64_t floor_us = accepted->start_us + window_us_of(window);
	uint64_t now_us = td_accepted_now(accepted, wall_us, steady_us);

	if (accepted->found || floor_us <= accepted->floor_us)
		return;
	accepted->floor_us = floor_us;
	accepted->base_us = now_us > floor_us ? now_us : floor_us + 1;
	accepted->base_steady_us = steady_us;
}

// No time up to this one is taken of this initiator.
static uint64_t last_of(const struct td_accepted *accepted, const struct td_accepted_name *name)
{
	uint32_t at = find(accepted, name);

	if (at == NONE || accepted->entries[at].time_us < accepted->floor_us)
		return accepted->floor_us;
	return accepted->entries[at].time_us;
}

enum td_freshness_verdict td_accepted_check(
    const struct td_accepted *accepted, const struct td_accepted_name *name, uint64_t time_us)
{
	return time_us > last_of(accepted, name) ? TD_FRESHNESS_FRESH : TD_FRESHNESS_REPLAYED;
}

uint64_t td_accepted_tell(const struct td_accepted *accepted, const struct td_accepted_name *name,
    uint64_t wall_us, uint64_t steady_us)
{
	uint64_t now_us = td_accepted_now(accepted, wall_us, steady_us);
	uint64_t last_us = last_of(accepted, name);

	return now_us > last_us ? now_us : last_us + 1;
}

// ---- the bound --------------------------------------------------------------------------------

static int bound_save(struct td_accepted *accepted, uint64_t bound_us)
{
	int result = accepted->save(accepted->context, bound_us);

	if (result == 0) {
		accepted->bound_us = bound_us;
	} else if (result == -EINPROGRESS) {
		accepted->saving = true;
		accepted->saving_us = bound_us;
		result = 0;
	}
	return result;
}

void td_accepted_saved(struct td_accepted *accepted, int result)
{
	if (accepted->saving && result == 0)
		accepted->bound_us = accepted->saving_us;
	accepted->saving = false;
}

int td_accepted_commit(struct td_accepted *accepted, const struct td_accepted_name *name, uint64_t time_us,
    uint64_t wall_us, uint64_t steady_us)
{
	uint64_t now_us = td_accepted_now(accepted, wall_us, steady_us);
	int result = 0;

	if (td_accepted_check(accepted, name, time_us) != TD_FRESHNESS_FRESH)
		return -EALREADY;
	if (time_us > accepted->bound_us && !accepted->saving)
		result = bound_save(accepted, (time_us > now_us ? time_us : now_us) + TD_ONERTT_RESERVE_US);
	if (result)
		return result;
	if (time_us > accepted->bound_us) {
		accepted->put_off++;
		return -EAGAIN;
	}
	remember(accepted, name, time_us);
	if (accepted->highest_us < time_us)
		accepted->highest_us = time_us;
	// From here on the clock does not go back behind now_us, whatever the system's does.
	accepted->base_us = now_us;
	accepted->base_steady_us = steady_us;
	return 0;
}

unsigned td_accepted_put_off(const struct td_accepted *accepted)
{
	return accepted->put_off;
}

int td_accepted_tick(struct td_accepted *accepted, uint64_t wall_us, uint64_t steady_us)
{
	uint64_t now_us = td_accepted_now(accepted, wall_us, steady_us);

	// Nothing was accepted for long: nobody needs it.
	if (accepted->saving || now_us > accepted->highest_us + 2 * TD_ONERTT_RESERVE_US ||
	    accepted->bound_us > now_us + TD_ONERTT_RESERVE_US / 2)
		return 0;
	return bound_save(accepted, now_us + TD_ONERTT_RESERVE_US);
}

int td_accepted_settle(struct td_accepted *accepted)
{
	return accepted->bound_us == accepted->highest_us ? 0 : bound_save(accepted, accepted->highest_us);
}
