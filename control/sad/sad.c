// SPDX-License-Identifier: BSD-3-Clause
// The SAD itself: tunnels, lifetimes and what the workers tell.
#include "control/sad/sad.h"
#include "common/clock.h"
#include "control/sad/internal.h"

#include <errno.h>
#include <stdlib.h>

struct td_sad *td_sad_create(struct td_loop *loop, const struct td_config *config, td_sad_event_fn fn,
    void *context, struct td_error *error)
{
	struct td_sad *sad = calloc(1, sizeof(*sad));

	if (!sad) {
		td_error_set(error, -ENOMEM, "tunnels", NULL, "there is not enough memory");
		return NULL;
	}
	sad->loop = loop;
	sad->worker_count = td_dp_worker_count();
	TAILQ_INIT(&sad->all);
	if (td_used_keys_init(&sad->used, TD_USED_KEYS_MAX)) {
		td_error_set(error, -EIO, "tunnels", NULL, "the kernel gave no random bytes (getrandom)");
		td_sad_destroy(sad);
		return NULL;
	}
	if (td_sad_tunnels_create(sad, config)) {
		td_error_set(error, -ENOMEM, "tunnels", NULL, "there is not enough memory for %u tunnels",
		    config->tunnel_count);
		td_sad_destroy(sad);
		return NULL;
	}
	sad->fn = fn;
	sad->context = context;
	return sad;
}

void td_sad_destroy(struct td_sad *sad)
{
	if (!sad)
		return;
	sad->fn = NULL;
	for (unsigned i = 0; i < sad->tunnel_end; i++)
		if (sad->tunnels[i])
			td_sad_tunnel_remove(sad, &sad->tunnels[i]->tunnel);
	free(sad->tunnels);
	td_hash_free(&sad->names);
	td_hash_free(&sad->coming);
	td_hash_free(&sad->in);
	td_hash_free(&sad->out);
	td_hash_free(&sad->keys);
	td_used_keys_free(&sad->used);
	free(sad);
}

void td_sad_tell(
    struct td_sad *sad, const char *kind, const struct td_sad_entry *entry, const struct td_event *event)
{
	if (sad->fn)
		sad->fn(sad->context, kind, &entry->sa, entry->sa.tunnel, event);
}

void td_sad_entry_remove(struct td_sad_entry *entry)
{
	struct td_sad *sad = entry->sad;

	if (entry == sad->visited)
		sad->visited = NULL;
	if (entry == sad->next)
		sad->next = TAILQ_NEXT(entry, all);
	td_sad_timers_cancel(entry);
	if (entry->sa.outbound) {
		td_sad_slots_release(entry);
		td_dp_sa_out_remove(entry->sa.out);
		entry->sa.out = NULL;
		td_used_keys_add(&sad->used, &entry->fingerprint);
	} else {
		td_dp_sa_in_remove(entry->sa.in);
		entry->sa.in = NULL;
	}
	td_sad_unlink(sad, entry);
	td_sad_tell(sad, "sa_removed", entry, NULL);
	free(entry);
}

// ---- lifetimes --------------------------------------------------------------------------------

static void soft_limit(struct td_sad_entry *entry, const struct td_event *event)
{
	// A successor is there already, or nothing is left to replace.
	if (entry->sa.state != TD_SA_PENDING && entry->sa.state != TD_SA_ACTIVE)
		return;
	td_sad_tell(entry->sad, "sa_soft_limit", entry, event);
}

// An expired inbound SA stays for the drain time, so that what still arrives is counted as expired and
// not as unknown. An expired outbound SA stays in its slots: traffic is dropped, never sent in plaintext.
// Telling comes last, as with everything that is told: whoever hears of it may remove the SA.
static void hard_limit(struct td_sad_entry *entry, const struct td_event *event)
{
	struct td_sa *sa = &entry->sa;

	if (sa->state == TD_SA_EXPIRED)
		return;
	// A drain that is under way ends when it was going to.
	uint64_t end_ns = td_clock_now_ns() + sa->tunnel->config.drain_ms * TD_NS_PER_MS;
	if (sa->state == TD_SA_DRAINING && sa->hard_timer.armed && sa->hard_timer.deadline_ns < end_ns)
		end_ns = sa->hard_timer.deadline_ns;
	sa->state = TD_SA_EXPIRED;
	td_loop_timer_cancel(entry->sad->loop, &sa->soft_timer);
	td_loop_timer_cancel(entry->sad->loop, &sa->hard_timer);
	if (sa->outbound)
		td_dp_sa_out_stop(sa->out);
	else
		td_dp_sa_in_stop(sa->in);
	if (!sa->outbound)
		td_loop_timer_set(entry->sad->loop, &sa->hard_timer, end_ns);
	td_sad_tell(entry->sad, "sa_hard_limit", entry, event);
}

