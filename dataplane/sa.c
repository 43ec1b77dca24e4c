// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sa.h"

#include "dataplane/counter.h"
#include "dataplane/out_table.h"
#include "dataplane/selectors.h"
#include "dataplane/slab.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

// Tunnels by number. Writer: control thread, by release stores.
struct td_dp_tunnel **td_tunnels;

static uint32_t now_s(void)
{
	return (uint32_t)(rte_rdtsc() / td_dp.tsc_hz);
}

// ---- tunnels ----------------------------------------------------------------------------------

void td_tunnels_fini(void)
{
	if (td_tunnels)
		munmap(td_tunnels, TD_TUNNELS_MAX * sizeof(td_tunnels[0]));
	td_tunnels = NULL;
}

static size_t tunnel_bytes(void)
{
	return sizeof(struct td_dp_tunnel) + td_dp_worker_count() * sizeof(struct td_sa_out *);
}

struct td_dp_tunnel *td_dp_tunnel_create(uint32_t id)
{
	if (id >= TD_TUNNELS_MAX)
		return NULL;
	if (!td_tunnels) {
		// Reserved, not committed: pages come as tunnels do.
		void *map = mmap(NULL, TD_TUNNELS_MAX * sizeof(td_tunnels[0]), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (map == MAP_FAILED)
			return NULL;
		// Advice only: numbers of many tunnels lie far apart.
		(void)madvise(map, TD_TUNNELS_MAX * sizeof(td_tunnels[0]), MADV_HUGEPAGE);
		td_tunnels = map;
	}
	struct td_dp_tunnel *tunnel = td_slab_alloc(tunnel_bytes());
	if (!tunnel)
		return NULL;
	tunnel->id = id;
	__atomic_store_n(&td_tunnels[id], tunnel, __ATOMIC_RELEASE);
	return tunnel;
}

static void tunnel_release(struct td_retired *retired)
{
	td_slab_free(RTE_PTR_SUB(retired, offsetof(struct td_dp_tunnel, retired)), tunnel_bytes());
}

void td_dp_tunnel_remove(struct td_dp_tunnel *tunnel)
{
	td_dummy_forget(tunnel);
	__atomic_store_n(&td_tunnels[tunnel->id], NULL, __ATOMIC_RELEASE);
	td_rcu_retire(&tunnel->retired, tunnel_release);
}

void td_dp_tunnel_switch(struct td_dp_tunnel *tunnel, unsigned worker, struct td_sa_out *sa)
{
	// The single-store switch of docs/architecture.md. Pairs with the acquire in esp_out.c.
	__atomic_store_n(&tunnel->out[worker], sa, __ATOMIC_RELEASE);
	// Pairs with the acquire in td_acquire_poll.
	__atomic_store_n(&td_dp.switch_generation, td_dp.switch_generation + 1, __ATOMIC_RELEASE);
}

void td_dp_tunnel_moved(struct td_dp_tunnel *tunnel)
{
	__atomic_store_n(&tunnel->peer_generation, tunnel->peer_generation + 1, __ATOMIC_RELAXED);
}

void td_dp_tunnel_pmtu(struct td_dp_tunnel *tunnel, unsigned mtu)
{
	__atomic_store_n(&tunnel->pmtu, (uint16_t)mtu, __ATOMIC_RELAXED);
}

struct td_sa_out *td_dp_tunnel_current(const struct td_dp_tunnel *tunnel, unsigned worker)
{
	return tunnel->out[worker]; // this thread is its writer
}

// ---- creation ---------------------------------------------------------------------------------

static int params_check(const struct td_sa_params *params, struct td_error *error)
{
	const struct td_suite_info *info = &td_suite_at(params->suite)->info;

	if (params->local.family != params->remote.family || params->local.family == 0)
		return td_error_set(
		    error, -EINVAL, NULL, "tunnel", "needs outer addresses of one family at both ends");
	if (!td_dp_suite_available(params->suite))
		return td_error_set(
		    error, -ENOTSUP, NULL, "suite", "%s: this CPU lacks the instructions for it", info->name);
	if (params->key->length != info->key_bytes)
		return td_error_set(error, -EINVAL, NULL, "key", "is %zu bytes, %s needs %u",
		    params->key->length, info->name, info->key_bytes);
	if ((params->udp_local_port == 0) != (params->udp_remote_port == 0))
		return td_error_set(error, -EINVAL, NULL, "udp_port", "is needed at both ends or at none");
	if (info->protocol == TD_SA_AH && params->udp_remote_port)
		return td_error_set(error, -EINVAL, NULL, "protocol",
		    "is ah, which does not go through the UDP encapsulation of the tunnel (RFC 3948 is for "
		    "esp)");
	return 0;
}

// Expands the key behind an SA's structure. Returns 0 or -errno.
static int key_install(void *schedule, const struct td_sa_params *params, struct td_error *error)
{
	int result = td_suite_at(params->suite)->expand(td_dp.control_mgr, params->key->bytes, schedule);

	return result ? td_error_set(error, result, NULL, "", "cannot expand the key: %s", strerror(-result))
	              : 0;
}

// Returns 0 or -ENOMEM.
static int selectors_install(const struct td_sa_params *params, struct td_selectors **selectors,
    bool *narrowed, struct td_error *error)
{
	*narrowed = params->local_selector_count > 0 && params->remote_selector_count > 0;
	*selectors = *narrowed ? td_selectors_create(params) : NULL;
	return *narrowed && !*selectors ? td_error_set(error, -ENOMEM, NULL, "", "out of memory") : 0;
}

struct td_sa_in *td_dp_sa_in_create(const struct td_sa_params *params, struct td_error *error)
{
	const struct td_suite *suite = td_suite_at(params->suite);

