// SPDX-License-Identifier: BSD-3-Clause
// The network between the engines: loses, repeats, delays, reorders and corrupts messages, or hands them to a
// script.

#include "tests/sim/sim.h"

#include "control/ike/message.h"

#include <stdlib.h>
#include <string.h>

static void message_due(void *context)
{
	sim_message_deliver(context);
}

static void message_free(struct sim_message *message)
{
	td_timers_cancel(&message->world->timers, &message->timer);
	TAILQ_REMOVE(&message->world->messages, message, all);
	free(message);
}

static struct sim_node *node_of(struct sim_world *world, const struct td_ip *ip)
{
	if (world->nat_ip.family && td_ip_equal(ip, &world->nat_ip))
		return &world->nodes[0];
	for (unsigned i = 0; i < world->node_count; i++)
		if (td_ip_equal(&world->nodes[i].ip, ip))
			return &world->nodes[i];
	return NULL;
}

// The NAT before node 0: others see another address and other ports. False: to a port of before a rebind.
static bool nat(const struct sim_world *world, struct sim_message *message)
{
	if (!world->nat_ip.family)
		return true;
	if (message->from->index == 0) {
		message->path.remote = world->nat_ip;
		message->path.remote_port = (uint16_t)(message->path.remote_port + world->nat_shift);
	} else if (message->to->index == 0) {
		message->path.local = message->to->ip;
		message->path.local_port = (uint16_t)(message->path.local_port - world->nat_shift);
		return message->path.local_port == TD_IKE_PORT ||
		       message->path.local_port == TD_IKE_NATT_PORT;
	}
	return true;
}

static struct sim_message *message_create(struct sim_node *from, struct sim_node *to,
    const struct td_path *path, const uint8_t *data, size_t length)
{
	struct sim_message *message = malloc(sizeof(*message) + length);

	if (!message)
		abort();
	*message = (struct sim_message){
	    .timer = {.fn = message_due, .context = message},
	    .world = from->world,
	    .from = from,
	    .to = to,
	    .path =
	        {
	            .local = path->remote,
	            .remote = path->local,
	            .local_port = path->remote_port,
	            .remote_port = path->local_port,
	        },
	    .sent_ns = from->world->now_ns,
	    .number = ++from->world->numbers,
	    .length = length,
	};
	memcpy(message->data, data, length);
	message->undeliverable = !nat(from->world, message);
	TAILQ_INSERT_TAIL(&from->world->messages, message, all);
	return message;
}

struct sim_message *sim_message_copy(const struct sim_message *message)
{
	struct sim_message *copy = malloc(sizeof(*copy) + message->length);

	if (!copy)
		abort();
	memcpy(copy, message, sizeof(*copy) + message->length);
	copy->timer = (struct td_timer){.fn = message_due, .context = copy};
	copy->number = ++copy->world->numbers;
	TAILQ_INSERT_TAIL(&copy->world->messages, copy, all);
	return copy;
}

static uint64_t delay(struct sim_world *world)
{
	const struct sim_weather *weather = &world->weather;

	if (weather->late_percent && sim_random_chance(&world->random, weather->late_percent))
		return sim_random_between(&world->random, weather->delay_max_ns, weather->late_ns);
	return sim_random_between(&world->random, weather->delay_min_ns, weather->delay_max_ns);
}

static void message_go(struct sim_message *message)
{
	struct sim_world *world = message->world;
	uint64_t takes = delay(world);

	if (message->world->trace) {
		char fate[32];

		(void)snprintf(fate, sizeof(fate), "+%.3f ms", (double)takes / 1e6);
		sim_trace_message(message, fate);
	}
	td_timers_set(&world->timers, &message->timer, world->now_ns + takes);
}

void sim_network_send(struct sim_node *from, const struct td_path *path, const uint8_t *data, size_t length)
{
	struct sim_world *world = from->world;
	const struct sim_weather *weather = &world->weather;
	struct sim_node *to = node_of(world, &path->remote);
	struct sim_message *message;

	if (from->must_be_silent)
		sim_fail(world, "%c sends while it is being destroyed", sim_letter(from));
	if (from->silent || !to)
		return;
	world->exchanges++;
	message = message_create(from, to, path, data, length);
	if (message->undeliverable) {
		sim_message_drop(message, "to a port that the NAT has given up");
		return;
	}
	if (world->by_hand && world->cut_until_ns[from->index][to->index] <= world->now_ns) {
		sim_trace_message(message, "held");
		return;
	}
	if (sim_random_chance(&world->random, weather->duplicate_percent))
		message_go(message_create(from, to, path, data, length));
	if (world->cut_until_ns[from->index][to->index] > world->now_ns) {
		sim_message_drop(message, "cut off");
		return;
	}
	if (sim_random_chance(&world->random, weather->loss_percent)) {
		sim_message_drop(message, "LOST");
		return;
	}
	if (sim_random_chance(&world->random, weather->corrupt_percent)) {
		message->data[sim_random_below(&world->random, length)] ^=
		    (uint8_t)(1u << sim_random_below(&world->random, 8));
		message->corrupt = true;
	}
	message_go(message);
}

// An answer that is there in one piece; one of IKE_SA_INIT proves nothing.
static void answer_note(const struct sim_message *message)
{
	struct sim_world *world = message->world;
	struct td_ike_header header;

	if (message->corrupt ||
	    td_ike_header_read((struct td_bytes){message->data, message->length}, &header) < 0 ||
	    !td_ike_is_response(&header) || header.exchange == TD_IKE_SA_INIT ||
	    header.next_payload != TD_IKE_PAYLOAD_SK)
		return;
	if (world->answer_count == world->answer_room) {
		world->answer_room = world->answer_room ? 2 * world->answer_room : 64;
		world->answers = realloc(world->answers, world->answer_room * sizeof(*world->answers));
		if (!world->answers)
			abort();
	}
	world->answers[world->answer_count++] = (struct sim_answer){
	    .spi_i = header.spi_i,
	    .spi_r = header.spi_r,
	    .id = header.message_id,
	    .to_initiator = !(header.flags & TD_IKE_FLAG_INITIATOR),
	};
}

bool sim_network_answered(
    const struct sim_world *world, uint64_t spi_i, uint64_t spi_r, uint32_t id, bool to_initiator)
{
	for (unsigned i = 0; i < world->answer_count; i++) {
		const struct sim_answer *answer = &world->answers[i];

		if (answer->spi_i == spi_i && answer->spi_r == spi_r && answer->id == id &&
		    answer->to_initiator == to_initiator)
			return true;
	}
	return false;
}

void sim_message_deliver(struct sim_message *message)
{
	struct sim_node *to = message->to;

	if (!to->ike) {
		sim_message_drop(message, "nobody there");
		return;
	}
	if (message->world->trace && message->world->by_hand)
		sim_trace_message(message, "delivered");
	else
		sim_trace(message->world, "%c  receives #%u", sim_letter(to), message->number);
	answer_note(message);
	td_ike_receive(to->ike, &message->path, (struct td_bytes){message->data, message->length});
	message_free(message);
}

void sim_message_drop(struct sim_message *message, const char *why)
{
	sim_trace_message(message, why);
	message_free(message);
}

void sim_network_free(struct sim_world *world)
{
	struct sim_message *message;

	while ((message = TAILQ_FIRST(&world->messages)))
		message_free(message);
	free(world->answers);
	world->answers = NULL;
}