static struct td_event time_event(const struct td_sad_entry *entry, enum td_event_kind kind)
{
	return (struct td_event){
	    .kind = kind,
	    .limit = TD_LIMIT_TIME,
	    .spi = entry->sa.spi,
	    .tunnel = entry->sa.tunnel->id,
	    .outbound = entry->sa.outbound,
	    .worker = (uint16_t)entry->sa.owner,
	};
}

static void soft_timer_fired(void *context)
{
	struct td_sad_entry *entry = context;
	struct td_event event = time_event(entry, TD_EVENT_SOFT_LIMIT);

	soft_limit(entry, &event);
}

static void hard_timer_fired(void *context)
{
	struct td_sad_entry *entry = context;
	struct td_event event = time_event(entry, TD_EVENT_HARD_LIMIT);
	bool drained = entry->sa.state == TD_SA_DRAINING || entry->sa.state == TD_SA_EXPIRED;

	if (drained && !entry->sa.outbound)
		td_sad_entry_remove(entry);
	else
		hard_limit(entry, &event);
}

void td_sad_timers_arm(struct td_sad_entry *entry)
{
	struct td_loop *loop = entry->sad->loop;
	struct td_sa *sa = &entry->sa;

	sa->soft_timer.fn = soft_timer_fired;
	sa->soft_timer.context = entry;
	sa->hard_timer.fn = hard_timer_fired;
	sa->hard_timer.context = entry;
	if (sa->soft_time_ms)
		td_loop_timer_set(loop, &sa->soft_timer, sa->created_ns + sa->soft_time_ms * TD_NS_PER_MS);
	if (sa->hard_time_ms)
		td_loop_timer_set(loop, &sa->hard_timer, sa->created_ns + sa->hard_time_ms * TD_NS_PER_MS);
}

void td_sad_timers_cancel(struct td_sad_entry *entry)
{
	td_loop_timer_cancel(entry->sad->loop, &entry->sa.soft_timer);
	td_loop_timer_cancel(entry->sad->loop, &entry->sa.hard_timer);
}

// ---- events of the workers --------------------------------------------------------------------

static struct td_sad_entry *event_entry(const struct td_sad *sad, const struct td_event *event)
{
	const struct td_tunnel *tunnel = td_sad_tunnel_at(sad, event->tunnel);
	struct td_sa *sa = NULL;

	if (!event->outbound)
		sa = td_sad_sa_find_in(sad, event->spi);
	else if (tunnel)
		sa = td_sad_sa_find_out(sad, tunnel, event->spi);
	// An event may be older than the SA that has the SPI now; here another tunnel gives that away, the
	// statistics do the rest.
	if (sa && sa->tunnel->id != event->tunnel)
		return NULL;
	return sa ? td_sad_entry_of(sa) : NULL;
}

static struct td_sa_stats stats_read(const struct td_sa *sa)
{
	struct td_sa_stats stats;

	if (sa->outbound)
		td_dp_sa_out_stats(sa->out, &stats);
	else
		td_dp_sa_in_stats(sa->in, &stats);
	return stats;
}

// The soft limit that the counters have reached, or TD_LIMIT_TIME: none. The sequence space of an outbound SA
// counts as one (RFC 4303 3.3.3).
static enum td_limit_kind soft_reached(const struct td_sa *sa, const struct td_sa_stats *stats)
{
	uint64_t sequence_soft = sa->esn ? UINT64_MAX - 1 : UINT32_MAX - TD_SEQ_SOFT_LEFT;

	if (sa->limits.soft_packets && stats->packets >= sa->limits.soft_packets)
		return TD_LIMIT_PACKETS;
	if (sa->limits.soft_bytes && stats->bytes >= sa->limits.soft_bytes)
		return TD_LIMIT_BYTES;
	if (sa->outbound && stats->sequence >= sequence_soft)
		return TD_LIMIT_SEQUENCE;
	return TD_LIMIT_TIME;
}

static enum td_limit_kind hard_reached(const struct td_sa *sa, const struct td_sa_stats *stats)
{
	if (sa->limits.hard_packets && stats->packets >= sa->limits.hard_packets)
		return TD_LIMIT_PACKETS;
	if (sa->limits.hard_bytes && stats->bytes >= sa->limits.hard_bytes)
		return TD_LIMIT_BYTES;
	return TD_LIMIT_SEQUENCE;
}

