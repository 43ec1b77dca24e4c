// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/trace.h"

#include "dataplane/ip_packet.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

// ---- workers ----------------------------------------------------------------------------------

static bool is_marked(struct rte_mbuf *mbuf)
{
	return td_packet(mbuf)->trace != 0;
}

static void record_put(
    struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, struct td_trace_record record)
{
	// The packet may have been marked by another trace, or before this worker saw that there is none.
	if (!worker->trace || (td_packet(mbuf)->trace & ~TD_TRACE_NUMBER_MASK) != worker->trace->session)
		return;
	record.ns = rte_rdtsc();
	record.packet = td_packet(mbuf)->trace;
	record.step = (uint8_t)step;
	record.worker = (uint8_t)worker->id;
	if (rte_ring_sp_enqueue_elem(worker->trace_ring, &record, sizeof(record)))
		td_counter_add(&worker->counters.trace_lost, 1);
}

// The number of a packet that fits, or -1: enough are under trace.
static int64_t number_take(const struct td_trace *trace)
{
	uint32_t *admitted = &((struct td_trace *)(uintptr_t)trace)->admitted;

	if (trace->filter.drop >= 0)
		return __atomic_fetch_add(admitted, 1, __ATOMIC_RELAXED) & TD_TRACE_NUMBER_MASK;
	// The look first keeps the count from running over while a trace is left on.
	if (__atomic_load_n(admitted, __ATOMIC_RELAXED) >= trace->count)
		return -1;
	uint32_t number = __atomic_fetch_add(admitted, 1, __ATOMIC_RELAXED);
	return number < trace->count ? (int64_t)number : -1;
}

void td_trace_admit(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf,
    const struct td_dp_headers *headers, enum td_trace_step step)
{
	const struct td_trace *trace = worker->trace;

	if (!trace || (trace->worker >= 0 && trace->worker != worker->id) ||
	    !td_filter_matches(&trace->filter, port, headers))
		return;
	int64_t number = number_take(trace);
	if (number < 0)
		return;
	td_packet(mbuf)->trace = trace->session | (uint32_t)number;
	record_put(worker, mbuf, step, (struct td_trace_record){.port = (uint8_t)port, .headers = *headers});
}

void td_trace_code(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, unsigned code)
{
	if (is_marked(mbuf))
		record_put(worker, mbuf, step, (struct td_trace_record){.code = (uint8_t)code});
}

void td_trace_codes(struct td_worker *worker, struct rte_mbuf *const *mbufs, unsigned count,
    enum td_trace_step step, unsigned code)
{
	for (unsigned i = 0; i < count; i++)
		td_trace_code(worker, mbufs[i], step, code);
}

void td_trace_port(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, unsigned port)
{
	if (is_marked(mbuf))
		record_put(worker, mbuf, step,
		    (struct td_trace_record){.port = (uint8_t)port, .length = mbuf->data_len});
}

void td_trace_policy(struct td_worker *worker, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule *const *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct td_policy_rule *rule = rules[i];
		bool protect = rule && rule->action == TD_POLICY_PROTECT;

		if (is_marked(mbufs[i]))
			record_put(worker, mbufs[i], TD_TRACE_POLICY,
			    (struct td_trace_record){
			        .code = rule ? (uint8_t)rule->action : TD_TRACE_NO_POLICY,
			        .tunnel = protect ? rule->tunnel->id : TD_TRACE_NO_TUNNEL,
			        .outbound = outbound,
			    });
	}
}

void td_trace_sa(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, uint32_t spi,
    uint32_t tunnel, uint64_t sequence, unsigned code)
{
	if (is_marked(mbuf))
		record_put(worker, mbuf, step,
		    (struct td_trace_record){
		        .spi = spi,
		        .tunnel = tunnel,
		        .sequence = sequence,
		        .code = (uint8_t)code,
		        .length = mbuf->data_len,
		    });
}

void td_trace_opened(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	struct td_trace_record record = {0};

	if (!is_marked(mbuf))
		return;
	td_headers_read_ip(rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, &record.headers);
	record_put(worker, mbuf, TD_TRACE_OPENED, record);
}

static struct td_ip next_hop_of(struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	struct td_ip ip = {.family = 6};

	if (adjacency->kind == TD_ADJ_LINK)
		return td_ip_destination(mbuf);
	if (adjacency->family == 4)
		return td_ip_from_v4(adjacency->next_hop);
	memcpy(ip.bytes, adjacency->next_hop6, sizeof(ip.bytes));
	return ip;
}

static struct td_trace_record route_of(struct rte_mbuf *mbuf)
{
	const struct td_adjacency *adjacency = td_ip_route(mbuf);

