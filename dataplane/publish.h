// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// All that the control thread may ask of the data plane, and the only header of this folder that
// control/ includes. Every function is for the control thread, never blocks on a worker, and never
// stops one: what it changes is published by RCU (rte_rcu_qsbr) and the old is freed, and wiped,
// after the grace period by td_dp_reclaim().

#include "common/error.h"
#include "common/ip.h"
#include "common/limits.h"
#include "common/secret.h"
#include "dataplane/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- start and stop ---------------------------------------------------------------------------

enum td_port_role { TD_ROLE_INSIDE, TD_ROLE_OUTSIDE };
enum td_idle { TD_IDLE_ADAPTIVE, TD_IDLE_SPIN };

struct td_dp_port_config {
	char name[TD_NAME_MAX];
	char device[256]; // PCI address or DPDK vdev string, e.g. "net_af_packet0,iface=eth1"
	enum td_port_role role;
	unsigned mtu; // bytes of an IP packet
	unsigned rx_queues; // 0: one per worker, as far as the device goes
	unsigned rx_descriptors; // per queue
	unsigned tx_descriptors; // per queue
	bool promiscuous;
};

struct td_dp_config {
	char program[64]; // argv[0] for EAL
	char file_prefix[64]; // EAL --file-prefix
	bool hugepages;
	unsigned memory_mb; // EAL memory
	unsigned packet_buffers;
	int main_core; // CPU of the control thread, or -1: any
	unsigned workers; // worker threads
	int worker_cores[TD_WORKERS_MAX]; // CPU of each worker, or -1: any
	enum td_idle idle;
	bool icmp_unreachable; // tell senders that there is no route
	bool icmp_prohibited; // tell senders inside that policy discards
	unsigned port_count;
	struct td_dp_port_config ports[TD_PORTS_MAX];
};

// Starts EAL, the ports and the workers. On error says what to do in *error, and nothing runs.
int td_dp_start(const struct td_dp_config *config, struct td_error *error);
// Stops and joins the workers, closes the ports, wipes all SAs, leaves EAL.
void td_dp_stop(void);
// Frees what no worker can see any more. Call it on every tick.
void td_dp_reclaim(void);
unsigned td_dp_worker_count(void);
unsigned td_dp_port_count(void);

// How packets of an SA find the worker that owns it; the best that the device does.
enum td_steering {
	TD_STEERING_NONE, // one queue, or the device spreads packets in a way of its own
	TD_STEERING_RSS, // by addresses and ports
	TD_STEERING_RSS_SPI, // by SPI: packets of an SA stay together, but reach any worker
	TD_STEERING_FLOW, // flow rules by SPI: packets reach the owner that the SPI names (td_dp_spi_make)
};

struct td_dp_port_info {
	char name[TD_NAME_MAX];
	char driver[32];
	enum td_port_role role;
	uint8_t mac[6];
	unsigned mtu;
	bool link_up;
	unsigned rx_queues, tx_queues;
	bool rss; // the device spreads flows over the queues
	enum td_steering steering;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_missed, rx_errors, tx_errors;
};
void td_dp_port_info(unsigned port, struct td_dp_port_info *info);

struct td_dp_worker_info {
	int core; // CPU or -1
	uint64_t loops, idle_loops;
	uint64_t rx_packets, tx_packets;
	uint64_t esp_in_packets, esp_in_bytes; // authenticated and accepted; ESP packets' IP bytes
	uint64_t esp_out_packets, esp_out_bytes; // sealed; ESP packets' IP bytes
	uint64_t dummies_out; // of esp_out_packets: dummy packets
	uint64_t punted, injected;
	uint64_t handoff_out, handoff_in;
	uint64_t events_lost; // found the event ring full
	uint64_t held; // packets that wait for a neighbour now
	uint64_t hints_unknown; // ICMP errors that quote no outbound SA
};
void td_dp_worker_info(unsigned worker, struct td_dp_worker_info *info);

// ---- drops ------------------------------------------------------------------------------------

