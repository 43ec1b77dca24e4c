// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Deterministic simulation: whole IKEv2 engines with the lifecycle above them and a symbolic data plane
// below, in virtual time. Everything that happens follows from a seed. (libcrypto's own random numbers make
// only Diffie-Hellman keys, which no decision depends on.)
//
// Time in the world is global; each node has a clock of its own, which is off and drifts. A step is one
// timer: of the world (a message arrives, a packet is sent, a fault begins) or of a node (what the product
// set).
//
// What it cannot show: there is no plaintext in the model. A packet that finds no SA is held or dropped
// because the model does so, not because the data plane does, which has policies, queues and a way out for
// plain packets that are not here. That nothing leaves in plaintext, whatever keys do, is shown by the tests
// in tests/wire. Nor does it show what workers, RCU and real sockets add: order among threads, and loss where
// a queue is full. Of keys it sees those of IKE SAs; copies on the stack it does not see.

#include "control/ike/ike.h"
#include "control/lifecycle/lifecycle.h"

#include <stdio.h>
#include <sys/queue.h>

#define SIM_NODES_MAX 3
#define SIM_LINKS_MAX 4
#define SIM_SLOTS_MAX 3
#define SIM_HELD_MAX TD_ACQUIRE_PER_TUNNEL
#define SIM_SPI_BUCKETS 256

#define SIM_MS 1000000ull
#define SIM_S 1000000000ull

// ---- random numbers (SplitMix64) ----------------------------------------------------------------

struct sim_random {
	uint64_t state;
};

uint64_t sim_random_u64(struct sim_random *random);
uint64_t sim_random_below(struct sim_random *random, uint64_t bound); // 0: 0
uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high); // both included
// Evenly distributed over the orders of magnitude.
uint64_t sim_random_scaled(struct sim_random *random, uint64_t low, uint64_t high);
bool sim_random_chance(struct sim_random *random, unsigned percent);
struct sim_random sim_random_fork(struct sim_random *random);

// ---- the data plane's model ---------------------------------------------------------------------

// Why the loss of a packet to an SA is not the key change's fault. Set on an SA by what ends it, nowhere
// else.
enum sim_excuse {
	SIM_EXCUSE_NONE,
	SIM_EXCUSE_RESTART, // the receiver lost its state
	SIM_EXCUSE_DEAD, // the receiver gave the peer up: nothing it sent was answered, as the network's
	                 // record shows
	SIM_EXCUSE_OPERATOR, // the receiver's operator took the tunnel down while control messages could get
	                     // lost
	// The sender had nothing else to send on and took the first child to be in place
	// (TD_LIFE_FIRST_QUIET_NS).
	SIM_EXCUSE_EARLY,
	SIM_EXCUSE_HARD, // the same with the successor of a child that had reached its hard limit
	SIM_EXCUSE_REFUSED, // the receiver could not install it; the DELETE that says so may be late
	SIM_EXCUSES,
};

enum sim_sa_state { SIM_SA_RESERVED, SIM_SA_INSTALLED, SIM_SA_GONE };

// Both SAs of a child at one node; at first only a reserved SPI. Kept for good, to tell what a late packet
// was for.
struct sim_sa {
	struct sim_sa *next; // of the SPI's bucket
	struct sim_end *end;
	unsigned slot, incarnation;
	uint32_t spi_in, spi_out;
	enum sim_sa_state state;
	enum sim_excuse excuse;
	struct td_life_child *child;
	uint64_t mark_in, mark_out; // stand for keys, suite, mode and selectors of a direction
	uint64_t installed_ns, works_from_ns; // inbound; they differ for a broken rule 1
	bool initiator, used, soft_told, hard_told;
	enum sim_excuse early; // sent on without proof
	uint64_t packets_out;
};

// Something that a data plane has under way: a packet to the other end, or an event for its control thread.
enum sim_parcel_kind {
	SIM_PACKET,
	SIM_FIRST_USE,
	SIM_SOFT_LIMIT,
	SIM_HARD_LIMIT,
	SIM_ACQUIRE,
	SIM_UNKNOWN_SPI
};

struct sim_parcel {
	struct td_timer timer;
	LIST_ENTRY(sim_parcel) all;
	enum sim_parcel_kind kind;
	struct sim_end *from; // of an event: whose it is
	unsigned incarnation; // of the sender
	struct sim_sa *sa; // of the sender; NULL: forged
	uint32_t spi;
	uint64_t mark, sent_ns;
	enum sim_excuse early;
};
LIST_HEAD(sim_parcels, sim_parcel);

struct sim_flow_stats {
	uint64_t sent, received, held, dropped_held, lost, excused[SIM_EXCUSES], forged;
};