static void first_use(struct td_sad_entry *entry, const struct td_event *event)
{
	if (entry->sa.outbound || entry->sa.first_used_ns)
		return;
	entry->sa.first_used_ns = td_clock_now_ns();
	if (entry->sa.state == TD_SA_PENDING)
		entry->sa.state = TD_SA_ACTIVE;
	td_sad_tell(entry->sad, "sa_first_use", entry, event);
}

static void counted_soft_limit(struct td_sad_entry *entry, const struct td_event *event)
{
	// The worker tells once; what was worked out before its event came has been told.
	if (entry->soft_told)
		return;
	entry->soft_told = true;
	soft_limit(entry, event);
}

// A worker counts first and tells then: what an event says can be seen in the statistics of its SA.
static void sa_event(struct td_sad_entry *entry, const struct td_event *event)
{
	struct td_sa_stats stats = stats_read(&entry->sa);

	switch (event->kind) {
	case TD_EVENT_FIRST_USE:
		if (stats.packets > 0)
			first_use(entry, event);
		return;
	case TD_EVENT_AUTH_BURST:
		if (stats.auth_failed > 0)
			td_sad_tell(entry->sad, "sa_auth_failures", entry, event);
		return;
	case TD_EVENT_SOFT_LIMIT:
		if (soft_reached(&entry->sa, &stats) != TD_LIMIT_TIME)
			counted_soft_limit(entry, event);
		return;
	case TD_EVENT_HARD_LIMIT:
		if (stats.stopped)
			hard_limit(entry, event);
		return;
	case TD_EVENT_UNKNOWN_SPI:
	case TD_EVENT_ACQUIRE:
	case TD_EVENT_RESOLVE:
	case TD_EVENT_PEER_MOVED:
	case TD_EVENT_PMTU:
		return; // not about an SA's life
	}
}

// What is told may remove the entry: it is there as long as it is visited.
static void visited_reconcile(struct td_sad *sad)
{
	struct td_sad_entry *entry = sad->visited;
	const struct td_sa_stats stats = stats_read(&entry->sa);
	enum td_limit_kind soft = soft_reached(&entry->sa, &stats), hard = hard_reached(&entry->sa, &stats);
	struct td_event event = time_event(entry, TD_EVENT_FIRST_USE);

	if (stats.packets > 0)
		first_use(entry, &event);
	if (sad->visited && soft != TD_LIMIT_TIME) {
		event.kind = TD_EVENT_SOFT_LIMIT;
		event.limit = soft;
		counted_soft_limit(entry, &event);
	}
	if (sad->visited && stats.stopped) {
		event.kind = TD_EVENT_HARD_LIMIT;
		event.limit = hard;
		hard_limit(entry, &event);
	}
}

void td_sad_events_lost(struct td_sad *sad)
{
	for (sad->visited = TAILQ_FIRST(&sad->all); sad->visited; sad->visited = sad->next) {
		sad->next = TAILQ_NEXT(sad->visited, all);
		visited_reconcile(sad);
	}
	sad->next = NULL;
}

void td_sad_event(struct td_sad *sad, const struct td_event *event)
{
	const struct td_tunnel *tunnel;
	struct td_sad_entry *entry;

	switch (event->kind) {
	case TD_EVENT_UNKNOWN_SPI:
		if (sad->fn)
			sad->fn(sad->context, "unknown_spi", NULL, NULL, event);
		return;
	case TD_EVENT_ACQUIRE:
		tunnel = td_sad_tunnel_at(sad, event->tunnel);
		if (sad->fn && tunnel)
			sad->fn(sad->context, "acquire", NULL, tunnel, event);
		return;
	case TD_EVENT_RESOLVE:
		return; // for the kernel mirror
	case TD_EVENT_PEER_MOVED:
		td_sad_peer_moved(sad, event);
		return;
	case TD_EVENT_PMTU:
		td_sad_pmtu(sad, event);
		return;
	case TD_EVENT_FIRST_USE:
	case TD_EVENT_AUTH_BURST:
	case TD_EVENT_SOFT_LIMIT:
	case TD_EVENT_HARD_LIMIT:
		break;
	}
	// The SA may have been removed while its event was on the way.
	entry = event_entry(sad, event);
	if (entry)
		sa_event(entry, event);
}