struct td_dp_drop_info {
	const char *name; // as in drops.def, e.g. "esp_replay"
	const char *severity; // "info", "warning", "audit" (RFC 4303 audit events)
	const char *help;
};
unsigned td_dp_drop_count(void);
const struct td_dp_drop_info *td_dp_drop_info(unsigned reason);
// Packets dropped for a reason by one worker, since start.
uint64_t td_dp_drops(unsigned worker, unsigned reason);

// ---- exception path: packets between the kernel's TAPs and the workers -------------------------

// Called with one Ethernet frame that belongs on the TAP of a port. False: it could not be delivered (counted
// as a drop).
typedef bool (*td_dp_punt_fn)(void *context, unsigned port, const uint8_t *frame, size_t length);
// Hands at most max punted frames to fn. Returns how many.
unsigned td_dp_punt_receive(unsigned max, td_dp_punt_fn fn, void *context);
// Gives a frame that the kernel sent on a port's TAP to the workers. It is copied.
// Returns 0, -EMSGSIZE, -ENOMEM or -ENOBUFS (counted as a drop).
int td_dp_inject(unsigned port, const uint8_t *frame, size_t length);

// ---- forwarding: mirror of the kernel's routes and neighbours ----------------------------------

enum td_route_kind {
	TD_ROUTE_LOCAL, // an address of this gateway: punt
	TD_ROUTE_CONNECTED, // on the link of a port: the destination is the neighbour
	TD_ROUTE_VIA, // through a next hop on a port
	TD_ROUTE_BLACKHOLE, // blackhole, unreachable, prohibit
};

struct td_dp_route {
	struct td_prefix prefix;
	enum td_route_kind kind;
	unsigned port; // for LOCAL: whose TAP gets it
	struct td_ip via; // for VIA
};
// Adds or replaces the route of a prefix. Returns 0, -ENOTSUP (a next hop of the other
// family), -ENOSPC or -ENOMEM.
int td_dp_route_set(const struct td_dp_route *route);
void td_dp_route_delete(const struct td_prefix *prefix);
// A resolved neighbour. Packets that were held for it go out.
int td_dp_neighbour_set(unsigned port, const struct td_ip *ip, const uint8_t mac[6]);
// The kernel knows no usable address of the neighbour any more.
void td_dp_neighbour_delete(unsigned port, const struct td_ip *ip);

// ---- tunnels ----------------------------------------------------------------------------------

// The data plane's part of a tunnel: its number and the current outbound SA of each worker.
struct td_dp_tunnel;
struct td_dp_tunnel *td_dp_tunnel_create(uint32_t id);
#define TD_TFC_MTU UINT16_MAX
// Traffic flow confidentiality (RFC 4303 2.6, 2.7) of a tunnel in tunnel mode: packets shorter than tfc_bytes
// (TD_TFC_MTU: than what fits the path) are sealed with padding up to it; and as long as nothing else is sent
// on a current outbound SA, its owner sends dummy_rate dummy packets of that length a second on it (at most
// TD_DUMMY_RATE_MAX). Both 0: none. Once, before the tunnel has SAs. Returns 0 or -ENOSPC (more than
// TD_DUMMY_TUNNELS_MAX with dummies).
int td_dp_tunnel_tfc(struct td_dp_tunnel *tunnel, uint16_t tfc_bytes, uint16_t dummy_rate);
// No policy and no SA may refer to it any more.
void td_dp_tunnel_remove(struct td_dp_tunnel *tunnel);

// ---- policy (SPD, RFC 4301 4.4.1) --------------------------------------------------------------

enum td_policy_action { TD_POLICY_DISCARD, TD_POLICY_BYPASS, TD_POLICY_PROTECT };
enum td_policy_direction { TD_POLICY_OUT = 1, TD_POLICY_IN = 2, TD_POLICY_BOTH = 3 };

