// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors to the senders of packets that cannot go on, and packets that are cut to fit.

#include "dataplane/fragment.h"
#include "dataplane/icmp.h"
#include "dataplane/ip_packet.h"
#include "dataplane/worker.h"

#include <errno.h>

// The port whose address an error to a sender carries: the one that faces it, or for a sender behind a tunnel
// one on the inside, because that is what selectors let through.
static int source_port(struct rte_mbuf *offending)
{
	struct td_ip sender = td_ip_source(offending);
	const struct td_adjacency *adjacency =
	    sender.family == 4 ? td_fib_lookup(td_ip_v4(&sender)) : td_fib_lookup6(sender.bytes);

	if (adjacency && adjacency->kind != TD_ADJ_BLACKHOLE &&
	    (adjacency->kind == TD_ADJ_LOCAL || td_dp.ports[adjacency->port].config.role == TD_ROLE_INSIDE))
		return adjacency->port;
	for (unsigned port = 0; port < td_dp.port_count; port++)
		if (td_dp.ports[port].config.role == TD_ROLE_INSIDE)
			return (int)port;
	return -1;
}

// Towards the outside, policy decides, as for any packet that crosses. An error quotes the packet it is
// about: one that came protected is not quoted in plaintext (RFC 4301 6.2).
static void reply_send(struct td_worker *worker, struct rte_mbuf *reply)
{
	const struct td_adjacency *adjacency = td_ip_route(reply);

	if (adjacency && adjacency->kind != TD_ADJ_BLACKHOLE &&
	    (adjacency->kind == TD_ADJ_LOCAL || td_dp.ports[adjacency->port].config.role == TD_ROLE_INSIDE))
		td_forward(worker, &reply, 1, true);
	else
		td_outbound(worker, &reply, 1);
}

// The address that an error comes from. For a packet of this gateway itself that is its destination: the
// kernel takes nothing from its own addresses.
static bool reply_source(struct rte_mbuf *offending, int port, struct td_ip *source)
{
	if (td_packet(offending)->kernel) {
		*source = td_ip_destination(offending);
		return true;
	}
	return td_fib_port_address((unsigned)port, td_ip_family(offending), source);
}

void td_reply(struct td_worker *worker, struct rte_mbuf *offending, enum td_icmp_error error, uint16_t mtu)
{
	int port = source_port(offending);
	struct td_ip source;

	// What is not answered takes nothing from the others' rate.
	if (port < 0 || !reply_source(offending, port, &source) || !td_icmp_may_answer(offending, error) ||
	    !td_bucket_take(&worker->icmp_bucket, worker->now_tsc, td_dp.tsc_hz, TD_ICMP_ERRORS_PER_S))
		return;
	struct rte_mbuf *reply = source.family == 4 ? td_icmp_error_ipv4(td_dp.pool, offending,
	                                                  rte_cpu_to_be_32(td_ip_v4(&source)), error, mtu)
	                                            : td_icmp_error_ipv6(td_dp.pool, offending, source.bytes,
	                                                  error, RTE_MAX(mtu, TD_IPV6_MTU_MIN));
	if (!reply)
		return;
	if (unlikely(worker->watched))
		td_trace_code(worker, offending, TD_TRACE_REPLY, 0);
	td_packet(reply)->port = (uint8_t)port;
	td_packet(reply)->guarded = td_packet(offending)->decrypted;
	reply_send(worker, reply);
}

// What this gateway made itself, sealed packets among it, concerns nobody else.
static bool is_own(struct rte_mbuf *mbuf)
{
	struct td_ip sender = td_ip_source(mbuf);
	const struct td_adjacency *adjacency =
	    sender.family == 4 ? td_fib_lookup(td_ip_v4(&sender)) : td_fib_lookup6(sender.bytes);

	return td_packet(mbuf)->own || td_packet(mbuf)->kernel ||
	       (adjacency && adjacency->kind == TD_ADJ_LOCAL);
}

void td_reply_no_route(struct td_worker *worker, struct rte_mbuf *offending)
{
	if (td_dp.icmp_unreachable && !is_own(offending))
		td_reply(worker, offending, TD_ICMP_NET_UNREACHABLE, 0);
}

// RFC 4301 6.2: towards the plaintext side only, so that the other side learns nothing of the policies.
void td_reply_prohibited(struct td_worker *worker, struct rte_mbuf *offending)
{
	if (td_dp.icmp_prohibited && !td_packet(offending)->decrypted && !is_own(offending))
		td_reply(worker, offending, TD_ICMP_PROHIBITED, 0);
}

int td_cut(struct td_worker *worker, struct rte_mbuf *mbuf, uint16_t mtu, struct rte_mbuf **fragments,
    enum td_drop reason)
{
	int count = -EMSGSIZE;

	// IPv6 routers do not fragment (RFC 8200 5).
	if (td_ip_family(mbuf) == 4)
		count = td_fragment_ipv4(mbuf, fragments, TD_FRAGMENTS_MAX, mtu, td_dp.pool);
	if (count > 0) {
		// The fragments carry the packet's mark on.
		if (unlikely(worker->watched))
			td_trace_code(worker, mbuf, TD_TRACE_CUT, (unsigned)count);
		rte_pktmbuf_free(mbuf);
		return count;
	}
	if (count == -EMSGSIZE)
		td_reply(worker, mbuf, TD_ICMP_TOO_BIG, mtu);
	td_drop(worker, mbuf, reason);
	return 0;
}
