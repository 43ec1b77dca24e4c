// SPDX-License-Identifier: BSD-3-Clause
#include "control/watch/tracer.h"

#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256
#define STEPS_MAX 96 // of one packet; fragments of it go on under the same number
// Candidates of a trace for a drop reason: those that have not ended yet. The oldest go first.
#define SLOTS 4096
// Fragments of a packet end one after the other.
#define SETTLE_NS (100 * TD_NS_PER_MS)
// Longer than any packet waits (TD_ACQUIRE_HOLD_MS): what has not ended by then has lost its last record.
#define GIVE_UP_NS ((TD_ACQUIRE_HOLD_MS + 2000) * TD_NS_PER_MS)

_Static_assert(SLOTS >= TD_TRACE_PACKETS_MAX, "a packet's slot is its own");

struct td_tracer {
	bool running;
	bool by_drop;
	int drop; // reason that packets must end with, -1: any
	unsigned wanted, kept_count;
	uint64_t age_ns; // of the trace at the last look
	uint64_t lost; // of a trace that has ended
	struct td_trace_packet *slots[SLOTS]; // by the number of the data plane
	struct td_trace_packet *kept[TD_TRACE_PACKETS_MAX];
};

static void packet_free(struct td_trace_packet *packet)
{
	if (packet)
		free(packet->steps);
	free(packet);
}

// Frees candidates, and with them all that the trace has kept.
static void packets_forget(struct td_tracer *tracer)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (tracer->slots[i] && !tracer->slots[i]->kept)
			packet_free(tracer->slots[i]);
	for (unsigned i = 0; i < tracer->kept_count; i++)
		packet_free(tracer->kept[i]);
	memset(tracer->slots, 0, sizeof(tracer->slots));
	tracer->kept_count = 0;
}

struct td_tracer *td_tracer_create(void)
{
	return calloc(1, sizeof(struct td_tracer));
}

void td_tracer_destroy(struct td_tracer *tracer)
{
	if (!tracer)
		return;
	td_tracer_stop(tracer);
	packets_forget(tracer);
	free(tracer);
}

// ---- packets ----------------------------------------------------------------------------------

static void packet_keep(struct td_tracer *tracer, struct td_trace_packet *packet)
{
	if (packet->kept || tracer->kept_count == tracer->wanted)
		return;
	packet->kept = true;
	tracer->kept[tracer->kept_count++] = packet;
	packet->number = tracer->kept_count;
}

static void slot_clear(struct td_tracer *tracer, unsigned slot)
{
	if (tracer->slots[slot] && !tracer->slots[slot]->kept)
		packet_free(tracer->slots[slot]);
	tracer->slots[slot] = NULL;
}

// Workers' clocks agree to less than a handoff takes, so sorting by time is the order of events. Records of
// one worker come in order.
static void step_add(struct td_trace_packet *packet, const struct td_trace_record *record)
{
	unsigned at = packet->step_count;

	if (packet->step_count == packet->step_room && packet->step_room < STEPS_MAX) {
		unsigned room = packet->step_room ? packet->step_room * 2 : 12;
		struct td_trace_record *steps = realloc(packet->steps, room * sizeof(*steps));

		if (steps) {
			packet->steps = steps;
			packet->step_room = room;
		}
	}
	if (packet->step_count == packet->step_room) {
		packet->steps_lost++;
		return;
	}
	for (; at > 0 && packet->steps[at - 1].ns > record->ns; at--)
		packet->steps[at] = packet->steps[at - 1];
	packet->steps[at] = *record;
	packet->step_count++;
}

static bool is_end(const struct td_trace_record *record)
{
	return record->step == TD_TRACE_SENT || record->step == TD_TRACE_DROPPED ||
	       record->step == TD_TRACE_PUNTED;
}

static void record_take(struct td_tracer *tracer, const struct td_trace_record *record)
{
	unsigned slot = record->packet % SLOTS;
	struct td_trace_packet *packet = tracer->slots[slot];

	if (!packet || packet->id != record->packet) {
		slot_clear(tracer, slot);
		packet = tracer->slots[slot] = calloc(1, sizeof(*packet));
		if (!packet)
			return;
		packet->id = record->packet;
	}
	step_add(packet, record);
	packet->last_ns = record->ns;
	packet->ended |= is_end(record);
	if (!tracer->by_drop || (record->step == TD_TRACE_DROPPED && record->code == tracer->drop))
		packet_keep(tracer, packet);
	else if (packet->ended)
		slot_clear(tracer, slot);
}

static int by_time(const void *a, const void *b)
{
	const struct td_trace_record *left = a, *right = b;

	return (left->ns > right->ns) - (left->ns < right->ns);
}

static unsigned records_take(struct td_tracer *tracer)
{
	struct td_trace_record records[BATCH];
	unsigned count = td_dp_trace_receive(records, BATCH);

	// They come worker by worker, but a packet may have gone to and fro.
	qsort(records, count, sizeof(*records), by_time);
	for (unsigned i = 0; i < count; i++)
		record_take(tracer, &records[i]);
	return count;
}

// ---- trace ------------------------------------------------------------------------------------

int td_tracer_start(struct td_tracer *tracer, const struct td_dp_filter *filter, unsigned count, int worker,
    struct td_error *error)
{
	td_tracer_stop(tracer);
	if (td_dp_trace_start(filter, count, worker))
		return td_error_set(error, -ENOMEM, "trace", "", "there is not enough memory");
	packets_forget(tracer);
	tracer->by_drop = filter->drop >= 0;
	tracer->drop = filter->drop;
	tracer->wanted = count;
	tracer->age_ns = tracer->lost = 0;
	tracer->running = true;
	return 0;
}

void td_tracer_stop(struct td_tracer *tracer)
{
	if (!tracer->running)
		return;
	// What comes meanwhile is not waited for.
	for (unsigned round = 0; round < TD_TRACE_RING / BATCH && records_take(tracer) > 0; round++)
		;
	tracer->lost = td_dp_trace_lost();
	tracer->running = false;
	td_dp_trace_stop();
}

bool td_tracer_is_complete(const struct td_tracer *tracer, const struct td_trace_packet *packet)
{
	uint64_t quiet_ns = tracer->age_ns > packet->last_ns ? tracer->age_ns - packet->last_ns : 0;

	return !tracer->running || quiet_ns > (packet->ended ? SETTLE_NS : GIVE_UP_NS);
}

static bool is_done(const struct td_tracer *tracer)
{
	// A packet whose first record found no room is missing for good.
	if (tracer->kept_count < tracer->wanted && !(td_dp_trace_full() && td_dp_trace_lost() > 0))
		return false;
	for (unsigned i = 0; i < tracer->kept_count; i++)
		if (!td_tracer_is_complete(tracer, tracer->kept[i]))
			return false;
	return true;
}

bool td_tracer_tick(struct td_tracer *tracer)
{
	unsigned count;

	if (!tracer->running)
		return false;
	count = records_take(tracer);
	tracer->age_ns = td_dp_trace_age_ns();
	if (count == 0 && is_done(tracer))
		td_tracer_stop(tracer);
	return count > 0;
}

void td_tracer_state(const struct td_tracer *tracer, struct td_tracer_state *state)
{
	*state = (struct td_tracer_state){
	    .running = tracer->running,
	    .wanted = tracer->wanted,
	    .packets = tracer->kept_count,
	    .lost = tracer->running ? td_dp_trace_lost() : tracer->lost,
	};
}

const struct td_trace_packet *td_tracer_packet(const struct td_tracer *tracer, unsigned index)
{
	return tracer->kept[index];
}