// Selectors (RFC 4301 4.4.1.1). An address is a prefix, or a range from local.ip to local_high when that is
// set (the prefix length then means nothing). A policy without any address is for both families.
struct td_dp_policy {
	enum td_policy_direction directions;
	enum td_policy_action action;
	struct td_prefix local, remote; // family 0: any
	struct td_ip local_high, remote_high; // family 0: no range
	uint8_t protocol; // 0: any
	// 0..65535: any, also where a packet shows none (a fragment behind the first). Anything else needs a
	// protocol that has them, and is one of
	// - ports, from 1 up, of TCP, UDP and SCTP;
	// - ICMP or ICMPv6 messages as numbers type << 8 | code: local_port those that are sent from the
	// local
	//   side, remote_port those that come from the remote one (RFC 4301 4.4.1.3, and IKEv2's traffic
	//   selectors). To ping out: local 0x800..0x8ff, remote 0..0xff.
	uint16_t local_port_low, local_port_high;
	uint16_t remote_port_low, remote_port_high;
	struct td_dp_tunnel *tunnel; // for PROTECT
	struct td_dp_hits *hits; // NULL: not counted
};
// Counts the packets, in either direction, whose first match a policy was. It outlives the lists in which the
// policy stands, so that a changed list goes on counting.
struct td_dp_hits;
struct td_dp_hits *td_dp_hits_create(void); // at 0; NULL without memory or room
// No policy published from now on may name it. NULL is nothing.
void td_dp_hits_remove(struct td_dp_hits *hits);
// What one worker has counted; NULL: packets that neither a policy nor a tunnel route matched.
uint64_t td_dp_hits_read(const struct td_dp_hits *hits, unsigned worker);

// Replaces all policies at once: the first that matches counts; where none does, the tunnel routes decide.
// Nothing is changed on error: -EINVAL (the error's object says which policy, counted from 0) or -ENOMEM.
int td_dp_policy_set(const struct td_dp_policy *policies, unsigned count, struct td_error *error);
// The same in two steps, of which the first may take seconds and be taken by any thread, while tunnels and
// counters stay. Returns NULL and fills *error, whose code goes to *result.
struct td_dp_policies;
struct td_dp_policies *td_dp_policies_build(
    const struct td_dp_policy *policies, unsigned count, int *result, struct td_error *error);
// Either of them ends what was built.
void td_dp_policies_publish(struct td_dp_policies *built);
void td_dp_policies_free(struct td_dp_policies *built); // NULL is nothing

// Tunnel routes stand behind all policies: the longest prefix that covers the remote address (outbound the
// destination, inbound the source) protects the packet by its tunnel; without any it is discarded.
#define TD_TUNNEL_ROUTES_MAX (1u << 17) // of each family

// Adds the route of a prefix or gives it another tunnel. Workers see another tunnel at once, a new prefix at
// once or a few grace periods later. Returns 0, -EINVAL, -ENOSPC or -ENOMEM (of the data plane's memory; the
// first route of a family takes about 190 MB).
int td_dp_tunnel_route_set(const struct td_prefix *prefix, struct td_dp_tunnel *tunnel);
// From now on no packet takes the prefix's tunnel, which may be removed. For a few grace periods such packets
// are discarded even where a shorter prefix covers them.
void td_dp_tunnel_route_delete(const struct td_prefix *prefix);

// ---- security associations --------------------------------------------------------------------

// The uppermost six bits of an inbound SPI that tandem chose are the number of the worker that owns the SA,
// so that a NIC can match them (steer.c). They are hints: any SPI works with any owner, by a hand-off.
#define TD_SPI_OWNER_SHIFT 26
_Static_assert(TD_WORKERS_MAX <= 1u << (32 - TD_SPI_OWNER_SHIFT), "an SPI has room for a worker's number");

// An SPI for an SA of a worker, of 26 random bits; never one of the reserved 0 to 255.
static inline uint32_t td_dp_spi_make(unsigned worker, uint32_t random)
{
	uint32_t low = random & ((1u << TD_SPI_OWNER_SHIFT) - 1);

	if (low < TD_SPI_MIN)
		low += TD_SPI_MIN;
	return (uint32_t)worker << TD_SPI_OWNER_SHIFT | low;
}

// The worker that an SPI names; there may be no such worker.
static inline unsigned td_dp_spi_owner(uint32_t spi)
{
	return spi >> TD_SPI_OWNER_SHIFT;
}

enum td_sa_protocol { TD_SA_ESP, TD_SA_AH };

