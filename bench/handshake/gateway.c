// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/gateway.h"

#include "bench/handshake/pki.h"
#include "common/secret.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define SPI_FIRST 0x1000u

struct td_parcel {
	TAILQ_ENTRY(td_parcel) entry;
	uint64_t arrival_ns;
	struct td_path path; // as the receiver sees it
	uint32_t spi; // of a dummy packet; 0: a message
	size_t length;
	uint8_t data[];
};

// ---- between the gateways -----------------------------------------------------------------------

static void send(
    struct td_gateway *gateway, const struct td_path *path, uint32_t spi, const uint8_t *data, size_t length)
{
	struct td_parcel *parcel = gateway->deaf ? NULL : malloc(sizeof(*parcel) + length);

	if (!parcel)
		return; // lost, as it can be on a network
	*parcel = (struct td_parcel){
	    .arrival_ns = gateway->timers.now_ns + gateway->latency_ns, .spi = spi, .length = length};
	if (path)
		parcel->path = (struct td_path){.local = path->remote,
		    .remote = path->local,
		    .local_port = path->remote_port,
		    .remote_port = path->local_port};
	if (length)
		memcpy(parcel->data, data, length);
	TAILQ_INSERT_TAIL(&gateway->other->inbox, parcel, entry);
}

static void message_send(void *context, const struct td_path *path, const uint8_t *message, size_t length)
{
	send(context, path, 0, message, length);
}

uint64_t td_gateway_next_ns(const struct td_gateway *gateway)
{
	const struct td_parcel *parcel = TAILQ_FIRST(&gateway->inbox);

	return parcel ? parcel->arrival_ns : UINT64_MAX;
}

bool td_gateway_take(struct td_gateway *gateway)
{
	struct td_parcel *parcel = TAILQ_FIRST(&gateway->inbox);

	if (!parcel || parcel->arrival_ns > gateway->timers.now_ns)
		return false;
	TAILQ_REMOVE(&gateway->inbox, parcel, entry);
	if (parcel->spi == 0)
		td_ike_receive(gateway->ike, &parcel->path, (struct td_bytes){parcel->data, parcel->length});
	else if (gateway->children[parcel->spi - SPI_FIRST])
		td_life_first_use(gateway->children[parcel->spi - SPI_FIRST]);
	free(parcel);
	return true;
}

void td_gateway_run(struct td_gateway *gateway)
{
	while (td_gateway_take(gateway) || td_timers_run_one(&gateway->timers, gateway->timers.now_ns))
		;
}

// ---- the data plane -----------------------------------------------------------------------------

static uint32_t spi_reserve(void *context, const struct td_life_tunnel *tunnel, unsigned slot)
{
	struct td_gateway *gateway = context;

	(void)tunnel;
	(void)slot;
	if (gateway->spi_count == gateway->spi_room) {
		size_t room = gateway->spi_room ? 2 * gateway->spi_room : 1024;
		struct td_life_child **children =
		    realloc(gateway->children, room * sizeof(gateway->children[0]));

		if (!children)
			return 0;
		gateway->children = children;
		gateway->spi_room = room;
	}
	gateway->children[gateway->spi_count] = NULL;
	return SPI_FIRST + (uint32_t)gateway->spi_count++;
}

static void spi_release(void *context, uint32_t spi)
{
	(void)context;
	(void)spi;
}

static int install(
    void *context, struct td_life_child *child, const struct td_life_offer *offer, struct td_error *error)
{
	struct td_gateway *gateway = context;

	(void)error;
	gateway->children[offer->spi_in - SPI_FIRST] = child;
	return 0;
}

static void prove(void *context, struct td_life_child *child)
{
	struct td_gateway *gateway = context;

	if (gateway->proves)
		send(gateway, NULL, child->spi_out, NULL, 0);
}

static void nothing_to_do(void *context, struct td_life_child *child)
{
	(void)context;
	(void)child;
}

static void remove_child(void *context, struct td_life_child *child)
{
	struct td_gateway *gateway = context;

	gateway->children[child->spi_in - SPI_FIRST] = NULL;
}

size_t td_gateway_model_bytes(const struct td_gateway *gateway)
{
	return gateway->children ? malloc_usable_size(gateway->children) : 0;
}

