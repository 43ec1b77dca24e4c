// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The packet-side halves of SAs and tunnels. One line that every packet needs comes first; what
// only limits, events and statistics need comes last. Except where a comment names another writer,
// fields are set before publication and never change, or belong to the owner worker.

#include "dataplane/outer.h"
#include "dataplane/publish.h"
#include "dataplane/rcu.h"
#include "dataplane/replay.h"
#include "dataplane/suite.h"

#include <rte_common.h>
#include <rte_ip.h>
#include <rte_prefetch.h>
#include <stdalign.h>

// Tunnels are referred to by number across workers, because a pointer may not outlive a quiescent state.
#define TD_TUNNELS_MAX (1u << 20)

struct td_dp_tunnel {
	struct td_retired retired;
	uint32_t id;
	uint16_t pmtu; // learned path MTU, 0: none. Writer: control thread
	uint16_t tfc, dummy_rate; // see td_dp_tunnel_tfc. Writer: control thread
	uint32_t peer_generation; // grows when the peer moved. Writer: control thread
	// The outbound SA for packets that worker i handles. Writer: control thread (one release store, which
	// pairs with the acquire in esp_out.c: the SA is complete when it is seen). May belong to another
	// worker: then the packet is handed to that owner.
	struct td_sa_out *out[];
};

struct td_sa_in {
	// Line 0: every packet.
	uint32_t spi; // host order
	const struct td_suite *suite;
	const void *schedule;
	uint64_t *bitmap;
	struct td_replay replay; // Writer: owner
	uint16_t owner; // worker
	bool esn;
	bool stopped; // hard limit. Writers: owner (bytes, packets), control thread (time); only ever set
	bool used; // a packet has authenticated. Writer: owner
	bool soft_raised; // Writer: owner

	// Line 1: every packet, after decryption.
	alignas(RTE_CACHE_LINE_SIZE) struct td_dp_tunnel *tunnel;
	uint64_t packets, bytes; // Writer: owner
	uint64_t check_packets, check_bytes; // beyond these a limit is near. Writer: owner
	uint8_t outer_family;
	enum td_sa_mode mode;
	bool udp; // packets come UDP-encapsulated, from whatever source
	bool narrowed; // selectors say what it carries
	uint32_t peer_generation; // of the tunnel, when this SA last told where the peer is. Writer: owner
	rte_be16_t peer_port; // of the last authenticated packet; for udp. Writer: owner

	// Line 2: addresses.
	alignas(RTE_CACHE_LINE_SIZE) uint8_t local[16]; // outer destination
	uint8_t
	    remote[16]; // outer source; for udp that of the last authenticated packet, written by the owner

	// Lines 3 and 4: errors, limits, memory.
	alignas(RTE_CACHE_LINE_SIZE) uint64_t auth_failed; // Writer: owner
	uint64_t replayed, malformed, policy_failed; // Writer: owner
	uint64_t rejected; // for any other reason. Writer: owner
	uint64_t burst_start_tsc; // of the current second of failures. Writer: owner
	uint32_t burst_failures; // Writer: owner
	struct td_sa_limits limits;
	struct td_retired retired;
	struct td_selectors *selectors; // NULL: all that policy sends into the tunnel
	uint32_t alloc_bytes;
	bool published; // Writer and reader: control thread
};

struct td_sa_out {
	// Line 0: every packet.
	uint64_t sequence; // last one used. Writer: owner
	uint64_t check_sequence; // beyond this a limit is near. Writer: owner
	uint64_t bytes; // Writer: owner
	uint64_t check_bytes; // Writer: owner
	const struct td_suite *suite;
	const void *schedule;
	uint64_t iv_base; // random, so that a key given again after a restart hardly repeats a nonce
	rte_be32_t spi;

	// Line 1: every packet.
	alignas(RTE_CACHE_LINE_SIZE) const
	    struct td_outer *outer; // Writer: control thread, by release stores
	struct td_dp_tunnel *tunnel;
	uint16_t owner; // worker
	enum td_sa_mode mode;
	bool esn;
	bool stopped; // Writers: owner (limits), control thread (time); only ever set
	bool narrowed; // selectors say what it carries
	bool soft_raised; // Writer: owner
	// Of the suite and the outer headers, for packets that take the quick way (esp_tunnel.h).
	bool quick; // ESP in tunnel mode, not in UDP, not narrowed
	uint8_t front; // bytes of outer header, ESP header and IV
	uint8_t iv_bytes, icv_bytes, align;
	uint64_t dummies; // sent. Writer: owner
	uint64_t dummy_due_tsc,
	    dummy_sequence; // of the last look: when the next is, what had been sent. Owner

