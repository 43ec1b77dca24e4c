// SPDX-License-Identifier: BSD-3-Clause
// Finding tunnels and SAs: lists and hash tables.
#include "control/sad/internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ENTRY_BY(node, member) ((struct td_sad_entry *)((char *)(node)-offsetof(struct td_sad_entry, member)))
#define TUNNEL_BY_NAME(node)                                                                                 \
	((struct td_sad_tunnel *)((char *)(node)-offsetof(struct td_sad_tunnel, by_name)))

static uint64_t name_hash(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull; // FNV-1a

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
	return td_hash_mix(hash);
}

static uint64_t out_hash(const struct td_tunnel *tunnel, uint32_t spi)
{
	return td_hash_mix((uint64_t)tunnel->id << 32 | spi);
}

static uint64_t key_hash(const struct td_fingerprint *fingerprint)
{
	uint64_t hash;

	memcpy(&hash, fingerprint->bytes, sizeof(hash));
	return hash;
}

static struct td_tunnel *name_find(const struct td_hash *names, const char *name)
{
	struct td_hash_node *node = td_hash_first(names, name_hash(name));

	for (; node; node = td_hash_next(node))
		if (strcmp(TUNNEL_BY_NAME(node)->tunnel.config.name, name) == 0)
			return &TUNNEL_BY_NAME(node)->tunnel;
	return NULL;
}

struct td_tunnel *td_sad_tunnel_find(const struct td_sad *sad, const char *name)
{
	return name_find(&sad->names, name);
}

struct td_tunnel *td_sad_tunnel_find_next(const struct td_sad *sad, const char *name)
{
	struct td_tunnel *tunnel = name_find(&sad->coming, name);

	if (tunnel)
		return tunnel;
	tunnel = name_find(&sad->names, name);
	return tunnel && !td_sad_tunnel_of(tunnel)->leaving ? tunnel : NULL;
}

struct td_tunnel *td_sad_tunnel_at(const struct td_sad *sad, uint32_t id)
{
	return id < sad->tunnel_end && sad->tunnels[id] ? &sad->tunnels[id]->tunnel : NULL;
}

void td_sad_tunnel_link(struct td_hash *names, struct td_sad_tunnel *tunnel)
{
	td_hash_link(names, &tunnel->by_name, name_hash(tunnel->tunnel.config.name));
	tunnel->named = names;
}

void td_sad_tunnel_unlink(struct td_sad_tunnel *tunnel)
{
	if (tunnel->named)
		td_hash_unlink(tunnel->named, &tunnel->by_name);
	tunnel->named = NULL;
}

struct td_sa *td_sad_sa_find_in(const struct td_sad *sad, uint32_t spi)
{
	struct td_hash_node *node = td_hash_first(&sad->in, td_hash_mix(spi));

	// The mix is a bijection: the same hash is the same SPI.
	return node ? &ENTRY_BY(node, by_spi)->sa : NULL;
}

uint32_t td_sad_spi_fresh(const struct td_sad *sad, unsigned worker, uint32_t random)
{
	for (uint32_t i = 0; i < 1u << TD_SPI_OWNER_SHIFT; i++) {
		uint32_t spi = td_dp_spi_make(worker, random + i);

		if (!td_sad_sa_find_in(sad, spi))
			return spi;
	}
	return 0;
}

bool td_sad_spi_is_free(const struct td_sad *sad, uint32_t spi)
{
	return !td_sad_sa_find_in(sad, spi);
}

struct td_sa *td_sad_sa_find_out(const struct td_sad *sad, const struct td_tunnel *tunnel, uint32_t spi)
{
	struct td_hash_node *node = td_hash_first(&sad->out, out_hash(tunnel, spi));

	return node ? &ENTRY_BY(node, by_spi)->sa : NULL;
}

struct td_sad_entry *td_sad_key_find(const struct td_sad *sad, const struct td_fingerprint *fingerprint)
{
	struct td_hash_node *node = td_hash_first(&sad->keys, key_hash(fingerprint));

	for (; node; node = td_hash_next(node))
		if (memcmp(&ENTRY_BY(node, by_key)->fingerprint, fingerprint, sizeof(*fingerprint)) == 0)
			return ENTRY_BY(node, by_key);
	return NULL;
}

int td_sad_reserve(struct td_sad *sad, unsigned count, unsigned out_count)
{
	if (td_hash_reserve(&sad->in, count) || td_hash_reserve(&sad->out, count) ||
	    td_hash_reserve(&sad->keys, count))
		return -ENOMEM;
	return td_used_keys_reserve(&sad->used, sad->out_count + out_count);
}

void td_sad_link(struct td_sad *sad, struct td_sad_entry *entry)
{
	struct td_sa *sa = &entry->sa;

	TAILQ_INSERT_TAIL(&sad->all, entry, all);
	TAILQ_INSERT_TAIL(&td_sad_tunnel_of(sa->tunnel)->sas, entry, in_tunnel);
	td_hash_link(&sad->keys, &entry->by_key, key_hash(&entry->fingerprint));
	if (sa->outbound) {
		td_hash_link(&sad->out, &entry->by_spi, out_hash(sa->tunnel, sa->spi));
		sa->tunnel->out_count++;
		sad->out_count++;
	} else {
		td_hash_link(&sad->in, &entry->by_spi, td_hash_mix(sa->spi));
		sa->tunnel->in_count++;
	}
}

void td_sad_unlink(struct td_sad *sad, struct td_sad_entry *entry)
{
	struct td_sa *sa = &entry->sa;

	TAILQ_REMOVE(&sad->all, entry, all);
	TAILQ_REMOVE(&td_sad_tunnel_of(sa->tunnel)->sas, entry, in_tunnel);
	td_hash_unlink(&sad->keys, &entry->by_key);
	if (sa->outbound) {
		td_hash_unlink(&sad->out, &entry->by_spi);
		sa->tunnel->out_count--;
		sad->out_count--;
	} else {
		td_hash_unlink(&sad->in, &entry->by_spi);
		sa->tunnel->in_count--;
	}
}

void td_sad_foreach(
    const struct td_sad *sad, void (*fn)(void *context, const struct td_sa *sa), void *context)
{
	const struct td_sad_entry *entry;

	TAILQ_FOREACH (entry, &sad->all, all)
		fn(context, &entry->sa);
}

void td_sad_tunnel_foreach(
    const struct td_tunnel *tunnel, void (*fn)(void *context, const struct td_sa *sa), void *context)
{
	const struct td_sad_entry *entry;

	TAILQ_FOREACH (entry, &td_sad_tunnel_of(tunnel)->sas, in_tunnel)
		fn(context, &entry->sa);
}

const struct td_sa *td_sad_tunnel_current(const struct td_tunnel *tunnel, unsigned worker)
{
	const struct td_sad_tunnel *t = td_sad_tunnel_of(tunnel);

	return worker < t->slot_count && t->slots[worker] ? &t->slots[worker]->sa : NULL;
}

bool td_sad_sa_is_current(const struct td_sa *sa)
{
	return td_sad_entry_of(sa)->slot_count > 0;
}

const char *td_sa_state_name(enum td_sa_state state)
{
	static const char *const names[] = {
	    [TD_SA_PENDING] = "pending",
	    [TD_SA_ACTIVE] = "active",
	    [TD_SA_DRAINING] = "draining",
	    [TD_SA_RETIRED] = "retired",
	    [TD_SA_EXPIRED] = "expired",
	};

	return names[state];
}

void td_sad_describe(uint32_t spi, bool outbound, char *text, size_t size)
{
	snprintf(text, size, "sa 0x%08x (%s)", spi, outbound ? "out" : "in");
}
