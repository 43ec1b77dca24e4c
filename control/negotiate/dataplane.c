// SPDX-License-Identifier: BSD-3-Clause
// The SAD as the life cycle drives it: a child is an inbound and an outbound SA of one worker.

#include "common/log.h"
#include "common/secret.h"
#include "control/negotiate/internal.h"

#include <errno.h>

static struct td_tunnel *sad_tunnel(const struct td_life_tunnel *life)
{
	const struct td_negotiate_tunnel *tunnel = td_life_tunnel_user(life);

	return tunnel->sad;
}

// Slot 0 serves all workers and lies on one of them; slot w + 1 is worker w's.
static unsigned slot_owner(const struct td_life_tunnel *life, unsigned slot)
{
	return slot > 0 ? slot - 1 : sad_tunnel(life)->id % td_dp_worker_count();
}

// An SPI is not noted down: 26 random bits of the worker's own range do not meet again before the SA is
// there, and if they do the SA is refused and the negotiation done again.
static uint32_t spi_reserve(void *context, const struct td_life_tunnel *life, unsigned slot)
{
	struct td_negotiate *negotiate = context;
	uint32_t random;

	if (td_random(&random, sizeof(random)) < 0)
		return 0;
	return td_sad_spi_fresh(negotiate->sad, slot_owner(life, slot), random);
}

// A peer may choose any SPI: an owner whom it does not name gets the packets by a hand-off.
static bool spi_claim(void *context, const struct td_life_tunnel *life, unsigned slot, uint32_t spi)
{
	struct td_negotiate *negotiate = context;

	(void)life;
	(void)slot;
	return spi >= TD_SPI_MIN && td_sad_spi_is_free(negotiate->sad, spi);
}

static void spi_release(void *context, uint32_t spi)
{
	(void)context;
	(void)spi;
}

// What a child carries, in the words of the data plane.
struct selectors {
	struct td_dp_selector local[TD_TS_MAX], remote[TD_TS_MAX];
};

static void selectors_convert(const struct td_ts_list *list, struct td_dp_selector *selectors)
{
	for (unsigned i = 0; i < list->count; i++)
		selectors[i] = (struct td_dp_selector){
		    .low = list->list[i].low,
		    .high = list->list[i].high,
		    .protocol = list->list[i].protocol,
		    .port_low = list->list[i].port_low,
		    .port_high = list->list[i].port_high,
		};
}

// Where the peer took all of the tunnel's traffic, policy alone decides. Elsewhere the SAs carry only what
// was agreed on (RFC 7296 2.9).
static void narrow(const struct td_tunnel *tunnel, const struct td_life_offer *offer,
    struct selectors *selectors, struct td_sa_request *request)
{
	char ours[TD_TS_TEXT_MAX], theirs[TD_TS_TEXT_MAX];
	struct td_ts_list local, remote;

	td_negotiate_selectors(&tunnel->config, &local, &remote);
	if (td_ts_equal(&local, offer->ts_local) && td_ts_equal(&remote, offer->ts_remote))
		return;
	selectors_convert(offer->ts_local, selectors->local);
	selectors_convert(offer->ts_remote, selectors->remote);
	request->local_selectors = selectors->local;
	request->local_selector_count = offer->ts_local->count;
	request->remote_selectors = selectors->remote;
	request->remote_selector_count = offer->ts_remote->count;
	if (!offer->predecessor)
		td_log_warning(
		    "tunnel %s: the peer agrees to part of its traffic only: %u local selectors from %s, "
		    "%u remote ones from %s; the rest is dropped (policy_narrowed)",
		    tunnel->config.name, offer->ts_local->count,
		    td_ts_format(&offer->ts_local->list[0], ours), offer->ts_remote->count,
		    td_ts_format(&offer->ts_remote->list[0], theirs));
}

