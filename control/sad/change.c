// SPDX-License-Identifier: BSD-3-Clause
// sa.switch, sa.drain and sa.delete: all names are checked before the first SA changes.
#include "common/clock.h"
#include "control/sad/internal.h"

#include <errno.h>
#include <stdlib.h>

static int name_find(
    struct td_sad *sad, const struct td_sa_name *name, struct td_sad_entry **found, struct td_error *error)
{
	char object[32];
	struct td_sa *sa;

	td_sad_describe(name->spi, name->outbound, object, sizeof(object));
	if (name->outbound && !name->tunnel)
		return td_error_set(error, -EINVAL, object, "tunnel",
		    "is missing; an outbound SPI is unique in its tunnel only");
	if (name->outbound)
		sa = td_sad_sa_find_out(sad, name->tunnel, name->spi);
	else
		sa = td_sad_sa_find_in(sad, name->spi);
	if (!sa || (name->tunnel && sa->tunnel != name->tunnel))
		return td_error_set(error, -ENOENT, object, "spi",
		    name->tunnel ? "does not exist in tunnel \"%s\"" : "does not exist%s",
		    name->tunnel ? name->tunnel->config.name : "");
	struct td_sad_entry *entry = td_sad_entry_of(sa);
	if (entry->batch == sad->batch)
		return td_error_set(error, -EINVAL, object, "spi", "is named twice in one request");
	entry->batch = sad->batch;
	*found = entry;
	return 0;
}

typedef int (*entry_check_fn)(const struct td_sad_entry *entry, bool force, struct td_error *error);

// Looks up all names. Returns the entries, to be freed, or NULL with *rc, *failed and *error set.
static struct td_sad_entry **names_find(struct td_sad *sad, const struct td_sa_name *names, unsigned count,
    entry_check_fn check, bool force, unsigned *failed, int *rc, struct td_error *error)
{
	struct td_sad_entry **entries = calloc((size_t)count + 1, sizeof(struct td_sad_entry *));

	*failed = 0;
	if (!entries) {
		*rc = td_error_set(error, -ENOMEM, "sa", "", "there is not enough memory");
		return NULL;
	}
	sad->batch++;
	for (unsigned i = 0; i < count; i++) {
		*rc = name_find(sad, &names[i], &entries[i], error);
		if (*rc == 0)
			*rc = check(entries[i], force, error);
		if (*rc) {
			*failed = i;
			free(entries);
			return NULL;
		}
	}
	*rc = 0;
	return entries;
}

static int refuse(
    const struct td_sad_entry *entry, int code, const char *field, const char *reason, struct td_error *error)
{
	char object[32];

	td_sad_describe(entry->sa.spi, entry->sa.outbound, object, sizeof(object));
	return td_error_set(error, code, object, field, "%s", reason);
}

static int switch_check(const struct td_sad_entry *entry, bool force, struct td_error *error)
{
	(void)force;
	if (!entry->sa.outbound)
		return refuse(
		    entry, -EINVAL, "direction", "must be \"out\": only outbound SAs are switched to", error);
	if (entry->sa.state == TD_SA_EXPIRED)
		return refuse(entry, -EBUSY, "", "has expired; add a new one", error);
	return 0;
}

int td_sad_switch(struct td_sad *sad, const struct td_sa_name *names, unsigned count, unsigned *failed,
    struct td_error *error)
{
	int rc;
	struct td_sad_entry **entries =
	    names_find(sad, names, count, switch_check, false, failed, &rc, error);

	if (!entries)
		return rc;
	td_sad_switch_apply(sad, entries, count);
	free(entries);
	return 0;
}

static int drain_check(const struct td_sad_entry *entry, bool force, struct td_error *error)
{
	(void)force;
	if (entry->sa.outbound)
		return refuse(entry, -EINVAL, "direction", "must be \"in\": only inbound SAs drain", error);
	return 0;
}

static uint64_t hard_deadline(const struct td_sa *sa)
{
	return sa->created_ns + sa->hard_time_ms * TD_NS_PER_MS;
}

static uint64_t drain_deadline(const struct td_sa *sa, uint64_t now_ns, uint64_t drain_ms)
{
	uint64_t deadline = now_ns + (drain_ms ? drain_ms : sa->tunnel->config.drain_ms) * TD_NS_PER_MS;

	if (sa->hard_time_ms && sa->state != TD_SA_EXPIRED && hard_deadline(sa) < deadline)
		return hard_deadline(sa);
	return deadline;
}

int td_sad_drain(struct td_sad *sad, const struct td_sa_name *names, unsigned count, uint64_t drain_ms,
    unsigned *failed, struct td_error *error)
{
	int rc;

	if (drain_ms > TD_SA_TIME_MAX_MS) {
		*failed = 0;
		return td_error_set(error, -EINVAL, "sa", "drain_ms", "is more than a century");
	}
	struct td_sad_entry **entries = names_find(sad, names, count, drain_check, false, failed, &rc, error);
	if (!entries)
		return rc;
	uint64_t now_ns = td_clock_now_ns();
	for (unsigned i = 0; i < count; i++) {
		struct td_sa *sa = &entries[i]->sa;

		td_loop_timer_set(sad->loop, &sa->hard_timer, drain_deadline(sa, now_ns, drain_ms));
		td_loop_timer_cancel(sad->loop, &sa->soft_timer);
		if (sa->state != TD_SA_PENDING && sa->state != TD_SA_ACTIVE)
			continue;
		sa->state = TD_SA_DRAINING;
		td_sad_tell(sad, "sa_draining", entries[i], NULL);
	}
	free(entries);
	return 0;
}

static int remove_check(const struct td_sad_entry *entry, bool force, struct td_error *error)
{
	if (entry->slot_count && !force)
		return refuse(entry, -EBUSY, "",
		    "is the current outbound SA; switch to another first, or use force", error);
	return 0;
}

int td_sad_remove(struct td_sad *sad, const struct td_sa_name *names, unsigned count, bool force,
    unsigned *failed, struct td_error *error)
{
	int rc;
	struct td_sad_entry **entries =
	    names_find(sad, names, count, remove_check, force, failed, &rc, error);

	if (!entries)
		return rc;
	for (unsigned i = 0; i < count; i++)
		td_sad_entry_remove(entries[i]);
	free(entries);
	return 0;
}