// One row of the suite table (dataplane/suite.c). Names are those of strongSwan, and unique in their
// protocol.
struct td_suite_info {
	const char *name; // e.g. "aes128gcm16"
	unsigned key_bytes; // key and salt, as in the keying material (RFC 4106 8.1)
	unsigned iv_bytes, icv_bytes;
	const char *reference; // e.g. "RFC 4106"
	enum td_sa_protocol protocol; // that of every SA with this suite
};
unsigned td_dp_suite_count(void);
const struct td_suite_info *td_dp_suite_info(unsigned suite);
// Returns the suite's number or -ENOENT.
int td_dp_suite_find(enum td_sa_protocol protocol, const char *name);
// Whether this CPU runs the suite, and in constant time. Also before td_dp_start.
bool td_dp_suite_available(unsigned suite);

// 0 means no limit. A soft limit raises an event once, a hard limit stops the SA.
struct td_sa_limits {
	uint64_t soft_bytes, hard_bytes; // payload bytes: the inner packet's, and TFC padding that we send
	uint64_t soft_packets, hard_packets;
};

enum td_sa_mode { TD_SA_TUNNEL, TD_SA_TRANSPORT };
enum td_df { TD_DF_COPY, TD_DF_SET, TD_DF_CLEAR }; // of an IPv4 outer header (RFC 4301 8.1)

#define TD_DSCP_COPY (-1)

// One end of what an SA carries, as IKEv2 agrees on it (RFC 7296 3.13.1).
struct td_dp_selector {
	struct td_ip low, high; // of one family
	uint8_t protocol; // 0: any
	// 0..65535: any. Ports, or of ICMP the messages type << 8 | code that this end sends.
	uint16_t port_low, port_high;
};

struct td_sa_params {
	enum td_sa_mode mode;
	uint32_t spi; // host order
	struct td_dp_tunnel *tunnel;
	unsigned owner; // worker
	unsigned suite; // says whether it is ESP or AH
	const struct td_secret *key;
	bool esn; // 64-bit sequence numbers (RFC 4303 2.2.1)
	unsigned replay_window; // packets, inbound
	struct td_ip local, remote; // outer addresses; inbound packets must carry them too
	// UDP encapsulation (RFC 3948), ESP only; 0: none. Inbound packets must have it then, from whatever
	// source.
	uint16_t udp_local_port, udp_remote_port;
	enum td_df df; // outbound
	int dscp; // outbound: 0 to 63, or TD_DSCP_COPY
	struct td_sa_limits limits;
	// The SA carries only what one of the local and one of the remote ones match: the rest of what policy
	// sends into its tunnel is dropped (outbound "policy_narrowed", inbound "policy_selector"). Counts 0:
	// all of it.
	const struct td_dp_selector *local_selectors, *remote_selectors;
	unsigned local_selector_count, remote_selector_count; // both or none
};

// An SA is made in two steps, so that a bulk of them can be all or nothing: create can fail and
// lets no packet use the SA; publish cannot fail.
struct td_sa_in;
struct td_sa_out;

// Return NULL and fill *error (-ENOMEM, -EINVAL, -ENOTSUP).
struct td_sa_in *td_dp_sa_in_create(const struct td_sa_params *params, struct td_error *error);
struct td_sa_out *td_dp_sa_out_create(const struct td_sa_params *params, struct td_error *error);
// Makes room for count more inbound SAs of a worker. Returns 0 or -ENOMEM.
int td_dp_sa_in_reserve(unsigned worker, unsigned count);
// From now on the owner decrypts with it. Room must have been reserved.
void td_dp_sa_in_publish(struct td_sa_in *sa);
// Unpublish (if published), wipe and free after the grace period. For an outbound SA: no slot of
// its tunnel may refer to it any more.
void td_dp_sa_in_remove(struct td_sa_in *sa);
void td_dp_sa_out_remove(struct td_sa_out *sa);
// Makes sa (NULL: none) the outbound SA of a tunnel for the packets of one worker, by one pointer store.
void td_dp_tunnel_switch(struct td_dp_tunnel *tunnel, unsigned worker, struct td_sa_out *sa);
// The longest packet, sealed, that the path of a tunnel is known to carry; 0: that of the port.
void td_dp_tunnel_pmtu(struct td_dp_tunnel *tunnel, unsigned mtu);
struct td_sa_out *td_dp_tunnel_current(const struct td_dp_tunnel *tunnel, unsigned worker);
// Makes the owner refuse (inbound: drop "esp_in_expired"; outbound: drop "esp_out_expired") from now on.
void td_dp_sa_in_stop(struct td_sa_in *sa);
void td_dp_sa_out_stop(struct td_sa_out *sa);

