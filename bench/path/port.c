// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/port.h"

#include "dataplane/worker.h"

// Each thread is one worker, with queues of its own.
static _Thread_local struct queues {
	struct rte_mbuf **mbufs;
	unsigned left;
	unsigned sent;
} ports[TD_PATH_PORTS];

const char *const td_path_devices[TD_PATH_PORTS] = {"net_null0", "net_null1"};

static uint16_t give(enum td_path_port port, struct rte_mbuf **mbufs, uint16_t most)
{
	struct queues *queues = &ports[port];
	unsigned count = RTE_MIN(queues->left, (unsigned)most);

	for (unsigned i = 0; i < count; i++)
		mbufs[i] = queues->mbufs[i];
	queues->mbufs += count;
	queues->left -= count;
	return (uint16_t)count;
}

static uint16_t inside_receive(void *queue, struct rte_mbuf **mbufs, uint16_t most)
{
	(void)queue;
	return give(TD_PATH_INSIDE, mbufs, most);
}

static uint16_t outside_receive(void *queue, struct rte_mbuf **mbufs, uint16_t most)
{
	(void)queue;
	return give(TD_PATH_OUTSIDE, mbufs, most);
}

static uint16_t inside_send(void *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	(void)queue, (void)mbufs;
	ports[TD_PATH_INSIDE].sent += count;
	return count;
}

static uint16_t outside_send(void *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	(void)queue, (void)mbufs;
	ports[TD_PATH_OUTSIDE].sent += count;
	return count;
}

void td_path_ports_take_over(void)
{
	struct rte_eth_fp_ops *inside = &rte_eth_fp_ops[td_dp.ports[TD_PATH_INSIDE].eth_id];
	struct rte_eth_fp_ops *outside = &rte_eth_fp_ops[td_dp.ports[TD_PATH_OUTSIDE].eth_id];

	inside->rx_pkt_burst = inside_receive;
	inside->tx_pkt_burst = inside_send;
	outside->rx_pkt_burst = outside_receive;
	outside->tx_pkt_burst = outside_send;
}

void td_path_port_offer(enum td_path_port port, struct rte_mbuf **mbufs, unsigned count)
{
	ports[port].mbufs = mbufs;
	ports[port].left = count;
}

unsigned td_path_port_sent(enum td_path_port port)
{
	unsigned sent = ports[port].sent;

	ports[port].sent = 0;
	return sent;
}

uint64_t td_path_ports_cycles(enum td_path_port from, struct rte_mbuf **mbufs, unsigned count)
{
	uint16_t in = td_dp.ports[from].eth_id, out = td_dp.ports[!from].eth_id;
	struct rte_mbuf *burst[TD_BURST];

	td_path_port_offer(from, mbufs, count);
	uint64_t start = rte_rdtsc_precise();
	for (unsigned done = 0; done < count;) {
		uint16_t received = rte_eth_rx_burst(in, 0, burst, TD_BURST);

		// The other port is looked at in every turn, too.
		received = (uint16_t)(received + rte_eth_rx_burst(out, 0, &burst[received],
		                                     (uint16_t)(TD_BURST - received)));
		done += rte_eth_tx_burst(out, 0, burst, received);
	}
	uint64_t cycles = rte_rdtsc_precise() - start;
	(void)td_path_port_sent(!from);
	return cycles;
}
