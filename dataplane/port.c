// SPDX-License-Identifier: BSD-3-Clause
// Ethernet devices: opening by PCI address or vdev string, queues, transmission.

#include "dataplane/steer.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <rte_dev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSS_TYPES (RTE_ETH_RSS_ESP | RTE_ETH_RSS_AH | RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)

// ---- control thread ---------------------------------------------------------------------------

static int port_error(struct td_error *error, int code, const struct td_port *port, const char *what)
{
	char object[sizeof(error->object)];

	snprintf(object, sizeof(object), "port %s", port->config.name);
	return td_error_set(
	    error, code, object, "device", "%s: %s (%s)", port->config.device, what, rte_strerror(-code));
}

// The device's name in DPDK: what stands before the first comma.
static void device_name(const char *device, char *name, size_t size)
{
	snprintf(name, size, "%.*s", (int)strcspn(device, ","), device);
}

static int device_probe(struct td_port *port, struct td_error *error)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	device_name(port->config.device, name, sizeof(name));
	// A PCI device was probed by EAL already.
	if (rte_eth_dev_get_port_by_name(name, &port->eth_id) == 0)
		return 0;
	int result = rte_dev_probe(port->config.device);
	if (result == 0)
		result = rte_eth_dev_get_port_by_name(name, &port->eth_id);
	if (result)
		return port_error(error, result < 0 ? result : -ENODEV, port,
		    "DPDK cannot open the device; a vdev needs its interface to exist (ip link), a PCI "
		    "device "
		    "must be bound to vfio-pci (dpdk-devbind.py)");
	return 0;
}

static void ethernet_config(
    struct td_port *port, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	unsigned wanted = port->config.rx_queues ? port->config.rx_queues : td_dp.worker_count;
	uint64_t rss = info->flow_type_rss_offloads & RSS_TYPES;

	port->rx_queues = (uint16_t)RTE_MIN(RTE_MIN(wanted, td_dp.worker_count), info->max_rx_queues);
	port->tx_queues = (uint16_t)RTE_MIN(td_dp.worker_count, info->max_tx_queues);
	port->rss = port->rx_queues > 1 && rss;
	if (port->rss)
		port->steering = rss & RTE_ETH_RSS_ESP ? TD_STEERING_RSS_SPI : TD_STEERING_RSS;
	*conf = (struct rte_eth_conf){0};
	if (port->rss) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = rss;
	}
	conf->rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
}

// What net_af_packet needs of a frame for the kernel's headers and an Ethernet header with a VLAN tag.
#define AF_PACKET_FRAME_OVERHEAD 128
#define AF_PACKET_FRAME_DEFAULT 2048

// net_af_packet says that it carries 1518 bytes whatever framesz it is given, and then carries what fits.
static bool af_packet_carries(const struct td_port *port)
{
	const char *given = strstr(port->config.device, "framesz=");
	unsigned long bytes = given ? strtoul(given + strlen("framesz="), NULL, 10) : AF_PACKET_FRAME_DEFAULT;

	return strcmp(port->driver, "net_af_packet") == 0 &&
	       bytes >= port->config.mtu + AF_PACKET_FRAME_OVERHEAD;
}

static int mtu_set(const struct td_port *port, struct td_error *error)
{
	int result = rte_eth_dev_set_mtu(port->eth_id, (uint16_t)port->config.mtu);

	// Drivers without this setting (vdevs) carry any MTU that fits a buffer.
	if (result == 0 || result == -ENOTSUP || af_packet_carries(port))
		return 0;
	return port_error(error, result, port,
	    strcmp(port->driver, "net_af_packet") == 0
	        ? "cannot set the MTU; add larger frames to the device, e.g. framesz=9216,blocksz=36864"
	        : "cannot set the MTU");
}

static int queues_setup(struct td_port *port)
{
	uint16_t rx_descriptors = (uint16_t)port->config.rx_descriptors;
	uint16_t tx_descriptors = (uint16_t)port->config.tx_descriptors;
	int socket = rte_eth_dev_socket_id(port->eth_id);
	int result = rte_eth_dev_adjust_nb_rx_tx_desc(port->eth_id, &rx_descriptors, &tx_descriptors);

	for (uint16_t i = 0; i < port->rx_queues && result == 0; i++)
		result = rte_eth_rx_queue_setup(
		    port->eth_id, i, rx_descriptors, (unsigned)socket, NULL, td_dp.pool);
	for (uint16_t i = 0; i < port->tx_queues && result == 0; i++)
		result = rte_eth_tx_queue_setup(port->eth_id, i, tx_descriptors, (unsigned)socket, NULL);
	return result;
}

