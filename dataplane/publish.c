// SPDX-License-Identifier: BSD-3-Clause
// Start and stop of the data plane, and what the control thread reads of it.

#include "dataplane/publish.h"

#include "dataplane/eal.h"
#include "dataplane/out_table.h"
#include "dataplane/policy_hits.h"
#include "dataplane/rcu.h"
#include "dataplane/sa.h"
#include "dataplane/slab.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>

struct td_dp td_dp;

unsigned td_dp_worker_count(void)
{
	return td_dp.worker_count;
}

unsigned td_dp_port_count(void)
{
	return td_dp.port_count;
}

void td_dp_reclaim(void)
{
	td_rcu_reclaim();
}

// ---- start ------------------------------------------------------------------------------------

static int no_memory(struct td_error *error)
{
	return td_error_set(error, -ENOMEM, "memory", "size_mb",
	    "not enough memory for buffers and tables; raise memory.size_mb or lower memory.packet_buffers");
}

static int pool_create(const struct td_dp_config *config)
{
	unsigned mtu = 0;

	for (unsigned i = 0; i < config->port_count; i++)
		mtu = RTE_MAX(mtu, config->ports[i].mtu);
	// One segment holds any frame and what ESP puts behind it.
	unsigned room = RTE_MAX(RTE_ALIGN_CEIL(mtu + 256, 64u), 2048u) + RTE_PKTMBUF_HEADROOM;
	td_dp.pool = rte_pktmbuf_pool_create("packets", config->packet_buffers, 256,
	    RTE_ALIGN_CEIL((uint16_t)sizeof(struct td_packet), RTE_MBUF_PRIV_ALIGN), (uint16_t)room,
	    SOCKET_ID_ANY);
	return td_dp.pool ? 0 : -ENOMEM;
}

static struct rte_ring *ring_create(const char *kind, unsigned a, unsigned b, unsigned size)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s_%u_%u", kind, a, b);
	return rte_ring_create(name, size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static int rings_create(struct td_worker *worker)
{
	worker->inject = ring_create("inject", worker->id, 0, TD_INJECT_RING);
	char name[RTE_RING_NAMESIZE];
	snprintf(name, sizeof(name), "events_%u", worker->id);
	worker->events = rte_ring_create_elem(
	    name, sizeof(struct td_event), TD_EVENT_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	for (unsigned from = 0; from < td_dp.worker_count; from++) {
		if (from == worker->id)
			continue;
		worker->handoff[from] = ring_create("handoff", from, worker->id, TD_HANDOFF_RING);
		if (!worker->handoff[from])
			return -ENOMEM;
	}
	for (unsigned class = 0; class < TD_PUNT_CLASSES; class ++) {
		worker->punt[class] = ring_create("punt", worker->id, class, TD_PUNT_RING);
		if (!worker->punt[class])
			return -ENOMEM;
	}
	return worker->inject && worker->events ? 0 : -ENOMEM;
}

static int worker_create(unsigned id, int core)
{
	struct td_worker *worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);

	if (!worker)
		return -ENOMEM;
	td_dp.workers[id] = worker;
	worker->id = (uint16_t)id;
	worker->core = core;
	worker->lcore = id + 1; // lcore 0 is the control thread
	worker->mgr = td_suite_manager_create();
	for (unsigned i = 0; i < 2; i++)
		worker->reassembly[i] = td_reassembly_create(TD_REASSEMBLY_ENTRIES, SOCKET_ID_ANY);
	if (!worker->mgr || !worker->reassembly[0] || !worker->reassembly[1] ||
	    td_spi_table_init(&worker->spi_table) || td_policy_hits_init(worker))
		return -ENOMEM;
	return rings_create(worker);
}

// Spreads the receive queues of all ports.
static void queues_assign(void)
{
	for (unsigned i = 0; i < td_dp.worker_count; i++)
		for (unsigned port = 0; port < td_dp.port_count; port++)
			td_dp.workers[i]->tx[port].queued = i < td_dp.ports[port].tx_queues;
	for (unsigned port = 0; port < td_dp.port_count; port++)
		for (uint16_t queue = 0; queue < td_dp.ports[port].rx_queues; queue++) {
			struct td_worker *worker = td_dp.workers[td_queue_worker(port, queue)];

			worker->rx[worker->rx_count++] = (struct td_rx_queue){(uint8_t)port, queue};
		}
}

static int ports_start(const struct td_dp_config *config, struct td_error *error)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		int result = td_port_open(i, &config->ports[i], error);

		td_dp.port_count = i + 1;
		if (result == 0)
			result = td_port_start(i, error);
		if (result)
			return result;
	}
	return 0;
}

static int workers_launch(struct td_error *error)
{
	for (unsigned i = 0; i < td_dp.worker_count; i++) {
		struct td_worker *worker = td_dp.workers[i];

		(void)rte_rcu_qsbr_thread_register(td_rcu_qsbr, worker->id);
		int result = rte_eal_remote_launch(td_worker_run, worker, worker->lcore);
		if (result)
			return td_error_set(error, result, "worker", "cores", "cannot start worker %u: %s", i,
			    rte_strerror(-result));
	}
	return 0;
}

