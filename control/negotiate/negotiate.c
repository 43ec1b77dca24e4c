// SPDX-License-Identifier: BSD-3-Clause
#include "control/negotiate/negotiate.h"

#include "common/clock.h"
#include "common/ike_spi.h"
#include "common/log.h"
#include "common/secret.h"
#include "control/negotiate/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- what the engine and the life cycle need ----------------------------------------------------

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	// The kernel's generator fails only before it is seeded, long before this program runs.
	if (td_random(bytes, length) < 0)
		abort();
}

static void message_send(void *context, const struct td_path *path, const uint8_t *message, size_t length)
{
	struct td_negotiate *negotiate = context;

	td_ike_sockets_send(negotiate->sockets, path, message, length);
}

static void message_received(void *context, const struct td_path *path, struct td_bytes message)
{
	td_negotiate_receive(context, path, message);
}

static int64_t unix_time(void *context)
{
	(void)context;
	return (int64_t)time(NULL);
}

// ---- events -----------------------------------------------------------------------------------

static void tell(const struct td_negotiate *negotiate, const struct td_negotiate_event *event)
{
	if (negotiate->fn)
		negotiate->fn(negotiate->context, event);
}

static void ike_event(void *context, const char *kind, const struct td_ike_peer *peer,
    const struct td_ike_sa *sa, const char *reason)
{
	const char *name = peer ? td_ike_peer_config(peer)->name : "?";

	(void)sa;
	if (strcmp(kind, "ike_failed") == 0 || strcmp(kind, "ike_dead") == 0 ||
	    strcmp(kind, "ike_refused") == 0 || strcmp(kind, "child_refused") == 0)
		td_log_warning("tunnel %s: %s", name, reason ? reason : kind);
	else
		td_log_info("tunnel %s: %s%s%s", name, kind, reason ? ": " : "", reason ? reason : "");
	tell(context, &(struct td_negotiate_event){.kind = kind, .tunnel = name, .reason = reason});
}

// ESP in UDP has the addresses and ports of IKE at port 4500.
static void ike_moved(void *context, const struct td_life_tunnel *life, const struct td_path *path)
{
	const struct td_negotiate *negotiate = context;
	const struct td_negotiate_tunnel *tunnel = td_life_tunnel_user(life);

	if (path->local_port == TD_IKE_NATT_PORT)
		td_sad_tunnel_move(negotiate->sad, tunnel->sad, &path->remote, path->remote_port);
}

static void tunnel_note(struct td_negotiate_tunnel *tunnel, const char *kind, const char *reason)
{
	if (strcmp(kind, "tunnel_connecting") == 0) {
		tunnel->connecting = true;
	} else if (strcmp(kind, "tunnel_up") == 0) {
		tunnel->connecting = false;
		tunnel->up_since_ns = td_clock_now_ns();
		tunnel->last_error[0] = '\0';
	} else if (strcmp(kind, "tunnel_down") == 0) {
		tunnel->up_since_ns = 0;
	} else if (strcmp(kind, "tunnel_failed") == 0) {
		tunnel->connecting = false;
		snprintf(tunnel->last_error, sizeof(tunnel->last_error), "%s", reason ? reason : "");
	}
}

static void life_event(void *context, const char *kind, const struct td_life_tunnel *life,
    const struct td_life_child *child, const char *reason)
{
	struct td_negotiate *negotiate = context;
	struct td_negotiate_tunnel *tunnel = td_life_tunnel_user(life);
	struct td_negotiate_event event = {
	    .kind = kind, .tunnel = tunnel->sad->config.name, .reason = reason};

	tunnel_note(tunnel, kind, reason);
	if (strncmp(kind, "tunnel_", strlen("tunnel_")) == 0)
		td_log_info(
		    "tunnel %s: %s%s%s", event.tunnel, kind, reason ? ": " : "", reason ? reason : "");
	if (child) {
		event.spi_in = child->spi_in;
		event.spi_out = child->spi_out;
		tunnel->rekeys += child->predecessor != NULL && strcmp(kind, "child_active") == 0;
	}
	tell(negotiate, &event);
}