	if (!adjacency)
		return (struct td_trace_record){.code = TD_TRACE_ROUTE_NONE};
	if (adjacency->kind == TD_ADJ_BLACKHOLE)
		return (struct td_trace_record){.code = TD_TRACE_ROUTE_BLACKHOLE};
	if (adjacency->kind == TD_ADJ_LOCAL)
		return (struct td_trace_record){.code = TD_TRACE_ROUTE_LOCAL, .port = adjacency->port};
	return (struct td_trace_record){
	    .code = TD_TRACE_ROUTE_HOP, .port = adjacency->port, .next_hop = next_hop_of(mbuf, adjacency)};
}

void td_trace_routes(struct td_worker *worker, struct rte_mbuf *const *mbufs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (is_marked(mbufs[i]))
			record_put(worker, mbufs[i], TD_TRACE_ROUTE, route_of(mbufs[i]));
}

// ---- control thread ---------------------------------------------------------------------------

static uint64_t lost_sum(void)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < td_dp.worker_count; i++)
		lost += td_counter_read(&td_dp.workers[i]->counters.trace_lost);
	return lost;
}

// The rings stay: most gateways are never traced, but one that is will be again.
static int rings_make(void)
{
	for (unsigned i = 0; i < td_dp.worker_count; i++) {
		char name[RTE_RING_NAMESIZE];

		if (td_dp.workers[i]->trace_ring)
			continue;
		snprintf(name, sizeof(name), "trace_%u", i);
		td_dp.workers[i]->trace_ring = rte_ring_create_elem(name, sizeof(struct td_trace_record),
		    TD_TRACE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!td_dp.workers[i]->trace_ring)
			return -ENOMEM;
	}
	return 0;
}

static void trace_release(struct td_retired *retired)
{
	free((char *)retired - offsetof(struct td_trace, retired));
}

void td_dp_trace_stop(void)
{
	struct td_trace *trace = td_dp.trace;

	if (!trace)
		return;
	// Pairs with the acquire of td_watch_look.
	__atomic_store_n(&td_dp.trace, NULL, __ATOMIC_RELEASE);
	td_rcu_retire(&trace->retired, trace_release);
}

int td_dp_trace_start(const struct td_dp_filter *filter, unsigned count, int worker)
{
	static uint32_t session;
	struct td_trace *trace = calloc(1, sizeof(*trace));

	if (!trace || rings_make()) {
		free(trace);
		return -ENOMEM;
	}
	td_dp_trace_stop();
	// 0 is left out: no mark is 0.
	session = session % (UINT32_MAX >> TD_TRACE_NUMBER_BITS) + 1;
	trace->filter = *filter;
	trace->count = RTE_MIN(count, TD_TRACE_NUMBER_MASK);
	trace->worker = worker;
	trace->session = session << TD_TRACE_NUMBER_BITS;
	trace->start_tsc = rte_rdtsc();
	td_dp.trace_lost = lost_sum();
	// Pairs with the acquire of td_watch_look: the trace and the rings are complete when it is seen.
	__atomic_store_n(&td_dp.trace, trace, __ATOMIC_RELEASE);
	return 0;
}

static uint64_t age_ns(const struct td_trace *trace, uint64_t tsc)
{
	// A worker's clock may be a little behind this one's.
	if (tsc < trace->start_tsc)
		return 0;
	return (uint64_t)((unsigned __int128)(tsc - trace->start_tsc) * 1000000000u / td_dp.tsc_hz);
}

unsigned td_dp_trace_receive(struct td_trace_record *records, unsigned max)
{
	const struct td_trace *trace = td_dp.trace;
	unsigned received = 0, kept = 0;

	for (unsigned i = 0; i < td_dp.worker_count && trace; i++)
		received += rte_ring_sc_dequeue_burst_elem(td_dp.workers[i]->trace_ring, &records[received],
		    sizeof(*records), RTE_MIN(max - received, max / td_dp.worker_count), NULL);
	for (unsigned i = 0; i < received; i++) {
		// What an earlier trace left in the rings.
		if ((records[i].packet & ~TD_TRACE_NUMBER_MASK) != trace->session)
			continue;
		records[kept] = records[i];
		records[kept].packet &= TD_TRACE_NUMBER_MASK;
		records[kept].ns = age_ns(trace, records[i].ns);
		kept++;
	}
	return kept;
}

uint64_t td_dp_trace_lost(void)
{
	return lost_sum() - td_dp.trace_lost;
}

bool td_dp_trace_full(void)
{
	const struct td_trace *trace = td_dp.trace;

	return trace && trace->filter.drop < 0 &&
	       __atomic_load_n(&trace->admitted, __ATOMIC_RELAXED) >= trace->count;
}

uint64_t td_dp_trace_age_ns(void)
{
	return td_dp.trace ? age_ns(td_dp.trace, rte_rdtsc()) : 0;
}
