// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the SAD share with each other and with nobody else.

#include "common/hash.h"
#include "control/sad/keys.h"
#include "control/sad/sad.h"

#include <sys/queue.h>

struct td_sad_entry {
	struct td_sa sa; // first: a pointer to it is a pointer to the entry
	struct td_sad *sad;
	TAILQ_ENTRY(td_sad_entry) all, in_tunnel;
	struct td_hash_node by_spi, by_key;
	struct td_fingerprint fingerprint;
	unsigned slot_count; // workers that send on it
	struct td_sad_entry *replaced; // valid during a switch only
	uint64_t batch; // the last change that named it
	bool soft_told; // a soft limit of its counters
};
TAILQ_HEAD(td_sad_list, td_sad_entry);

struct td_sad_tunnel {
	struct td_tunnel tunnel; // first
	struct td_hash_node by_name;
	struct td_hash *named; // where it is found by its name; NULL: nowhere
	bool leaving; // it goes with the next configuration
	struct td_sad_list sas;
	struct td_loop *loop;
	unsigned slot_count; // workers
	struct td_sad_entry *slots[]; // by worker: what it sends on
};

struct td_sad {
	struct td_loop *loop;
	td_sad_event_fn fn;
	void *context;
	unsigned worker_count;
	uint64_t batch; // counts changes
	uint32_t tunnel_end, tunnel_next; // numbers: none is as high, and the next to be given
	struct td_sad_tunnel **tunnels; // by number; NULL: none has it
	struct td_sad_list all;
	// Where a walk that tells events is, and where it goes on; removing an entry moves them off it.
	struct td_sad_entry *visited, *next;
	uint32_t out_count;
	struct td_hash names, in, out, keys;
	struct td_hash coming; // by name: those that are to be shown
	struct td_used_keys used;
};

static inline struct td_sad_entry *td_sad_entry_of(const struct td_sa *sa)
{
	return (struct td_sad_entry *)(uintptr_t)sa;
}

static inline struct td_sad_tunnel *td_sad_tunnel_of(const struct td_tunnel *tunnel)
{
	return (struct td_sad_tunnel *)(uintptr_t)tunnel;
}

// Makes a tunnel known by its name, in names or coming. Room must have been reserved there.
void td_sad_tunnel_link(struct td_hash *names, struct td_sad_tunnel *tunnel);
void td_sad_tunnel_unlink(struct td_sad_tunnel *tunnel);
// tunnels.c: all of a configuration. Returns 0 or -ENOMEM.
int td_sad_tunnels_create(struct td_sad *sad, const struct td_config *config);
// Makes room in the tables for count more SAs, out_count of them outbound. Returns 0 or -ENOMEM.
int td_sad_reserve(struct td_sad *sad, unsigned count, unsigned out_count);
// Into and out of the lists and tables. Room must have been reserved.
void td_sad_link(struct td_sad *sad, struct td_sad_entry *entry);
void td_sad_unlink(struct td_sad *sad, struct td_sad_entry *entry);
// A live SA with this key, or NULL.
struct td_sad_entry *td_sad_key_find(const struct td_sad *sad, const struct td_fingerprint *fingerprint);
// Whoever is told may remove any SA: an entry that is told about may be gone afterwards.
void td_sad_tell(
    struct td_sad *sad, const char *kind, const struct td_sad_entry *entry, const struct td_event *event);
// Timers of an SA, armed by its lifetimes.
void td_sad_timers_arm(struct td_sad_entry *entry);
void td_sad_timers_cancel(struct td_sad_entry *entry);
// Removes an SA at once: slots, data plane, tables, memory. td_sad_reserve has made room for its fingerprint.
void td_sad_entry_remove(struct td_sad_entry *entry);
// "sa 0x00001001 (in)"; size is of the text.
void td_sad_describe(uint32_t spi, bool outbound, char *text, size_t size);
// path.c: reports of workers about a tunnel's peer and path.
void td_sad_peer_moved(struct td_sad *sad, const struct td_event *event);
void td_sad_pmtu(struct td_sad *sad, const struct td_event *event);
// Starts the NAT keepalives of a UDP-encapsulated tunnel.
void td_sad_keepalive_arm(struct td_sad_tunnel *tunnel);
// switch.c: makes prepared outbound SAs current, publishes the changed slots and tells.
void td_sad_switch_apply(struct td_sad *sad, struct td_sad_entry **entries, unsigned count);
// Takes an outbound SA out of all slots, in favour of a current one of its tunnel that the change does not
// name.
void td_sad_slots_release(struct td_sad_entry *entry);