// One end of a tunnel.
struct sim_end {
	struct sim_link *link;
	struct sim_node *node;
	struct sim_end *other;
	struct td_life_config life_config;
	struct td_ike_child_config child_config;
	struct td_life_tunnel *tunnel; // NULL: not configured now
	struct sim_sa *current[SIM_SLOTS_MAX];
	unsigned held[SIM_SLOTS_MAX];
	uint64_t held_since_ns[SIM_SLOTS_MAX];
	bool acquire_waits;
	uint64_t unknown_spi_ns; // the next event about one
	bool was_up; // since the last fault
	const struct sim_sa *last; // that slot 0 was sent on
	bool down; // by its operator
	struct td_timer traffic;
	struct sim_flow_stats stats; // of packets that this end sends
};

struct sim_link {
	unsigned index;
	struct sim_end ends[2];
};

// Rule 4 has two halves: broken 4 is that no rekey starts in time, this one that hard limits stop nothing.
#define SIM_BREAK_HARD 6
#define SIM_BREAKS 6

// ---- nodes --------------------------------------------------------------------------------------

struct sim_node {
	struct sim_world *world;
	unsigned index, incarnation;
	int64_t clock_off_ns;
	int64_t clock_ppm;
	struct td_timers timers;
	struct sim_random random;
	uint8_t token_secret[TD_IKE_TOKEN_SECRET_BYTES];
	struct td_ip ip;
	struct td_ike_credential *credential;
	struct td_onertt_static own;
	struct td_onertt_remote public; // the same key as others have it
	int64_t wall_off_us; // of the system's clock
	struct td_accepted *accepted;
	bool bound_found; // its file
	uint64_t bound_us;
	struct td_ike *ike;
	struct td_lifecycle *life;
	struct td_ike_peer_config peer_config[SIM_NODES_MAX];
	struct td_ike_peer *peers[SIM_NODES_MAX]; // by the other node
	bool silent; // what it sends goes nowhere: it crashes
	bool must_be_silent; // what it sends is an error
	struct sim_sa *sas[SIM_SPI_BUCKETS];
	uint32_t spi_first;
	unsigned reserved, installed;
	unsigned refusals; // so many of its next children find no room in the data plane
	unsigned broken; // rule that this node breaks, or SIM_BREAK_HARD; 0: none
	const uint8_t *nonce_bytes; // first bytes of the next nonces, for scripts; NULL: random
	unsigned nonce_count;
	uint64_t moved; // tunnels
	uint64_t ike_up, ike_dead, ike_down, ike_failed, ike_rekeyed; // events
};

// ---- the network of control messages --------------------------------------------------------------

struct sim_weather {
	unsigned loss_percent, duplicate_percent, corrupt_percent;
	uint64_t delay_min_ns, delay_max_ns;
	unsigned late_percent; // messages that take up to late_ns
	uint64_t late_ns;
};

struct sim_answer {
	uint64_t spi_i, spi_r;
	uint32_t id;
	bool to_initiator;
};

struct sim_message {
	struct td_timer timer;
	struct sim_world *world;
	TAILQ_ENTRY(sim_message) all;
	struct sim_node *from, *to;
	struct td_path path; // as the receiver sees it
	uint64_t sent_ns;
	unsigned number;
	bool corrupt, undeliverable;
	size_t length;
	uint8_t data[];
};

// ---- the world --------------------------------------------------------------------------------------

struct sim_world {
	uint64_t seed;
	struct sim_random random;
	uint64_t now_ns;
	struct td_timers timers;
	struct sim_node nodes[SIM_NODES_MAX];
	unsigned node_count;
	struct sim_link links[SIM_LINKS_MAX];
	unsigned link_count;

	struct sim_weather weather;
	uint64_t cut_until_ns[SIM_NODES_MAX][SIM_NODES_MAX]; // from, to: nothing passes
	bool cut_data; // a partition stops data packets too
	bool faulty; // something has gone wrong on purpose: packets may be held, children may expire
	uint64_t healed_ns; // children from before may still suffer
	uint64_t data_delay_min_ns, data_delay_max_ns;
	uint64_t traffic_ns[SIM_LINKS_MAX];
	bool traffic_on;
	TAILQ_HEAD(sim_messages, sim_message) messages; // in flight, or in a script's hands
	bool by_hand; // a script delivers
	struct td_ip nat_ip; // that node 0 is seen with, family 0: its own
	uint16_t nat_shift; // added to its ports
	struct sim_parcels parcels, free_parcels;
	unsigned numbers; // of messages
	struct sim_answer *answers; // delivered, for claims that a peer is dead
	unsigned answer_count, answer_room;