static int install(
    void *context, struct td_life_child *child, const struct td_life_offer *offer, struct td_error *error)
{
	struct td_negotiate *negotiate = context;
	struct td_tunnel *tunnel = sad_tunnel(child->tunnel);
	int suite = td_dp_suite_find(TD_SA_ESP, offer->suite);
	struct td_sa_request in = {
	    .spi = child->spi_in,
	    .tunnel = tunnel,
	    .owner = slot_owner(child->tunnel, child->slot),
	    .suite = (unsigned)suite,
	    .key = offer->key_in,
	    .esn = offer->esn,
	    .path = &offer->path,
	    .limits = td_life_tunnel_config(child->tunnel)->limits,
	    .user = child,
	};
	struct td_sa_request requests[2];
	struct selectors selectors;
	unsigned failed;
	int ret;

	if (suite < 0)
		return td_error_set(
		    error, suite, tunnel->config.name, "suite", "%s is not known", offer->suite);
	narrow(tunnel, offer, &selectors, &in);
	requests[0] = requests[1] = in;
	requests[1].spi = child->spi_out;
	requests[1].outbound = true;
	requests[1].key = offer->key_out;
	ret = td_sad_add(negotiate->sad, requests, 2, &failed, error);
	if (ret == 0)
		child->dataplane = child; // in the SAD
	return ret;
}

static struct td_sa_name out_name(const struct td_life_child *child)
{
	return (struct td_sa_name){
	    .tunnel = sad_tunnel(child->tunnel), .outbound = true, .spi = child->spi_out};
}

static struct td_sa_name in_name(const struct td_life_child *child)
{
	return (struct td_sa_name){.tunnel = sad_tunnel(child->tunnel), .spi = child->spi_in};
}

// These changes fail only when the SA is gone already, by its own drain timer or an operator's command.
static void ignore_gone(int ret, const struct td_error *error)
{
	if (ret < 0 && ret != -ENOENT)
		td_log_warning("%s: %s %s", error->object, error->field, error->reason);
}

static void switch_out(void *context, struct td_life_child *child)
{
	struct td_negotiate *negotiate = context;
	struct td_sa_name name = out_name(child);
	struct td_sa *sa = td_sad_sa_find_out(negotiate->sad, name.tunnel, name.spi);
	struct td_error error = {0};
	unsigned failed;

	// Not before: until now the peer may not have proved that it is there.
	if (sa)
		td_sad_tunnel_path(negotiate->sad, sa);
	ignore_gone(td_sad_switch(negotiate->sad, &name, 1, &failed, &error), &error);
}

static void out_remove(struct td_negotiate *negotiate, struct td_life_child *child)
{
	struct td_sa_name name = out_name(child);
	struct td_error error = {0};
	unsigned failed;

	ignore_gone(td_sad_remove(negotiate->sad, &name, 1, true, &failed, &error), &error);
}

static void stop_out(void *context, struct td_life_child *child)
{
	out_remove(context, child);
}

static void prove(void *context, struct td_life_child *child)
{
	(void)context;
	// Lost or not sent, it only makes the peer wait for other packets.
	(void)td_dp_dummy_send(sad_tunnel(child->tunnel)->dp, slot_owner(child->tunnel, child->slot));
}

// The SAD ends the drain of an inbound SA itself; the life cycle removes it at the same time, whichever is
// first.
static void drain(void *context, struct td_life_child *child)
{
	struct td_negotiate *negotiate = context;
	uint64_t drain_ms = td_life_tunnel_config(child->tunnel)->drain_ns / 1000000u;
	struct td_sa_name name = in_name(child);
	struct td_error error = {0};
	unsigned failed;

	ignore_gone(td_sad_drain(negotiate->sad, &name, 1, drain_ms + 1, &failed, &error), &error);
}

static void remove_both(void *context, struct td_life_child *child)
{
	struct td_negotiate *negotiate = context;
	struct td_sa_name name = in_name(child);
	struct td_error error = {0};
	unsigned failed;

	out_remove(negotiate, child);
	ignore_gone(td_sad_remove(negotiate->sad, &name, 1, true, &failed, &error), &error);
}

struct td_life_dataplane td_negotiate_dataplane(struct td_negotiate *negotiate)
{
	return (struct td_life_dataplane){
	    .context = negotiate,
	    .spi_reserve = spi_reserve,
	    .spi_release = spi_release,
	    .spi_claim = spi_claim,
	    .install = install,
	    .switch_out = switch_out,
	    .stop_out = stop_out,
	    .prove = prove,
	    .drain = drain,
	    .remove = remove_both,
	};
}