// ---- what is passed in ------------------------------------------------------------------------

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	if (td_random(bytes, length) < 0)
		abort();
}

static int64_t unix_time(void *context)
{
	(void)context;
	return TD_PKI_NOW;
}

static uint64_t wall_us(void *context)
{
	const struct td_gateway *gateway = context;

	return TD_PKI_NOW * 1000000ull + gateway->timers.now_ns / 1000;
}

static void switched(
    struct td_gateway *gateway, const struct td_life_tunnel *tunnel, const struct td_life_child *child)
{
	const struct td_life_child *old = child->predecessor;
	uint64_t hard_ns = td_life_tunnel_config(tunnel)->hard_ns, now_ns = gateway->timers.now_ns;

	if (!old)
		return;
	gateway->stats.rekeyed++;
	uint64_t end_ns = old->installed_ns + hard_ns;
	uint64_t slack_ns = hard_ns == 0 ? UINT64_MAX : end_ns > now_ns ? end_ns - now_ns : 0;
	if (slack_ns < gateway->stats.slack_min_ns)
		gateway->stats.slack_min_ns = slack_ns;
}

static void life_event(void *context, const char *kind, const struct td_life_tunnel *tunnel,
    const struct td_life_child *child, const char *reason)
{
	struct td_gateway *gateway = context;

	(void)reason;
	if (strcmp(kind, "child_switched") == 0)
		switched(gateway, tunnel, child);
	gateway->stats.up += strcmp(kind, "tunnel_up") == 0;
	gateway->stats.down += strcmp(kind, "tunnel_down") == 0;
	gateway->stats.expired += strcmp(kind, "child_expired") == 0;
	gateway->stats.failed += strcmp(kind, "tunnel_failed") == 0;
}

// ---- starting and stopping --------------------------------------------------------------------

int td_gateway_start(struct td_gateway *gateway, struct td_gateway *other)
{
	struct td_ike_env ike = {
	    .timers = &gateway->timers,
	    .context = gateway,
	    .random = random_fill,
	    .send = message_send,
	    .unix_time = unix_time,
	    .wall_us = wall_us,
	};
	struct td_life_env life = {
	    .timers = &gateway->timers,
	    .random_context = gateway,
	    .random = random_fill,
	    .dataplane =
	        {
	            .context = gateway,
	            .spi_reserve = spi_reserve,
	            .spi_release = spi_release,
	            .install = install,
	            .switch_out = nothing_to_do,
	            .stop_out = nothing_to_do,
	            .prove = prove,
	            .drain = nothing_to_do,
	            .remove = remove_child,
	        },
	    .event_context = gateway,
	    .event = life_event,
	};

	*gateway = (struct td_gateway){.other = other, .proves = true, .stats = {.slack_min_ns = UINT64_MAX}};
	TAILQ_INIT(&gateway->inbox);
	gateway->timers.now_ns = 1;
	gateway->ike = td_ike_create(&ike);
	gateway->life = td_lifecycle_create(&life);
	return gateway->ike && gateway->life ? 0 : -ENOMEM;
}

static int save_nowhere(void *context, uint64_t bound_us)
{
	(void)context;
	(void)bound_us;
	return 0;
}

int td_gateway_remember(struct td_gateway *gateway, unsigned initiators)
{
	const struct td_accepted_setup setup = {
	    .window = {.step_s = 30, .steps = 1},
	    .capacity = initiators,
	    .found = true,
	    .wall_us = wall_us(gateway),
	    .steady_us = gateway->timers.now_ns / 1000,
	    .save = save_nowhere,
	};

	gateway->accepted = td_accepted_create(&setup);
	if (!gateway->accepted)
		return -ENOMEM;
	td_ike_accepted_set(gateway->ike, gateway->accepted);
	return 0;
}

void td_gateway_stop(struct td_gateway *gateway)
{
	struct td_parcel *parcel;

	td_ike_destroy(gateway->ike);
	td_lifecycle_destroy(gateway->life);
	while ((parcel = TAILQ_FIRST(&gateway->inbox))) {
		TAILQ_REMOVE(&gateway->inbox, parcel, entry);
		free(parcel);
	}
	td_accepted_free(gateway->accepted);
	gateway->accepted = NULL;
	free(gateway->children);
	gateway->children = NULL;
	gateway->ike = NULL;
	gateway->life = NULL;
}
