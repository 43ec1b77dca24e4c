// SPDX-License-Identifier: BSD-3-Clause
// Where a tunnel's peer is and what the path to it carries: both follow what workers report.
#include "control/sad/internal.h"

#include "common/clock.h"

static void pmtu_forget(void *context)
{
	struct td_tunnel *tunnel = context;

	tunnel->pmtu = 0;
	td_dp_tunnel_pmtu(tunnel->dp, 0);
}

static void peer_follow(struct td_sad *sad, struct td_sad_tunnel *tunnel, const struct td_event *event)
{
	struct td_sad_entry *entry;

	td_dp_tunnel_moved(tunnel->tunnel.dp);
	// Another path, about which nothing is known.
	td_loop_timer_cancel(sad->loop, &tunnel->tunnel.pmtu_timer);
	pmtu_forget(&tunnel->tunnel);
	// New SAs of the tunnel start from here. Replies follow at once.
	tunnel->tunnel.peer_address = event->source;
	tunnel->tunnel.peer_port = event->source_port;
	TAILQ_FOREACH (entry, &tunnel->sas, in_tunnel)
		if (entry->sa.outbound) {
			(void)td_dp_sa_out_move(entry->sa.out, &event->source, event->source_port);
			entry->sa.path.remote = event->source;
			entry->sa.path.remote_port = event->source_port;
		}
	if (sad->fn)
		sad->fn(sad->context, "peer_moved", NULL, &tunnel->tunnel, event);
}

void td_sad_peer_moved(struct td_sad *sad, const struct td_event *event)
{
	struct td_tunnel *public = td_sad_tunnel_at(sad, event->tunnel);
	if (!public)
		return;
	struct td_sad_tunnel *tunnel = td_sad_tunnel_of(public);
	const struct td_sa *from = td_sad_sa_find_in(sad, event->spi);

	// A draining SA's late packets come from where the peer was.
	if (!from || from->tunnel != &tunnel->tunnel || from->state == TD_SA_DRAINING ||
	    (td_ip_equal(&tunnel->tunnel.peer_address, &event->source) &&
	        tunnel->tunnel.peer_port == event->source_port))
		return;
	peer_follow(sad, tunnel, event);
}

void td_sad_tunnel_move(
    struct td_sad *sad, struct td_tunnel *tunnel, const struct td_ip *remote, uint16_t port)
{
	const struct td_event event = {
	    .kind = TD_EVENT_PEER_MOVED, .tunnel = tunnel->id, .source = *remote, .source_port = port};

	if (tunnel->peer_port && (!td_ip_equal(&tunnel->peer_address, remote) || tunnel->peer_port != port))
		peer_follow(sad, td_sad_tunnel_of(tunnel), &event);
}

// The tunnel that a hint is about: it must quote an outbound SA that is in use, and its peer.
static struct td_sad_tunnel *pmtu_tunnel(struct td_sad *sad, const struct td_event *event)
{
	struct td_tunnel *tunnel = td_sad_tunnel_at(sad, event->tunnel);
	const struct td_sa *sa = tunnel ? td_sad_sa_find_out(sad, tunnel, event->spi) : NULL;

	return sa && td_sad_entry_of(sa)->slot_count &&
	               td_ip_equal(&tunnel->peer_address, &event->destination)
	           ? td_sad_tunnel_of(tunnel)
	           : NULL;
}

void td_sad_pmtu(struct td_sad *sad, const struct td_event *event)
{
	struct td_sad_tunnel *found = pmtu_tunnel(sad, event);
	unsigned low = event->destination.family == 6 ? TD_IPV6_MTU_MIN : TD_MTU_MIN;

	if (!found)
		return;
	struct td_tunnel *tunnel = &found->tunnel;
	// A forged hint can only slow the tunnel down, to the least that IP demands of every path.
	unsigned mtu = event->count < low ? low : event->count;
	if (mtu > TD_MTU_MAX || (tunnel->pmtu && mtu >= tunnel->pmtu))
		return;
	uint64_t until_ns = td_clock_now_ns() + TD_PMTU_AGE_MS * TD_NS_PER_MS;
	tunnel->pmtu_timer.fn = pmtu_forget;
	tunnel->pmtu_timer.context = tunnel;
	td_loop_timer_set(sad->loop, &tunnel->pmtu_timer, until_ns);
	tunnel->pmtu = mtu;
	td_dp_tunnel_pmtu(tunnel->dp, mtu);
	if (sad->fn)
		sad->fn(sad->context, "path_mtu", NULL, tunnel, event);
}

// Packets that the live outbound SAs of a tunnel have sent.
static uint64_t packets_sent(const struct td_sad_tunnel *tunnel)
{
	const struct td_sad_entry *entry;
	uint64_t packets = 0;

	TAILQ_FOREACH (entry, &tunnel->sas, in_tunnel)
		if (entry->sa.outbound) {
			struct td_sa_stats stats;

			td_dp_sa_out_stats(entry->sa.out, &stats);
			packets += stats.packets;
		}
	return packets;
}

// An idle tunnel with SAs tells the NAT that it is still there.
static void keepalive_run(void *context)
{
	struct td_sad_tunnel *tunnel = context;
	struct td_tunnel *public = &tunnel->tunnel;
	uint64_t packets = packets_sent(tunnel);

	if (public->out_count && packets == public->keepalive_packets)
		(void)td_dp_nat_keepalive(&public->config.local_address, &public->peer_address,
		    public->local_port, public->peer_port); // the next one is soon
	public->keepalive_packets = packets;
	td_sad_keepalive_arm(tunnel);
}

void td_sad_keepalive_arm(struct td_sad_tunnel *tunnel)
{
	if (!tunnel->tunnel.peer_port)
		return;
	tunnel->tunnel.keepalive_timer.fn = keepalive_run;
	tunnel->tunnel.keepalive_timer.context = tunnel;
	td_loop_timer_set(tunnel->loop, &tunnel->tunnel.keepalive_timer,
	    td_clock_now_ns() + TD_NAT_KEEPALIVE_MS * TD_NS_PER_MS);
}

void td_sad_tunnel_path(struct td_sad *sad, const struct td_sa *sa)
{
	struct td_tunnel *tunnel = sa->tunnel;
	bool idle = tunnel->peer_port == 0;

	if (!td_ip_equal(&tunnel->peer_address, &sa->path.remote)) {
		td_loop_timer_cancel(sad->loop, &tunnel->pmtu_timer);
		pmtu_forget(tunnel);
	}
	tunnel->peer_address = sa->path.remote;
	tunnel->local_port = sa->path.local_port;
	tunnel->peer_port = sa->path.remote_port;
	if (idle)
		td_sad_keepalive_arm(td_sad_tunnel_of(tunnel));
}