	if (params_check(params, error))
		return NULL;
	if (params->replay_window < TD_REPLAY_WINDOW_MIN || params->replay_window > TD_REPLAY_WINDOW_MAX) {
		td_error_set(error, -EINVAL, NULL, "replay_window", "must be %u to %u packets",
		    TD_REPLAY_WINDOW_MIN, TD_REPLAY_WINDOW_MAX);
		return NULL;
	}
	size_t bitmap_bytes =
	    RTE_ALIGN_CEIL(td_replay_words(params->replay_window) * 8, (size_t)RTE_CACHE_LINE_SIZE);
	size_t size = sizeof(struct td_sa_in) + bitmap_bytes + suite->schedule_bytes;
	struct td_sa_in *sa = td_slab_alloc(size);
	if (!sa) {
		td_error_set(error, -ENOMEM, NULL, "", "out of memory");
		return NULL;
	}
	sa->alloc_bytes = (uint32_t)size;
	sa->spi = params->spi;
	sa->suite = suite;
	sa->bitmap = (uint64_t *)(sa + 1);
	uint8_t *schedule = (uint8_t *)(sa + 1) + bitmap_bytes;
	sa->schedule = schedule;
	if (selectors_install(params, &sa->selectors, &sa->narrowed, error) ||
	    key_install(schedule, params, error)) {
		td_selectors_free(sa->selectors);
		td_slab_free(sa, size);
		return NULL;
	}
	td_replay_init(&sa->replay, params->replay_window);
	sa->owner = (uint16_t)params->owner;
	sa->esn = params->esn;
	sa->tunnel = params->tunnel;
	sa->mode = params->mode;
	sa->udp = params->udp_remote_port != 0;
	sa->peer_generation = params->tunnel->peer_generation;
	sa->peer_port = rte_cpu_to_be_16(params->udp_remote_port);
	sa->outer_family = params->local.family;
	memcpy(sa->local, params->local.bytes, sizeof(sa->local));
	memcpy(sa->remote, params->remote.bytes, sizeof(sa->remote));
	sa->limits = params->limits;
	sa->check_packets = td_limit_next(sa->limits.soft_packets, sa->limits.hard_packets, false);
	sa->check_bytes = td_limit_next(sa->limits.soft_bytes, sa->limits.hard_bytes, false);
	return sa;
}

// The soft limit that the sequence space itself sets on an SA without ESN.
static uint64_t sequence_soft(const struct td_sa_out *sa)
{
	return sa->esn ? UINT64_MAX - 1 : UINT32_MAX - TD_SEQ_SOFT_LEFT;
}

void td_sa_out_rearm(struct td_sa_out *sa)
{
	uint64_t hard = td_sa_sequence_max(sa->esn);
	uint64_t soft = sequence_soft(sa);

	// Packets are counted by the sequence number: the first packet is number 1.
	if (sa->limits.hard_packets && sa->limits.hard_packets < hard)
		hard = sa->limits.hard_packets;
	if (sa->limits.soft_packets && sa->limits.soft_packets < soft)
		soft = sa->limits.soft_packets;
	sa->check_sequence = td_limit_next(soft, hard, sa->soft_raised);
	sa->check_bytes = td_limit_next(sa->limits.soft_bytes, sa->limits.hard_bytes, sa->soft_raised);
}

struct td_sa_out *td_dp_sa_out_create(const struct td_sa_params *params, struct td_error *error)
{
	const struct td_suite *suite = td_suite_at(params->suite);
	size_t size = sizeof(struct td_sa_out) + suite->schedule_bytes;