int td_port_open(unsigned index, const struct td_dp_port_config *config, struct td_error *error)
{
	struct td_port *port = &td_dp.ports[index];
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;

	*port = (struct td_port){.config = *config, .eth_id = RTE_MAX_ETHPORTS};
	int result = device_probe(port, error);
	if (result)
		return result;
	result = rte_eth_dev_info_get(port->eth_id, &info);
	if (result)
		return port_error(error, result, port, "cannot read the device's abilities");
	snprintf(port->driver, sizeof(port->driver), "%s", info.driver_name);
	ethernet_config(port, &info, &conf);
	result = rte_eth_dev_configure(port->eth_id, port->rx_queues, port->tx_queues, &conf);
	if (result)
		return port_error(error, result, port, "cannot configure the device");
	result = mtu_set(port, error);
	if (result)
		return result;
	result = queues_setup(port);
	if (result)
		return port_error(error, result, port, "cannot set up the queues; try fewer descriptors");
	result = rte_eth_macaddr_get(port->eth_id, &port->mac);
	return result ? port_error(error, result, port, "cannot read the MAC address") : 0;
}

int td_port_start(unsigned index, struct td_error *error)
{
	struct td_port *port = &td_dp.ports[index];
	int result = rte_eth_dev_start(port->eth_id);

	if (result)
		return port_error(error, result, port, "cannot start the device");
	port->started = true;
	if (port->config.promiscuous)
		(void)rte_eth_promiscuous_enable(port->eth_id);
	// ARP, ND and routing protocols need multicast.
	(void)rte_eth_allmulticast_enable(port->eth_id);
	td_steer_start(index);
	return 0;
}

void td_port_close(unsigned index)
{
	struct td_port *port = &td_dp.ports[index];

	if (port->eth_id == RTE_MAX_ETHPORTS)
		return;
	td_steer_stop(index);
	if (port->started)
		(void)rte_eth_dev_stop(port->eth_id);
	(void)rte_eth_dev_close(port->eth_id);
	*port = (struct td_port){.eth_id = RTE_MAX_ETHPORTS};
}

void td_dp_port_info(unsigned index, struct td_dp_port_info *info)
{
	const struct td_port *port = &td_dp.ports[index];
	struct rte_eth_link link = {0};
	struct rte_eth_stats stats = {0};

	(void)rte_eth_link_get_nowait(port->eth_id, &link);
	(void)rte_eth_stats_get(port->eth_id, &stats);
	*info = (struct td_dp_port_info){
	    .role = port->config.role,
	    .mtu = port->config.mtu,
	    .link_up = link.link_status == RTE_ETH_LINK_UP,
	    .rx_queues = port->rx_queues,
	    .tx_queues = port->tx_queues,
	    .rss = port->rss,
	    .steering = port->steering,
	    .rx_packets = stats.ipackets,
	    .rx_bytes = stats.ibytes,
	    .tx_packets = stats.opackets,
	    .tx_bytes = stats.obytes,
	    .rx_missed = stats.imissed + stats.rx_nombuf,
	    .rx_errors = stats.ierrors,
	    .tx_errors = stats.oerrors,
	};
	snprintf(info->name, sizeof(info->name), "%s", port->config.name);
	snprintf(info->driver, sizeof(info->driver), "%s", port->driver);
	memcpy(info->mac, &port->mac, sizeof(info->mac));
}

// ---- workers ----------------------------------------------------------------------------------

static void buffer_flush(struct td_worker *worker, unsigned port, struct td_tx_buffer *buffer)
{
	uint16_t sent = rte_eth_tx_burst(td_dp.ports[port].eth_id, worker->id, buffer->mbufs, buffer->count);

	td_counter_add(&worker->counters.tx_packets, sent);
	buffer->count = (uint16_t)(buffer->count - sent);
	// What the device did not take stays for the next loop, in order.
	memmove(buffer->mbufs, &buffer->mbufs[sent], buffer->count * sizeof(buffer->mbufs[0]));
}

void td_tx_any(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	struct td_tx_buffer *buffer = &worker->tx[port];

	// A device with fewer queues than there are workers: the worker that has the queue sends.
	if (worker->id >= td_dp.ports[port].tx_queues) {
		td_packet(mbuf)->port = (uint8_t)port;
		td_handoff(worker, worker->id % td_dp.ports[port].tx_queues, mbuf, TD_STAGE_TX);
		return;
	}
	if (buffer->count == TD_TX_BACKLOG)
		buffer_flush(worker, port, buffer);
	if (buffer->count == TD_TX_BACKLOG) {
		td_drop(worker, mbuf, TD_DROP_TX_FULL);
		return;
	}
	if (unlikely(worker->watched))
		td_observe_sent(worker, port, mbuf);
	buffer->mbufs[buffer->count++] = mbuf;
}

unsigned td_tx_flush(struct td_worker *worker)
{
	unsigned left = 0;

	for (unsigned port = 0; port < td_dp.port_count; port++)
		if (worker->tx[port].count) {
			buffer_flush(worker, port, &worker->tx[port]);
			left += worker->tx[port].count;
		}
	return left;
}
