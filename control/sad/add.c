// SPDX-License-Identifier: BSD-3-Clause
// sa.add: everything that can fail is done before anything is shown to a worker.
#include "common/clock.h"
#include "control/sad/internal.h"

#include <errno.h>
#include <stdlib.h>

static int limit_check(const char *field, uint64_t soft, uint64_t hard, struct td_error *error)
{
	if (hard && soft > hard)
		return td_error_set(error, -EINVAL, NULL, field, "is above the hard limit");
	return 0;
}

static int lifetimes_check(const struct td_sa_request *request, struct td_error *error)
{
	const struct td_sa_limits *limits = &request->limits;

	if (request->soft_time_ms > TD_SA_TIME_MAX_MS)
		return td_error_set(error, -EINVAL, NULL, "soft_ms", "is more than a century");
	if (request->hard_time_ms > TD_SA_TIME_MAX_MS)
		return td_error_set(error, -EINVAL, NULL, "hard_ms", "is more than a century");
	if (limit_check("soft_bytes", limits->soft_bytes, limits->hard_bytes, error) ||
	    limit_check("soft_packets", limits->soft_packets, limits->hard_packets, error) ||
	    limit_check("soft_ms", request->soft_time_ms, request->hard_time_ms, error))
		return -EINVAL;
	return 0;
}

static int request_check(
    const struct td_sad *sad, const struct td_sa_request *request, struct td_error *error)
{
	if (request->spi < TD_SPI_MIN)
		return td_error_set(error, -EINVAL, NULL, "spi", "must be %u to 4294967295", TD_SPI_MIN);
	if (!request->tunnel)
		return td_error_set(error, -EINVAL, NULL, "tunnel", "is missing");
	if (request->owner >= sad->worker_count)
		return td_error_set(error, -EINVAL, NULL, "worker", "is %u, there are %u workers (0 to %u)",
		    request->owner, sad->worker_count, sad->worker_count - 1);
	if (request->activate && !request->outbound)
		return td_error_set(error, -EINVAL, NULL, "activate", "is for outbound SAs only");
	if (request->suite >= td_dp_suite_count())
		return td_error_set(error, -EINVAL, NULL, "suite", "is unknown");
	if (!request->outbound && request->replay_window &&
	    (request->replay_window < TD_REPLAY_WINDOW_MIN || request->replay_window > TD_REPLAY_WINDOW_MAX))
		return td_error_set(error, -EINVAL, NULL, "replay_window", "must be %u to %u packets",
		    TD_REPLAY_WINDOW_MIN, TD_REPLAY_WINDOW_MAX);
	const struct td_suite_info *suite = td_dp_suite_info(request->suite);
	if (!request->key || request->key->length != suite->key_bytes)
		return td_error_set(error, -EINVAL, NULL, "key", "is %zu bytes, %s needs %u",
		    request->key ? request->key->length : 0, suite->name, suite->key_bytes);
	return lifetimes_check(request, error);
}

static int spi_check(const struct td_sad *sad, const struct td_sa_request *request, struct td_error *error)
{
	const struct td_sa *other = request->outbound ? td_sad_sa_find_out(sad, request->tunnel, request->spi)
	                                              : td_sad_sa_find_in(sad, request->spi);

	if (!other)
		return 0;
	return td_error_set(error, -EEXIST, NULL, "spi", "is in use already by %s SA of tunnel \"%s\"",
	    request->outbound ? "an outbound" : "an inbound", other->tunnel->config.name);
}

// The same key in two SAs repeats nonces, whichever way they point (RFC 4106 10).
static int key_check(const struct td_sad *sad, const struct td_sa_request *request,
    const struct td_fingerprint *fingerprint, struct td_error *error)
{
	const struct td_sad_entry *other = td_sad_key_find(sad, fingerprint);
	char text[32];

	if (other) {
		td_sad_describe(other->sa.spi, other->sa.outbound, text, sizeof(text));
		return td_error_set(
		    error, -EEXIST, NULL, "key", "is held already by %s; every SA needs its own", text);
	}
	if (request->outbound && td_used_keys_has(&sad->used, fingerprint))
		return td_error_set(error, -EEXIST, NULL, "key",
		    "was used already by an outbound SA that was removed; it would repeat nonces");
	return 0;
}

static unsigned window_round(unsigned packets)
{
	unsigned rounded = TD_REPLAY_WINDOW_MIN;

	while (rounded < packets && rounded < TD_REPLAY_WINDOW_MAX)
		rounded *= 2;
	return rounded;
}

static struct td_path path_of(const struct td_sa_request *request)
{
	const struct td_tunnel *tunnel = request->tunnel;

	if (request->path)
		return *request->path;
	return (struct td_path){.local = tunnel->config.local_address,
	    .remote = tunnel->peer_address,
	    .local_port = tunnel->local_port,
	    .remote_port = tunnel->peer_port};
}

static void entry_fill(struct td_sad_entry *entry, const struct td_sa_request *request)
{
	unsigned window =
	    request->replay_window ? request->replay_window : request->tunnel->config.replay_window;

	entry->sa = (struct td_sa){
	    .spi = request->spi,
	    .outbound = request->outbound,
	    .state = TD_SA_PENDING,
	    .tunnel = request->tunnel,
	    .owner = request->owner,
	    .suite = request->suite,
	    .esn = request->esn,
	    .replay_window = request->outbound ? 0 : window_round(window),
	    .path = path_of(request),
	    .limits = request->limits,
	    .soft_time_ms = request->soft_time_ms,
	    .hard_time_ms = request->hard_time_ms,
	    .user = request->user,
	    .created_ns = td_clock_now_ns(),
	};
}