	if (params_check(params, error))
		return NULL;
	struct td_sa_out *sa = td_slab_alloc(size);
	struct td_outer *outer = td_outer_create(params);
	if (!sa || !outer || td_random(&sa->iv_base, sizeof(sa->iv_base)) || td_out_table_reserve()) {
		td_outer_free(outer);
		td_slab_free(sa, size);
		td_error_set(error, -ENOMEM, NULL, "", "out of memory");
		return NULL;
	}
	sa->alloc_bytes = (uint32_t)size;
	sa->spi = rte_cpu_to_be_32(params->spi);
	sa->suite = suite;
	sa->schedule = sa + 1;
	if (selectors_install(params, &sa->selectors, &sa->narrowed, error) ||
	    key_install(sa + 1, params, error)) {
		td_selectors_free(sa->selectors);
		td_outer_free(outer);
		td_slab_free(sa, size);
		return NULL;
	}
	sa->owner = (uint16_t)params->owner;
	sa->mode = params->mode;
	sa->esn = params->esn;
	sa->tunnel = params->tunnel;
	sa->outer = outer;
	sa->quick = params->mode == TD_SA_TUNNEL && suite->info.protocol == TD_SA_ESP && !outer->udp_length &&
	            !sa->narrowed;
	sa->front = (uint8_t)(outer->ip_length + outer->udp_length + sizeof(struct rte_esp_hdr) +
	                      suite->info.iv_bytes);
	sa->iv_bytes = (uint8_t)suite->info.iv_bytes;
	sa->icv_bytes = (uint8_t)suite->info.icv_bytes;
	sa->align = (uint8_t)suite->align;
	sa->limits = params->limits;
	td_sa_out_rearm(sa);
	td_out_table_add(sa);
	return sa;
}

static void outer_release(struct td_retired *retired)
{
	td_outer_free(RTE_PTR_SUB(retired, offsetof(struct td_outer, retired)));
}

int td_dp_sa_out_move(struct td_sa_out *sa, const struct td_ip *remote, uint16_t udp_remote_port)
{
	struct td_outer *old = (struct td_outer *)(uintptr_t)sa->outer;
	struct td_outer *moved = td_outer_copy(old, remote, udp_remote_port);

	if (!moved || td_out_table_reserve()) {
		td_outer_free(moved);
		return -ENOMEM;
	}
	td_out_table_remove(sa);
	// Pairs with the acquire in esp_out.c.
	__atomic_store_n(&sa->outer, moved, __ATOMIC_RELEASE);
	td_out_table_add(sa);
	td_rcu_retire(&old->retired, outer_release);
	return 0;
}

// ---- publication ------------------------------------------------------------------------------

int td_dp_sa_in_reserve(unsigned worker, unsigned count)
{
	return td_spi_table_reserve(&td_dp.workers[worker]->spi_table, count, now_s());
}

void td_dp_sa_in_publish(struct td_sa_in *sa)
{
	sa->published = true;
	td_spi_table_add(&td_dp.workers[sa->owner]->spi_table, sa->spi, sa);
}

static void sa_in_release(struct td_retired *retired)
{
	struct td_sa_in *sa = RTE_PTR_SUB(retired, offsetof(struct td_sa_in, retired));

	td_selectors_free(sa->selectors);
	td_slab_free(sa, sa->alloc_bytes);
}

static void sa_out_release(struct td_retired *retired)
{
	struct td_sa_out *sa = RTE_PTR_SUB(retired, offsetof(struct td_sa_out, retired));

	td_outer_free((struct td_outer *)(uintptr_t)sa->outer);
	td_selectors_free(sa->selectors);
	td_slab_free(sa, sa->alloc_bytes);
}

void td_dp_sa_in_remove(struct td_sa_in *sa)
{
	if (!sa->published) {
		td_selectors_free(sa->selectors);
		td_slab_free(sa, sa->alloc_bytes);
		return;
	}
	td_spi_table_remove(&td_dp.workers[sa->owner]->spi_table, sa->spi, now_s());
	td_rcu_retire(&sa->retired, sa_in_release);
}

void td_dp_sa_out_remove(struct td_sa_out *sa)
{
	td_out_table_remove(sa);
	td_rcu_retire(&sa->retired, sa_out_release);
}

void td_dp_sa_in_stop(struct td_sa_in *sa)
{
	__atomic_store_n(&sa->stopped, true, __ATOMIC_RELAXED);
}

void td_dp_sa_out_stop(struct td_sa_out *sa)
{
	__atomic_store_n(&sa->stopped, true, __ATOMIC_RELAXED);
}

void td_dp_sa_in_stats(const struct td_sa_in *sa, struct td_sa_stats *stats)
{
	*stats = (struct td_sa_stats){
	    .packets = td_counter_read(&sa->packets),
	    .bytes = td_counter_read(&sa->bytes),
	    .sequence = td_counter_read(&sa->replay.top),
	    .auth_failed = td_counter_read(&sa->auth_failed),
	    .replayed = td_counter_read(&sa->replayed),
	    .malformed = td_counter_read(&sa->malformed),
	    .policy_failed = td_counter_read(&sa->policy_failed),
	    .rejected = td_counter_read(&sa->rejected),
	    .stopped = __atomic_load_n(&sa->stopped, __ATOMIC_RELAXED),
	};
}

void td_dp_sa_out_stats(const struct td_sa_out *sa, struct td_sa_stats *stats)
{
	uint64_t sequence = td_counter_read(&sa->sequence);

	*stats = (struct td_sa_stats){
	    .packets = sequence,
	    .bytes = td_counter_read(&sa->bytes),
	    .sequence = sequence,
	    .dummies = td_counter_read(&sa->dummies),
	    .dropped = td_counter_read(&sa->dropped),
	    .stopped = __atomic_load_n(&sa->stopped, __ATOMIC_RELAXED),
	};
}