static int tables_create(const struct td_dp_config *config, struct td_error *error)
{
	td_dp.control_mgr = td_suite_manager_create();
	if (!td_dp.control_mgr)
		return td_error_set(error, -ENOTSUP, "worker", "",
		    "intel-ipsec-mb cannot run here; it needs an x86-64 CPU with SSE4.2 and AES-NI");
	if (td_rcu_init(config->workers) || pool_create(config) || td_fib_init())
		return no_memory(error);
	for (unsigned i = 0; i < config->workers; i++)
		if (worker_create(i, config->worker_cores[i]))
			return no_memory(error);
	return 0;
}

int td_dp_open(const struct td_dp_config *config, struct td_error *error)
{
	td_dp = (struct td_dp){
	    .worker_count = config->workers,
	    .idle = config->idle,
	    .icmp_unreachable = config->icmp_unreachable,
	    .icmp_prohibited = config->icmp_prohibited,
	};
	int result = td_eal_start(config, error);
	if (result)
		return result;
	td_dp.tsc_hz = rte_get_tsc_hz();
	result = tables_create(config, error);
	if (result == 0)
		result = ports_start(config, error);
	if (result)
		td_dp_stop();
	else
		queues_assign();
	return result;
}

int td_dp_start(const struct td_dp_config *config, struct td_error *error)
{
	int result = td_dp_open(config, error);

	if (result)
		return result;
	result = workers_launch(error);
	if (result)
		td_dp_stop();
	return result;
}

// ---- stop -------------------------------------------------------------------------------------

static void ring_free(struct rte_ring *ring, bool packets)
{
	void *mbuf;

	while (ring && packets && rte_ring_dequeue(ring, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

static void worker_free(struct td_worker *worker)
{
	for (unsigned from = 0; from < td_dp.worker_count; from++)
		ring_free(worker->handoff[from], true);
	for (unsigned class = 0; class < TD_PUNT_CLASSES; class ++)
		ring_free(worker->punt[class], true);
	ring_free(worker->inject, true);
	ring_free(worker->events, false);
	ring_free(worker->trace_ring, false);
	for (unsigned i = 0; i < 2; i++)
		td_reassembly_destroy(worker->reassembly[i]);
	td_spi_table_fini(&worker->spi_table);
	td_policy_hits_fini(worker);
	td_suite_manager_destroy(worker->mgr);
	rte_free(worker);
}

void td_dp_stop(void)
{
	__atomic_store_n(&td_dp.stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	for (unsigned i = 0; i < td_dp.port_count; i++)
		td_port_close(i);
	if (td_rcu_qsbr) {
		td_dp_trace_stop();
		td_dp_capture_stop();
		td_policy_fini();
		td_rcu_drain();
		td_capture_fini();
	}
	for (unsigned i = 0; i < td_dp.worker_count; i++)
		if (td_dp.workers[i])
			worker_free(td_dp.workers[i]);
	td_out_table_fini();
	td_fib_fini(); // rte_lpm uses the QSBR variable to the end
	td_rcu_fini();
	td_tunnels_fini();
	rte_mempool_free(td_dp.pool);
	td_suite_manager_destroy(td_dp.control_mgr);
	td_slab_fini();
	td_eal_stop();
	td_dp = (struct td_dp){0};
}

// ---- statistics -------------------------------------------------------------------------------

void td_dp_worker_info(unsigned index, struct td_dp_worker_info *info)
{
	const struct td_worker *worker = td_dp.workers[index];
	const struct td_worker_counters *counters = &worker->counters;

	*info = (struct td_dp_worker_info){
	    .core = worker->core,
	    .loops = td_counter_read(&counters->loops),
	    .idle_loops = td_counter_read(&counters->idle_loops),
	    .rx_packets = td_counter_read(&counters->rx_packets),
	    .tx_packets = td_counter_read(&counters->tx_packets),
	    .esp_in_packets = td_counter_read(&counters->esp_in_packets),
	    .esp_in_bytes = td_counter_read(&counters->esp_in_bytes),
	    .esp_out_packets = td_counter_read(&counters->esp_out_packets),
	    .esp_out_bytes = td_counter_read(&counters->esp_out_bytes),
	    .dummies_out = td_counter_read(&counters->dummies_out),
	    .punted = td_counter_read(&counters->punted),
	    .injected = td_counter_read(&counters->injected),
	    .handoff_out = td_counter_read(&counters->handoff_out),
	    .handoff_in = td_counter_read(&counters->handoff_in),
	    .events_lost = td_counter_read(&counters->events_lost),
	    .held = td_counter_read(&counters->held),
	    .hints_unknown = td_counter_read(&counters->hints_unknown),
	};
}

static const struct td_dp_drop_info drop_infos[TD_DROP_COUNT] = {
#define TD_DROP(suffix, name, severity, help) {name, severity, help},
#include "dataplane/drops.def"
#undef TD_DROP
};

unsigned td_dp_drop_count(void)
{
	return TD_DROP_COUNT;
}

const struct td_dp_drop_info *td_dp_drop_info(unsigned reason)
{
	return &drop_infos[reason];
}

uint64_t td_dp_drops(unsigned worker, unsigned reason)
{
	uint64_t drops = td_counter_read(&td_dp.workers[worker]->counters.drops[reason]);

	// What the control thread drops counts with worker 0.
	return worker == 0 ? drops + td_dp.control_drops[reason] : drops;
}