	// Line 2: limits, memory.
	alignas(RTE_CACHE_LINE_SIZE) struct td_sa_limits limits;
	uint64_t dropped; // what it could not seal, for whatever reason. Writer: owner
	struct td_retired retired;
	struct td_selectors *selectors; // NULL: all that policy sends into the tunnel
	uint32_t alloc_bytes;
};

_Static_assert(offsetof(struct td_sa_in, tunnel) == 64, "line 0 of an inbound SA is one cache line");
_Static_assert(offsetof(struct td_sa_in, auth_failed) == 192, "hot part of an inbound SA is three lines");
_Static_assert(sizeof(struct td_sa_in) <= 320, "an inbound SA without bitmap and schedule");
_Static_assert(offsetof(struct td_sa_out, outer) == 64, "line 0 of an outbound SA is one cache line");
_Static_assert(offsetof(struct td_sa_out, limits) == 128, "hot half of an outbound SA is two lines");
_Static_assert(sizeof(struct td_sa_out) <= 256, "an outbound SA without schedule");

// Highest sequence number that may be sent (RFC 4303 3.3.3).
static inline uint64_t td_sa_sequence_max(bool esn)
{
	return esn ? UINT64_MAX - 1 : UINT32_MAX;
}

// The payload count at which the owner has to look at the limits again.
static inline uint64_t td_limit_next(uint64_t soft, uint64_t hard, bool soft_raised)
{
	uint64_t next = UINT64_MAX;

	if (hard)
		next = hard;
	if (soft && !soft_raised && soft < next)
		next = soft;
	return next;
}

// Whether the owner has to look at the limits.
static inline bool td_sa_out_is_due(const struct td_sa_out *sa)
{
	return sa->sequence >= sa->check_sequence || sa->bytes >= sa->check_bytes;
}

// The lines of an SA that every packet needs; and then what these point to.
static inline void td_sa_out_prefetch(const struct td_sa_out *sa)
{
	rte_prefetch0(sa);
	rte_prefetch0(&sa->outer);
}

// What every packet needs of a schedule: round keys and the first powers of the hash key, and what stands at
// the end, salt or algorithms.
#define TD_SCHEDULE_PREFETCH_BYTES 384

static inline void td_schedule_prefetch(const struct td_suite *suite, const void *schedule)
{
	const uint8_t *start = schedule;

	rte_prefetch0(start + suite->schedule_bytes - 1);
#pragma GCC unroll 6
	for (unsigned offset = 0; offset < TD_SCHEDULE_PREFETCH_BYTES; offset += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(start + offset);
}

static inline void td_sa_in_prefetch(const struct td_sa_in *sa)
{
	rte_prefetch0(sa);
	rte_prefetch0(&sa->tunnel);
	rte_prefetch0(sa->local);
}

static inline void td_sa_in_prefetch_more(const struct td_sa_in *sa)
{
	rte_prefetch0(&sa->bitmap[(sa->replay.top >> 6) & sa->replay.word_mask]);
	td_schedule_prefetch(sa->suite, sa->schedule);
}

static inline void td_sa_out_prefetch_more(const struct td_sa_out *sa)
{
	// Pairs with the release in td_dp_sa_out_move. IPv6 needs the second line, too.
	const struct td_outer *outer = __atomic_load_n(&sa->outer, __ATOMIC_ACQUIRE);

	rte_prefetch0(outer);
	if (unlikely(sa->front > sizeof(struct rte_ipv6_hdr)))
		rte_prefetch0(&outer->remote.bytes[sizeof(outer->remote.bytes) - 1]);
	td_schedule_prefetch(sa->suite, sa->schedule);
}

// Works out from the limits and the sequence space when the owner has to look again.
void td_sa_out_rearm(struct td_sa_out *sa);

// Sends a dummy packet on each of at most TD_BURST SAs of this worker (esp_out.c).
struct td_worker;
void td_esp_out_dummies(struct td_worker *worker, struct td_sa_out **sas, unsigned count);

// Control thread: the tunnel goes.
void td_dummy_forget(const struct td_dp_tunnel *tunnel);

// Tunnels by number. Writer: control thread, by release stores.
extern struct td_dp_tunnel **td_tunnels;

// Any worker, inside a read-side section. NULL when the tunnel is gone.
static inline struct td_dp_tunnel *td_tunnel_at(uint32_t id)
{
	// Pairs with the release in td_dp_tunnel_create.
	return __atomic_load_n(&td_tunnels[id], __ATOMIC_ACQUIRE);
}
// Control thread, at stop.
void td_tunnels_fini(void);
