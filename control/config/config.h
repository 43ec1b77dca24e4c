// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The configuration file (libconfig) as structures. Which keys exist, their types, ranges, defaults
// and help is one table, control/config/schema.c.

#include "common/ip.h"
#include "common/limits.h"
#include "common/log.h"
#include "control/onertt/options.h"
#include "dataplane/publish.h"

#include <stdbool.h>
#include <stdio.h>

#define TD_CONFIG_ADDRESSES_MAX 16
#define TD_CONFIG_SELECTORS_MAX 32
#define TD_CONFIG_TFC_MTU (-1) // as much as the path carries
#define TD_CONFIG_TUNNELS_MAX (1u << 20) // as many as the data plane has numbers for

struct td_port_config {
	char name[TD_NAME_MAX];
	char device[256];
	enum td_port_role role;
	char tap[16]; // kernel interface; default: the port's name
	unsigned mtu;
	unsigned rx_queues, rx_descriptors, tx_descriptors;
	bool promiscuous;
	unsigned address_count;
	struct td_prefix addresses[TD_CONFIG_ADDRESSES_MAX];
};

struct td_route_config {
	struct td_prefix to;
	struct td_ip via; // family 0: on the link
	char port[TD_NAME_MAX]; // needed when via is not set
};

enum td_tunnel_start { TD_TUNNEL_BOOT, TD_TUNNEL_TRAP, TD_TUNNEL_RESPOND };

#define TD_CONFIG_PROPOSALS_MAX 8

// How a tunnel negotiates its keys. Texts are NULL where the file says nothing.
struct td_tunnel_ike_config {
	enum td_negotiation negotiation;
	enum td_tunnel_start start;
	char *local_id, *remote_id; // default: the addresses
	char *psk_file; // or:
	char *key_file, *certificate_file; // ours; without a certificate the key is a raw one
	char *authority_file, *remote_key_file; // what the peer's proof is checked with
	unsigned ike_count, esp_count; // 0: the defaults
	char *ike[TD_CONFIG_PROPOSALS_MAX], *esp[TD_CONFIG_PROPOSALS_MAX];
	uint64_t rekey_ms, life_ms; // of a child
	struct td_sa_limits limits; // of a child
	uint64_t ike_rekey_ms; // 0: never
	unsigned retransmit_ms, retransmit_tries;
	uint64_t liveness_ms; // 0: never
	unsigned fragment_bytes;
	bool encapsulate;
	bool per_worker; // one child for each worker (RFC 9611)
	// Of the one-round-trip exchange.
	enum td_onertt_authentication authentication;
	enum td_onertt_source key_source;
	enum td_onertt_delivery key_delivery;
	bool early_data;
	unsigned early_delay_ms;
	unsigned code_step_s, code_window;
	uint64_t session_ms; // 0: no end
	// Not of the file: is another number when one of the files that it names has changed since they were
	// read. 0: not known.
	uint64_t files_seen;
};

// A tunnel's selectors become protect policies (every local prefix with every remote one of its family)
// behind the configured policies, in the order of the tunnels. Its routes stand behind all policies.
struct td_tunnel_config {
	char name[TD_NAME_MAX];
	enum td_sa_mode mode;
	struct td_ip local_address, remote_address; // outer
	uint16_t udp_local_port, udp_remote_port; // UDP encapsulation (RFC 3948); both 0: none
	enum td_df df;
	int dscp; // 0 to 63, or TD_DSCP_COPY
	int tfc; // pad packets up to so many bytes, or TD_CONFIG_TFC_MTU; 0: not
	unsigned dummy_rate; // dummy packets per second on idle SAs
	// In transport mode the outer addresses, also where the file says nothing.
	unsigned local_count, remote_count;
	struct td_prefix local[TD_CONFIG_SELECTORS_MAX], remote[TD_CONFIG_SELECTORS_MAX];
	unsigned route_count;
	struct td_prefix routes[TD_CONFIG_SELECTORS_MAX]; // destinations, where no policy matches
	unsigned replay_window; // packets; default of its inbound SAs
	unsigned drain_ms; // how long a draining inbound SA still decrypts
	struct td_tunnel_ike_config *ike; // NULL: its SAs are injected
};

struct td_policy_config {
	enum td_policy_action action;
	enum td_policy_direction direction;
	// An address is a prefix (family 0: any), or a range from local.ip to local_high.
	struct td_prefix local;
	struct td_ip local_high; // family 0: no range
	struct td_prefix remote;
	struct td_ip remote_high;
	uint8_t protocol; // 0: any
	// Ports, or ICMP messages as struct td_dp_policy has them.
	uint16_t local_port_low, local_port_high, remote_port_low, remote_port_high;
	char tunnel[TD_NAME_MAX]; // for protect
};

struct td_config {
	// worker
	unsigned workers;
	int main_core; // -1: any
	unsigned worker_core_count; // 0: any core; else the same as workers
	int worker_cores[TD_WORKERS_MAX];
	enum td_idle idle;
	// memory
	bool hugepages;
	unsigned memory_mb, packet_buffers;
	char file_prefix[64];
	// control
	char socket_path[108];
	char socket_group[32];
	char state_directory[108];
	// icmp
	bool icmp_unreachable, icmp_prohibited;
	// log
	enum td_log_level log_level;

	unsigned port_count;
	struct td_port_config ports[TD_PORTS_MAX];
	unsigned route_count;
	struct td_route_config *routes;
	unsigned tunnel_count;
	struct td_tunnel_config *tunnels;
	unsigned policy_count;
	struct td_policy_config *policies;
};

// Reads a file. Writes every error found, one per line, as "FILE:LINE: what is wrong; what is allowed",
// to errors. Returns NULL if there was any.
struct td_config *td_config_load(const char *path, FILE *errors);
void td_config_free(struct td_config *config);
// NULL is nothing.
void td_config_ike_free(struct td_tunnel_ike_config *ike);
// Writes every key with type, default, range and help (tandemd --help-config).
void td_config_describe(FILE *out);
