// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/fake_dp.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct td_dp_tunnel {
	uint32_t id;
	struct td_sa_out *slots[TD_WORKERS_MAX];
};

struct td_sa_in {
	struct td_sa_params params;
	bool published, stopped;
};

struct td_sa_out {
	struct td_sa_params params;
	bool stopped;
};

struct fake_dp fake_dp;

static const struct td_suite_info suites[] = {
    {"aes128gcm16", 20, 8, 16, "RFC 4106", TD_SA_ESP},
    {"aes256gcm16", 36, 8, 16, "RFC 4106", TD_SA_ESP},
    {"sha256", 32, 0, 16, "RFC 4868", TD_SA_AH},
};

void fake_dp_reset(void)
{
	memset(&fake_dp, 0, sizeof(fake_dp));
	fake_dp.workers = 2;
	fake_dp.in_stats = (struct td_sa_stats){.packets = 3, .bytes = 300, .replayed = 1};
	fake_dp.out_stats = (struct td_sa_stats){.packets = 4, .bytes = 400, .sequence = 4};
}

unsigned td_dp_worker_count(void)
{
	return fake_dp.workers;
}

unsigned td_dp_port_count(void)
{
	return 1;
}

void td_dp_port_info(unsigned port, struct td_dp_port_info *info)
{
	(void)port;
	*info = (struct td_dp_port_info){
	    .name = "outside", .driver = "net_fake", .role = TD_ROLE_OUTSIDE, .mtu = 1500};
}

void td_dp_worker_info(unsigned worker, struct td_dp_worker_info *info)
{
	*info = (struct td_dp_worker_info){.core = (int)worker, .loops = 7};
}

unsigned td_dp_drop_count(void)
{
	return 2;
}

const struct td_dp_drop_info *td_dp_drop_info(unsigned reason)
{
	static const struct td_dp_drop_info drops[] = {
	    {"esp_replay", "audit", "seen already"},
	    {"ip_ttl", "info", "TTL ran out"},
	};

	return &drops[reason];
}

uint64_t td_dp_drops(unsigned worker, unsigned reason)
{
	return reason == 0 ? worker + 1 : 0;
}

unsigned td_dp_suite_count(void)
{
	return sizeof(suites) / sizeof(suites[0]);
}

const struct td_suite_info *td_dp_suite_info(unsigned suite)
{
	return &suites[suite];
}