// The peer of a UDP-encapsulated outbound SA has moved; packets go there from now on. Returns 0 or -ENOMEM.
int td_dp_sa_out_move(struct td_sa_out *sa, const struct td_ip *remote, uint16_t udp_remote_port);

// Has a worker send one dummy packet (RFC 4303 2.6) on the tunnel's outbound SA that it uses, which proves to
// the peer that this side has the child. Returns 0, -ENOMEM or -ENOBUFS.
int td_dp_dummy_send(struct td_dp_tunnel *tunnel, unsigned worker);
// The tunnel has a new peer address: every inbound SA tells again where its packets come from.
void td_dp_tunnel_moved(struct td_dp_tunnel *tunnel);
// Sends one NAT keepalive (RFC 3948 2.3). Returns 0, -ENOMEM or -ENOBUFS.
int td_dp_nat_keepalive(
    const struct td_ip *local, const struct td_ip *remote, uint16_t udp_local_port, uint16_t udp_remote_port);

struct td_sa_stats {
	uint64_t packets, bytes; // payload bytes; outbound also TFC padding and dummy packets
	uint64_t sequence; // highest authenticated (in) or last used (out)
	uint64_t auth_failed, replayed, malformed, policy_failed; // inbound only
	uint64_t rejected; // inbound only: for any other reason
	uint64_t dropped; // outbound only: packets for the SA that were not sealed
	uint64_t dummies; // outbound only: of the packets
	bool stopped; // hard limit reached
};
void td_dp_sa_in_stats(const struct td_sa_in *sa, struct td_sa_stats *stats);
void td_dp_sa_out_stats(const struct td_sa_out *sa, struct td_sa_stats *stats);

// ---- events -----------------------------------------------------------------------------------

enum td_event_kind {
	TD_EVENT_FIRST_USE, // first packet authenticated on an inbound SA: spi, tunnel
	TD_EVENT_UNKNOWN_SPI, // spi, source, destination; rate limited; unauthenticated, a hint only
	TD_EVENT_AUTH_BURST, // spi, tunnel, source, count
	TD_EVENT_SOFT_LIMIT, // spi, tunnel, limit, outbound
	TD_EVENT_HARD_LIMIT, // spi, tunnel, limit, outbound
	// tunnel, source, destination, protocol, and if numbers is set both ports, or type and code of
	// ICMP: a packet met no outbound SA
	TD_EVENT_ACQUIRE,
	// spi (outbound), tunnel, destination, source, count: MTU; quotes an SA, but unauthenticated, a hint
	// only
	TD_EVENT_PMTU,
	TD_EVENT_PEER_MOVED, // spi, tunnel, source, source_port: authenticated, of a UDP-encapsulated SA
	TD_EVENT_RESOLVE, // port, destination: a packet waits for this neighbour
};
enum td_limit_kind { TD_LIMIT_TIME, TD_LIMIT_BYTES, TD_LIMIT_PACKETS, TD_LIMIT_SEQUENCE };

struct td_event {
	enum td_event_kind kind;
	enum td_limit_kind limit;
	uint32_t spi; // host order
	uint32_t tunnel; // id of td_dp_tunnel_create
	uint32_t count;
	uint16_t port, worker;
	uint16_t source_port, destination_port; // or ICMP type and code
	bool numbers; // the packet shows them
	bool outbound;
	uint8_t protocol;
	struct td_ip source, destination;
};
// Takes at most max events of all workers. Returns how many.
unsigned td_dp_events_receive(struct td_event *events, unsigned max);