// ---- from the SAD -----------------------------------------------------------------------------

static void sa_event(struct td_life_child *child, const char *kind)
{
	if (strcmp(kind, "sa_first_use") == 0)
		td_life_first_use(child);
	else if (strcmp(kind, "sa_soft_limit") == 0)
		td_life_soft_limit(child);
	else if (strcmp(kind, "sa_hard_limit") == 0)
		td_life_hard_limit(child);
}

void td_negotiate_sad_event(void *context, const char *kind, const struct td_sa *sa,
    const struct td_tunnel *tunnel, const struct td_event *event)
{
	struct td_negotiate *negotiate = context;
	const struct td_negotiate_tunnel *part = tunnel ? td_negotiate_part(tunnel) : NULL;
	struct td_life_tunnel *life = part ? part->life : NULL;

	if (sa && sa->user)
		sa_event(sa->user, kind);
	else if (strcmp(kind, "unknown_spi") == 0)
		td_ike_unknown_spi(negotiate->ike, &event->destination, &event->source, event->spi);
	else if (life && strcmp(kind, "acquire") == 0)
		td_life_acquire(life);
	else if (life && strcmp(kind, "peer_moved") == 0)
		td_ike_peer_moved(negotiate->ike, life, &event->source, event->source_port);
}

// ---- making and ending ------------------------------------------------------------------------

static int parts_make(struct td_negotiate *negotiate, struct td_error *error)
{
	struct td_timers *timers = td_loop_timers(negotiate->loop);
	struct td_life_env life_env = {
	    .timers = timers,
	    .random = random_fill,
	    .dataplane = td_negotiate_dataplane(negotiate),
	    .event_context = negotiate,
	    .event = life_event,
	};
	struct td_ike_env ike_env = {
	    .timers = timers,
	    .context = negotiate,
	    .random = random_fill,
	    .send = message_send,
	    .spi = td_ike_spi_make,
	    .unix_time = unix_time,
	    .wall_us = td_negotiate_wall_us,
	    .event = ike_event,
	    .moved = ike_moved,
	};

	negotiate->sockets = td_ike_sockets_create(negotiate->loop, message_received, negotiate);
	negotiate->life = td_lifecycle_create(&life_env);
	negotiate->ike = td_ike_create(&ike_env);
	if (!negotiate->sockets || !negotiate->life || !negotiate->ike)
		return td_error_set(error, -ENOMEM, "ike", NULL, "no memory");
	return 0;
}

static int tunnels_add(struct td_negotiate *negotiate, struct td_config *config, struct td_error *error)
{
	struct td_negotiate_read *read = td_negotiate_read(NULL, config, NULL, error);
	int ret = read ? 0 : -EINVAL;

	td_negotiate_begin(negotiate);
	for (unsigned i = 0; ret == 0 && i < config->tunnel_count; i++)
		ret = td_negotiate_tunnel_add(
		    negotiate, td_sad_tunnel_find(negotiate->sad, config->tunnels[i].name), read, i, error);
	td_negotiate_read_free(read);
	return ret;
}

struct td_negotiate *td_negotiate_create(struct td_loop *loop, struct td_config *config, struct td_sad *sad,
    td_negotiate_event_fn fn, void *context, struct td_error *error)
{
	struct td_negotiate *negotiate = calloc(1, sizeof(*negotiate));

	if (!negotiate) {
		(void)td_error_set(error, -ENOMEM, "ike", NULL, "no memory");
		return NULL;
	}
	*negotiate = (struct td_negotiate){.loop = loop, .sad = sad, .fn = fn, .context = context};
	snprintf(
	    negotiate->state_directory, sizeof(negotiate->state_directory), "%s", config->state_directory);
	TAILQ_INIT(&negotiate->peers);
	TAILQ_INIT(&negotiate->leaving_peers);
	TAILQ_INIT(&negotiate->tunnels);
	TAILQ_INIT(&negotiate->leaving);
	negotiate->leave_timer = (struct td_timer){.fn = td_negotiate_leave_due, .context = negotiate};
	if (parts_make(negotiate, error) == 0 && tunnels_add(negotiate, config, error) == 0)
		return negotiate;
	td_negotiate_destroy(negotiate);
	return NULL;
}