int td_dp_suite_find(enum td_sa_protocol protocol, const char *name)
{
	for (unsigned i = 0; i < td_dp_suite_count(); i++)
		if (suites[i].protocol == protocol && strcmp(suites[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

bool td_dp_suite_available(unsigned suite)
{
	return suite == 0;
}

struct td_dp_tunnel *td_dp_tunnel_create(uint32_t id)
{
	struct td_dp_tunnel *tunnel = calloc(1, sizeof(*tunnel));

	tunnel->id = id;
	fake_dp.tunnels++;
	return tunnel;
}

void td_dp_tunnel_remove(struct td_dp_tunnel *tunnel)
{
	fake_dp.tunnels--;
	free(tunnel);
}

int td_dp_tunnel_tfc(struct td_dp_tunnel *tunnel, uint16_t tfc_bytes, uint16_t dummy_rate)
{
	(void)tunnel;
	fake_dp.tfc = tfc_bytes;
	fake_dp.dummy_rate = dummy_rate;
	return 0;
}

int td_dp_dummy_send(struct td_dp_tunnel *tunnel, unsigned worker)
{
	(void)tunnel, (void)worker;
	return 0;
}

static bool create_fails(struct td_error *error)
{
	if (++fake_dp.creates != fake_dp.create_fails_at)
		return false;
	td_error_set(error, -ENOMEM, NULL, "", "out of memory");
	return true;
}

struct td_sa_in *td_dp_sa_in_create(const struct td_sa_params *params, struct td_error *error)
{
	struct td_sa_in *sa = create_fails(error) ? NULL : calloc(1, sizeof(*sa));

	if (!sa)
		return NULL;
	sa->params = fake_dp.created = *params;
	fake_dp.in_live++;
	return sa;
}

struct td_sa_out *td_dp_sa_out_create(const struct td_sa_params *params, struct td_error *error)
{
	struct td_sa_out *sa = create_fails(error) ? NULL : calloc(1, sizeof(*sa));

	if (!sa)
		return NULL;
	sa->params = fake_dp.created = *params;
	fake_dp.out_live++;
	return sa;
}

int td_dp_sa_in_reserve(unsigned worker, unsigned count)
{
	if (fake_dp.reserve_fails)
		return -ENOMEM;
	fake_dp.reserved[worker] += count;
	return 0;
}

// What the contract forbids ends the test.
static void insist(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken contract: %s\n", what);
	abort();
}

void td_dp_sa_in_publish(struct td_sa_in *sa)
{
	insist(fake_dp.reserved[sa->params.owner] > 0, "room is reserved before publishing");
	fake_dp.reserved[sa->params.owner]--;
	sa->published = true;
	fake_dp.in_published++;
}

void td_dp_sa_in_remove(struct td_sa_in *sa)
{
	fake_dp.in_live--;
	fake_dp.in_removed++;
	free(sa);
}

void td_dp_sa_out_remove(struct td_sa_out *sa)
{
	for (unsigned worker = 0; worker < TD_WORKERS_MAX; worker++)
		insist(sa->params.tunnel->slots[worker] != sa, "a removed outbound SA is in no slot");
	fake_dp.out_live--;
	fake_dp.out_removed++;
	free(sa);
}

void td_dp_tunnel_switch(struct td_dp_tunnel *tunnel, unsigned worker, struct td_sa_out *sa)
{
	tunnel->slots[worker] = sa;
	fake_dp.switches++;
}

struct td_sa_out *td_dp_tunnel_current(const struct td_dp_tunnel *tunnel, unsigned worker)
{
	return tunnel->slots[worker];
}

void td_dp_sa_in_stop(struct td_sa_in *sa)
{
	sa->stopped = true;
	fake_dp.in_stopped++;
}

void td_dp_sa_out_stop(struct td_sa_out *sa)
{
	sa->stopped = true;
	fake_dp.out_stopped++;
}

void td_dp_sa_in_stats(const struct td_sa_in *sa, struct td_sa_stats *stats)
{
	*stats = fake_dp.in_stats;
	stats->stopped |= sa->stopped;
}

void td_dp_sa_out_stats(const struct td_sa_out *sa, struct td_sa_stats *stats)
{
	*stats = fake_dp.out_stats;
	stats->stopped |= sa->stopped;
}

void td_dp_tunnel_pmtu(struct td_dp_tunnel *tunnel, unsigned mtu)
{
	(void)tunnel;
	fake_dp.pmtu = mtu;
}

int td_dp_sa_out_move(struct td_sa_out *sa, const struct td_ip *remote, uint16_t udp_remote_port)
{
	(void)sa, (void)remote;
	fake_dp.moves++;
	fake_dp.moved_port = udp_remote_port;
	return 0;
}

int td_dp_nat_keepalive(
    const struct td_ip *local, const struct td_ip *remote, uint16_t udp_local_port, uint16_t udp_remote_port)
{
	(void)local, (void)remote, (void)udp_local_port, (void)udp_remote_port;
	fake_dp.keepalives++;
	return 0;
}

void td_dp_tunnel_moved(struct td_dp_tunnel *tunnel)
{
	(void)tunnel;
}

struct td_dp_hits {
	uint64_t packets;
};

struct td_dp_hits *td_dp_hits_create(void)
{
	struct td_dp_hits *hits = calloc(1, sizeof(*hits));

	hits->packets = 100 + fake_dp.hits_live++;
	return hits;
}

void td_dp_hits_remove(struct td_dp_hits *hits)
{
	for (unsigned i = 0; hits && i < fake_dp.policy_count && i < 8; i++)
		insist(fake_dp.policies[i].hits != hits, "no published policy names a removed counter");
	fake_dp.hits_live -= hits != NULL;
	free(hits);
}

uint64_t td_dp_hits_read(const struct td_dp_hits *hits, unsigned worker)
{
	return hits ? hits->packets + worker : 5;
}

struct td_dp_policies {
	unsigned count;
	struct td_dp_policy policies[8];
};

struct td_dp_policies *td_dp_policies_build(
    const struct td_dp_policy *policies, unsigned count, int *result, struct td_error *error)
{
	uint64_t end_ns = td_clock_now_ns() + fake_dp.policy_ms * TD_NS_PER_MS;
	struct td_dp_policies *built = NULL;

	// Until it is done both are the builder's alone: when it writes them is nobody else's business.
	do
		*result = fake_dp.policy_fails && count > 0
		              ? td_error_set(error, -ENOMEM, "policy", "", "cannot build the classifier")
		              : 0;
	while (td_clock_now_ns() < end_ns);
	if (*result == 0)
		built = calloc(1, sizeof(*built));
	if (!built)
		return NULL;
	built->count = count;
	for (unsigned i = 0; i < count && i < 8; i++)
		built->policies[i] = policies[i];
	return built;
}

void td_dp_policies_publish(struct td_dp_policies *built)
{
	memcpy(fake_dp.policies, built->policies, sizeof(fake_dp.policies));
	fake_dp.policy_count = built->count;
	fake_dp.policies_set++;
	free(built);
}

void td_dp_policies_free(struct td_dp_policies *built)
{
	free(built);
}

int td_dp_policy_set(const struct td_dp_policy *policies, unsigned count, struct td_error *error)
{
	int result;
	struct td_dp_policies *built = td_dp_policies_build(policies, count, &result, error);

	if (built)
		td_dp_policies_publish(built);
	return result;
}

int td_dp_tunnel_route_set(const struct td_prefix *prefix, struct td_dp_tunnel *tunnel)
{
	(void)prefix, (void)tunnel;
	return 0;
}

void td_dp_tunnel_route_delete(const struct td_prefix *prefix)
{
	(void)prefix;
}

// ---- trace ------------------------------------------------------------------------------------

int td_dp_trace_start(const struct td_dp_filter *filter, unsigned count, int worker)
{
	(void)count;
	(void)worker;
	fake_dp.tracing = true;
	fake_dp.trace_filter = *filter;
	return 0;
}

void td_dp_trace_stop(void)
{
	fake_dp.tracing = false;
}

unsigned td_dp_trace_receive(struct td_trace_record *records, unsigned max)
{
	unsigned count = fake_dp.record_count < max ? fake_dp.record_count : max;

	memcpy(records, fake_dp.records, count * sizeof(*records));
	fake_dp.records += count;
	fake_dp.record_count -= count;
	return count;
}

uint64_t td_dp_trace_lost(void)
{
	return 0;
}

bool td_dp_trace_full(void)
{
	return false;
}

uint64_t td_dp_trace_age_ns(void)
{
	return fake_dp.trace_age_ns;
}

// ---- capture ----------------------------------------------------------------------------------

int td_dp_capture_start(const struct td_dp_capture *capture)
{
	fake_dp.capture = *capture;
	fake_dp.capturing = true;
	return 0;
}

unsigned td_dp_capture_receive(unsigned max, td_capture_fn fn, void *context)
{
	unsigned count = 0;

	for (; count < max && fake_dp.frame_count > 0; count++, fake_dp.frame_count--)
		fn(context, fake_dp.frames++);
	return count;
}

void td_dp_capture_stop(void)
{
	fake_dp.capturing = false;
}

bool td_dp_capture_free(void)
{
	return fake_dp.frame_count == 0;
}

uint64_t td_dp_capture_lost(void)
{
	return 0;
}