	FILE *trace; // NULL: none
	bool failed;
	char failure[400];
	uint64_t steps, exchanges, packets, rekeys;
};

// world.c
void sim_world_init(struct sim_world *world, uint64_t seed);
void sim_world_free(struct sim_world *world);
// Runs what is due until a time, or a failure.
void sim_world_run(struct sim_world *world, uint64_t until_ns);
// One timer that is due by then. False: none, and the clock is there.
bool sim_world_step(struct sim_world *world, uint64_t until_ns);
uint64_t sim_local_ns(const struct sim_node *node, uint64_t global_ns);
void sim_fail(struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

// node.c
// Nodes and links get their configuration before they start.
void sim_node_init(struct sim_world *world, unsigned index);
struct sim_link *sim_link_add(struct sim_world *world, unsigned node_a, unsigned node_b);
void sim_node_start(struct sim_node *node);
// A crash: nothing is said to anybody, and nothing is remembered.
void sim_node_stop(struct sim_node *node, bool crash);
void sim_node_free(struct sim_node *node);
int sim_end_add(struct sim_end *end);
void sim_end_remove(struct sim_end *end);
void sim_end_down(struct sim_end *end);
void sim_end_up(struct sim_end *end);
static inline char sim_letter(const struct sim_node *node)
{
	return (char)('A' + node->index);
}

// onertt.c
uint64_t sim_wall_us(const struct sim_node *node);
void sim_wall_set(struct sim_node *node, struct sim_random *random); // somebody sets the system's clock
void sim_onertt_keys(struct sim_node *node);
// A peering negotiates by it, with keys of the nodes and all else as in like.
void sim_onertt_configure(
    struct sim_node *node, const struct sim_node *peer, const struct td_onertt_config *like);
void sim_onertt_start(struct sim_node *node);
void sim_onertt_stop(struct sim_node *node, bool crash);
void sim_onertt_free(struct sim_node *node);

// model.c
struct td_life_dataplane sim_model(struct sim_node *node);
struct sim_sa *sim_sa_find(struct sim_node *node, uint32_t spi);
void sim_sas_excuse_all(struct sim_node *node, enum sim_excuse excuse);
void sim_sas_excuse_end(struct sim_end *end, enum sim_excuse excuse);
// The children of an IKE SA that ends for want of answers, and the one being negotiated.
void sim_sas_excuse_dead(struct sim_node *node, const struct td_ike_sa *sa);
void sim_sas_free(struct sim_node *node);

// traffic.c
void sim_traffic_start(struct sim_world *world);
void sim_traffic_stop(struct sim_world *world);
void sim_packet_offer(struct sim_end *end, unsigned slot); // a plain packet comes
void sim_packet_seal(struct sim_end *end, struct sim_sa *sa, bool dummy);
void sim_packet_forge(struct sim_end *end, uint32_t spi);
void sim_held_release(struct sim_end *end, unsigned slot);
void sim_traffic_free(struct sim_world *world);

// network.c
void sim_network_send(struct sim_node *from, const struct td_path *path, const uint8_t *data, size_t length);
void sim_message_deliver(struct sim_message *message);
void sim_message_drop(struct sim_message *message, const char *why);
struct sim_message *sim_message_copy(const struct sim_message *message);
bool sim_network_answered(
    const struct sim_world *world, uint64_t spi_i, uint64_t spi_r, uint32_t id, bool to_initiator);
void sim_network_free(struct sim_world *world);

// trace.c
void sim_trace(const struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace_message(const struct sim_message *message, const char *fate);
// What a message says, as far as the sender's keys open it.
const char *sim_message_text(
    struct sim_node *node, const uint8_t *data, size_t length, char *text, size_t size);
void sim_trace_state(const struct sim_world *world);

// check.c
// All that must hold at every moment.
void sim_check(struct sim_world *world);
// Whether every tunnel that is wanted has its children, no others, and both ends agree; *why says what is
// missing.
bool sim_at_rest(const struct sim_world *world, char *why, size_t size);
// Nothing is left behind by a node that has stopped.
void sim_check_stopped(struct sim_node *node);

// keys.c
void sim_keys_check(struct sim_world *world);
unsigned sim_keys_live(const struct sim_node *node); // IKE SAs that have keys

// scenario.c
struct sim_options {
	unsigned broken; // rule that one node breaks (1 to SIM_BREAKS); 0: none
	FILE *trace;
};
struct sim_result {
	bool failed;
	char failure[400];
	uint64_t exchanges, packets, rekeys, excused[SIM_EXCUSES], simulated_ns;
};
void sim_scenario_run(uint64_t seed, const struct sim_options *options, struct sim_result *result);
