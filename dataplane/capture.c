// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture.h"

#include "dataplane/trace.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <rte_malloc.h>

// Of a copy, in its mbuf's private area.
struct copy {
	uint64_t tsc;
	uint32_t length; // of the frame
	uint8_t port;
	bool outbound;
	uint8_t kind;
};

static struct copy *copy_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

// ---- workers ----------------------------------------------------------------------------------

static bool is_wanted(const struct td_capture *capture, unsigned port, const struct td_dp_headers *headers,
    enum td_capture_kind kind)
{
	bool plain = kind != TD_CAPTURE_FRAME || td_dp.ports[port].config.role == TD_ROLE_INSIDE;

	return (capture->config.side & (plain ? TD_CAPTURE_PLAIN : TD_CAPTURE_PROTECTED)) &&
	       td_filter_matches(&capture->config.filter, port, headers) &&
	       __atomic_load_n(&capture->taken, __ATOMIC_RELAXED) < capture->config.count;
}

void td_capture_take(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf,
    const struct td_dp_headers *headers, bool outbound, enum td_capture_kind kind)
{
	struct td_capture *capture = worker->capture;
	struct td_capture_lane *lane = &capture->lanes[worker->id];

	if (!is_wanted(capture, port, headers, kind))
		return;
	struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, capture->pool, 0, capture->config.snaplen);
	if (!copy) {
		td_counter_add(&lane->lost, 1);
		return;
	}
	*copy_of(copy) = (struct copy){
	    .tsc = rte_rdtsc(),
	    .length = mbuf->pkt_len,
	    .port = (uint8_t)port,
	    .outbound = outbound,
	    .kind = (uint8_t)kind,
	};
	if (rte_ring_sp_enqueue(lane->ring, copy)) {
		rte_pktmbuf_free(copy);
		td_counter_add(&lane->lost, 1);
		return;
	}
	// Several workers may run over the count together; the control thread writes no more than that.
	__atomic_fetch_add(&capture->taken, 1, __ATOMIC_RELAXED);
}

// ---- control thread ---------------------------------------------------------------------------

static void capture_free(struct td_capture *capture)
{
	for (unsigned i = 0; i < td_dp.worker_count; i++) {
		struct rte_ring *ring = capture->lanes[i].ring;
		void *copy;

		while (ring && rte_ring_sc_dequeue(ring, &copy) == 0)
			rte_pktmbuf_free(copy);
		rte_ring_free(ring);
	}
	rte_mempool_free(capture->pool);
	rte_free(capture);
}

// A snaplen beyond the longest frame would only cost memory.
static unsigned room_for(unsigned snaplen)
{
	unsigned longest = 0;

	for (unsigned i = 0; i < td_dp.port_count; i++)
		longest = RTE_MAX(longest, td_dp.ports[i].config.mtu);
	// VLAN tags and the padding of short frames come on top of the MTU.
	return RTE_MIN(snaplen, RTE_MAX(longest + 64, 2048u));
}

int td_dp_capture_start(const struct td_dp_capture *config)
{
	if (td_dp.capture_open)
		return -EBUSY;
	struct td_capture *capture = rte_zmalloc("capture",
	    sizeof(*capture) + td_dp.worker_count * sizeof(capture->lanes[0]), RTE_CACHE_LINE_SIZE);
	if (!capture)
		return -ENOMEM;
	capture->config = *config;
	capture->config.snaplen = room_for(config->snaplen);
	bool complete = true;
	for (unsigned i = 0; i < td_dp.worker_count; i++) {
		char name[RTE_RING_NAMESIZE];

		snprintf(name, sizeof(name), "capture_%u", i);
		capture->lanes[i].ring =
		    rte_ring_create(name, TD_CAPTURE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		complete &= capture->lanes[i].ring != NULL;
	}
	if (complete)
		capture->pool = rte_pktmbuf_pool_create("capture", TD_CAPTURE_BUFFERS, 32,
		    RTE_ALIGN_CEIL((uint16_t)sizeof(struct copy), RTE_MBUF_PRIV_ALIGN),
		    (uint16_t)(capture->config.snaplen + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
	if (!capture->pool) {
		capture_free(capture);
		return -ENOMEM;
	}
	td_dp.capture_open = capture;
	// Pairs with the acquire of td_watch_look: rings and pool are complete when it is seen.
	__atomic_store_n(&td_dp.capture, capture, __ATOMIC_RELEASE);
	return 0;
}

static unsigned lane_receive(
    struct rte_ring *ring, uint8_t worker, unsigned max, td_capture_fn fn, void *context)
{
	struct rte_mbuf *copies[TD_BURST];
	unsigned count =
	    rte_ring_sc_dequeue_burst(ring, (void **)copies, RTE_MIN(max, (unsigned)TD_BURST), NULL);
	uint64_t now_tsc = rte_rdtsc();

	for (unsigned i = 0; i < count; i++) {
		const struct copy *copy = copy_of(copies[i]);
		uint64_t age_tsc = now_tsc > copy->tsc ? now_tsc - copy->tsc : 0;
		struct td_capture_frame frame = {
		    .age_ns = (uint64_t)((unsigned __int128)age_tsc * 1000000000u / td_dp.tsc_hz),
		    .bytes = rte_pktmbuf_mtod(copies[i], const uint8_t *),
		    .captured = copies[i]->data_len,
		    .length = copy->length,
		    .port = copy->port,
		    .worker = worker,
		    .outbound = copy->outbound,
		    .kind = (enum td_capture_kind)copy->kind,
		};

		fn(context, &frame);
	}
	rte_pktmbuf_free_bulk(copies, count);
	return count;
}

unsigned td_dp_capture_receive(unsigned max, td_capture_fn fn, void *context)
{
	struct td_capture *capture = td_dp.capture_open;
	unsigned received = 0;

	for (unsigned i = 0; capture && i < td_dp.worker_count; i++)
		received += lane_receive(
		    capture->lanes[i].ring, (uint8_t)i, RTE_MAX(max / td_dp.worker_count, 1u), fn, context);
	return received;
}

static void capture_unseen(struct td_retired *retired)
{
	((struct td_capture *)((char *)retired - offsetof(struct td_capture, retired)))->quiet = true;
}

void td_dp_capture_stop(void)
{
	struct td_capture *capture = td_dp.capture;

	if (!capture)
		return;
	// Pairs with the acquire of td_watch_look.
	__atomic_store_n(&td_dp.capture, NULL, __ATOMIC_RELEASE);
	td_rcu_retire(&capture->retired, capture_unseen);
}

bool td_dp_capture_free(void)
{
	struct td_capture *capture = td_dp.capture_open;

	if (!capture)
		return true;
	if (!capture->quiet)
		return false;
	for (unsigned i = 0; i < td_dp.worker_count; i++)
		if (!rte_ring_empty(capture->lanes[i].ring))
			return false;
	capture_free(capture);
	td_dp.capture_open = NULL;
	return true;
}

uint64_t td_dp_capture_lost(void)
{
	const struct td_capture *capture = td_dp.capture_open;
	uint64_t lost = 0;

	for (unsigned i = 0; capture && i < td_dp.worker_count; i++)
		lost += td_counter_read(&capture->lanes[i].lost);
	return lost;
}

void td_capture_fini(void)
{
	if (td_dp.capture_open)
		capture_free(td_dp.capture_open);
	td_dp.capture = td_dp.capture_open = NULL;
}