static int dp_create(struct td_sad_entry *entry, const struct td_sa_request *request, struct td_error *error)
{
	struct td_sa *sa = &entry->sa;
	const struct td_tunnel *tunnel = sa->tunnel;
	struct td_sa_params params = {
	    .mode = tunnel->config.mode,
	    .spi = sa->spi,
	    .tunnel = tunnel->dp,
	    .owner = sa->owner,
	    .suite = sa->suite,
	    .key = request->key,
	    .esn = sa->esn,
	    .replay_window = sa->replay_window,
	    .local = tunnel->config.local_address,
	    .remote = sa->path.remote,
	    .udp_local_port = sa->path.local_port,
	    .udp_remote_port = sa->path.remote_port,
	    .df = tunnel->config.df,
	    .dscp = tunnel->config.dscp,
	    .limits = sa->limits,
	    .local_selectors = request->local_selectors,
	    .remote_selectors = request->remote_selectors,
	    .local_selector_count = request->local_selector_count,
	    .remote_selector_count = request->remote_selector_count,
	};
	struct td_error reason = {0};

	if (sa->outbound)
		sa->out = td_dp_sa_out_create(&params, &reason);
	else
		sa->in = td_dp_sa_in_create(&params, &reason);
	if (sa->outbound ? sa->out != NULL : sa->in != NULL)
		return 0;
	// The data plane names a field when a parameter is at fault, and none when memory is.
	return td_error_set(
	    error, reason.field[0] ? -EINVAL : -ENOMEM, NULL, reason.field, "%s", reason.reason);
}

static void dp_discard(const struct td_sa *sa)
{
	if (sa->outbound)
		td_dp_sa_out_remove(sa->out);
	else
		td_dp_sa_in_remove(sa->in);
}

static int entry_create(struct td_sad *sad, const struct td_sa_request *request,
    struct td_sad_entry **created, struct td_error *error)
{
	char object[32];

	td_sad_describe(request->spi, request->outbound, object, sizeof(object));
	td_error_set(error, 0, object, "", " ");
	int rc = request_check(sad, request, error);
	if (rc == 0)
		rc = spi_check(sad, request, error);
	if (rc)
		return rc;
	struct td_fingerprint fingerprint = td_used_keys_fingerprint(&sad->used, request->key);
	rc = key_check(sad, request, &fingerprint, error);
	if (rc)
		return rc;
	struct td_sad_entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return td_error_set(error, -ENOMEM, NULL, "", "there is not enough memory");
	entry->sad = sad;
	entry->fingerprint = fingerprint;
	entry->batch = sad->batch;
	entry_fill(entry, request);
	rc = dp_create(entry, request, error);
	if (rc) {
		free(entry);
		return rc;
	}
	td_sad_timers_arm(entry);
	td_sad_link(sad, entry);
	*created = entry;
	return 0;
}

static void entries_discard(struct td_sad *sad, struct td_sad_entry **entries, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		td_sad_timers_cancel(entries[i]);
		td_sad_unlink(sad, entries[i]);
		dp_discard(&entries[i]->sa);
		free(entries[i]);
	}
}

static int workers_reserve(const struct td_sad *sad, const struct td_sa_request *requests, unsigned count,
    unsigned *failed, struct td_error *error)
{
	unsigned wanted[TD_WORKERS_MAX] = {0}, first[TD_WORKERS_MAX] = {0};

	for (unsigned i = count; i-- > 0;) {
		if (requests[i].outbound)
			continue;
		wanted[requests[i].owner]++;
		first[requests[i].owner] = i;
	}
	for (unsigned worker = 0; worker < sad->worker_count; worker++) {
		if (!wanted[worker] || td_dp_sa_in_reserve(worker, wanted[worker]) == 0)
			continue;
		char object[32];
		*failed = first[worker];
		td_sad_describe(requests[*failed].spi, false, object, sizeof(object));
		return td_error_set(error, -ENOMEM, object, "",
		    "there is no room for %u more inbound SAs on worker %u", wanted[worker], worker);
	}
	return 0;
}

static void entries_publish(
    struct td_sad *sad, const struct td_sa_request *requests, struct td_sad_entry **entries, unsigned count)
{
	unsigned activated = 0;

	for (unsigned i = 0; i < count; i++)
		if (!entries[i]->sa.outbound)
			td_dp_sa_in_publish(entries[i]->sa.in);
	for (unsigned i = 0; i < count; i++) {
		td_sad_tell(sad, "sa_added", entries[i], NULL);
		if (requests[i].activate)
			entries[activated++] = entries[i];
	}
	td_sad_switch_apply(sad, entries, activated);
}

int td_sad_add(struct td_sad *sad, const struct td_sa_request *requests, unsigned count, unsigned *failed,
    struct td_error *error)
{
	struct td_sad_entry **entries = calloc((size_t)count + 1, sizeof(struct td_sad_entry *));
	unsigned created = 0, out_count = 0;
	int rc = 0;

	*failed = 0;
	for (unsigned i = 0; i < count; i++)
		out_count += requests[i].outbound;
	if (!entries || td_sad_reserve(sad, count, out_count))
		rc = td_error_set(error, -ENOMEM, "sa", "", "there is not enough memory for %u SAs", count);
	sad->batch++;
	while (rc == 0 && created < count) {
		*failed = created;
		rc = entry_create(sad, &requests[created], &entries[created], error);
		created += rc == 0;
	}
	if (rc == 0)
		rc = workers_reserve(sad, requests, count, failed, error);
	if (rc == 0)
		entries_publish(sad, requests, entries, count);
	else
		entries_discard(sad, entries, created);
	free(entries);
	return rc;
}