void td_negotiate_start(struct td_negotiate *negotiate)
{
	struct td_negotiate_tunnel *tunnel;

	TAILQ_FOREACH (tunnel, &negotiate->tunnels, entry)
		td_negotiate_tunnel_start(tunnel->sad);
}

bool td_negotiate_stop(struct td_negotiate *negotiate)
{
	bool told = !TAILQ_EMPTY(&negotiate->leaving);
	struct td_negotiate_tunnel *tunnel;

	TAILQ_FOREACH (tunnel, &negotiate->tunnels, entry) {
		told |= td_life_tunnel_is_up(tunnel->life);
		td_life_tunnel_down(tunnel->life);
	}
	return told;
}

void td_negotiate_destroy(struct td_negotiate *negotiate)
{
	if (!negotiate)
		return;
	negotiate->fn = NULL;
	td_ike_destroy(negotiate->ike);
	if (negotiate->life)
		td_lifecycle_destroy(negotiate->life);
	td_negotiate_tunnels_free(negotiate);
	td_negotiate_peers_free(negotiate);
	td_negotiate_freshness_stop(negotiate);
	td_ike_sockets_destroy(negotiate->sockets);
	td_wipe(negotiate->token_secret, sizeof(negotiate->token_secret));
	free(negotiate);
}

// ---- operators --------------------------------------------------------------------------------

void td_negotiate_tunnel_info(const struct td_negotiate *negotiate, const struct td_tunnel *tunnel,
    struct td_negotiate_tunnel_info *info)
{
	const struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);
	const struct td_life_stats *stats;

	(void)negotiate;
	*info = (struct td_negotiate_tunnel_info){.last_error = "", .state = "down"};
	if (!part)
		return;
	info->last_error = part->last_error;
	stats = td_life_tunnel_stats(part->life);
	info->negotiated = true;
	info->state = td_life_tunnel_is_up(part->life) ? "up" : part->connecting ? "connecting" : "down";
	for (unsigned slot = 0; slot < td_life_tunnel_config(part->life)->slots; slot++)
		for (const struct td_life_child *child = td_life_tunnel_children(part->life, slot); child;
		     child = child->next)
			info->children++;
	info->rekeys = part->rekeys;
	info->activated_by_traffic = stats->activated_by_traffic;
	info->failed = stats->failed;
	info->up_since_ns = part->up_since_ns;
}

static struct td_negotiate_tunnel *negotiated(const struct td_tunnel *tunnel, struct td_error *error)
{
	struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);

	if (part)
		return part;
	(void)td_error_set(
	    error, -EINVAL, tunnel->config.name, NULL, "is not negotiated: its SAs are injected");
	return NULL;
}

int td_negotiate_up(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error)
{
	struct td_negotiate_tunnel *part = negotiated(tunnel, error);

	(void)negotiate;
	if (!part)
		return -EINVAL;
	td_life_tunnel_up(part->life);
	return 0;
}

int td_negotiate_down(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error)
{
	struct td_negotiate_tunnel *part = negotiated(tunnel, error);

	(void)negotiate;
	if (!part)
		return -EINVAL;
	td_life_tunnel_down(part->life);
	return 0;
}

int td_negotiate_rekey(
    struct td_negotiate *negotiate, const struct td_tunnel *tunnel, bool ike, struct td_error *error)
{
	struct td_negotiate_tunnel *part = negotiated(tunnel, error);
	unsigned started;

	(void)negotiate;
	if (!part)
		return -EINVAL;
	started = ike ? td_ike_peer_rekey(part->peer->ike) : td_life_tunnel_rekey(part->life);
	return started ? 0
	               : td_error_set(error, -EBUSY, tunnel->config.name, NULL,
	                     "has nothing to rekey: it is down, or new keys are under way");
}

struct td_ike *td_negotiate_ike(const struct td_negotiate *negotiate)
{
	return negotiate->ike;
}
