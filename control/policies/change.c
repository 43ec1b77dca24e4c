// SPDX-License-Identifier: BSD-3-Clause
// Changes of the policies, one after the other: each begins with what the one before has left. A thread
// builds the classifier, which takes half a second and more when there are 10,000 policies.
#include "control/policies/internal.h"

#include "common/clock.h"
#include "common/limits.h"

#include <errno.h>
#include <stdlib.h>

int td_policies_change_create(struct td_policies *policies,
    int (*make)(struct td_policies_change *change, struct td_error *error),
    const struct td_policies_user *user, struct td_policies_change **change, struct td_error *error)
{
	if (policies->change_count == TD_POLICY_CHANGES_MAX)
		return td_error_set(
		    error, -EBUSY, "policies", "", "have too many changes that wait; try again later");
	*change = calloc(1, sizeof(**change));
	if (*change == NULL)
		return td_policies_no_memory(error);
	**change = (struct td_policies_change){.policies = policies, .make = make};
	if (user != NULL)
		(*change)->user = *user;
	return 0;
}

static void change_free(struct td_policies_change *change)
{
	free(change->configs);
	td_tunnel_hits_free(&change->tunnels);
	free(change->list);
	free(change->kept);
	free(change->fresh);
	free(change->dp);
	free(change);
}

// ---- the next list ------------------------------------------------------------------------------

int td_policies_list_make(struct td_policies_change *change, unsigned count, struct td_error *error)
{
	change->count = count;
	change->list = calloc(count + 1ul, sizeof(*change->list));
	change->kept = calloc(change->policies->count + 1ul, sizeof(*change->kept));
	change->fresh = calloc(count + 1ul, sizeof(*change->fresh));
	return change->list != NULL && change->kept != NULL && change->fresh != NULL
	           ? 0
	           : td_policies_no_memory(error);
}

int td_policies_list_new(struct td_policies_change *change, unsigned place,
    const struct td_policy_config *config, uint32_t id, struct td_error *error)
{
	change->list[place] = (struct td_policy){id, *config, td_dp_hits_create()};
	change->fresh[place] = change->list[place].hits != NULL;
	return change->fresh[place] ? 0 : td_policies_no_memory(error);
}

void td_policies_list_keep(struct td_policies_change *change, unsigned place, unsigned present)
{
	change->list[place] = change->policies->list[present];
	change->kept[present] = true;
}

int td_policies_list_replace(struct td_policies_change *change, const struct td_policy_config *configs,
    unsigned count, struct td_error *error)
{
	int ret = td_policies_list_make(change, count, error);

	for (unsigned i = 0; i < count && ret == 0; i++)
		ret = td_policies_list_new(change, i, &configs[i], ++change->policies->last_id, error);
	return ret;
}

// ---- the end of a change --------------------------------------------------------------------------

// The next list takes the place of the present one.
static void take(struct td_policies_change *change)
{
	struct td_policies *policies = change->policies;

	if (change->built != NULL)
		td_dp_policies_publish(change->built);
	for (unsigned i = 0; i < policies->count; i++)
		if (!change->kept[i])
			td_dp_hits_remove(policies->list[i].hits);
	if (change->diff != NULL)
		td_policies_tunnels_take(change);
	free(policies->list);
	policies->list = change->list;
	policies->count = change->count;
	change->list = NULL;
}

// All stays as it is. Waits for the thread.
static void forget(struct td_policies_change *change)
{
	td_job_wait(change->job);
	td_dp_policies_free(change->built);
	for (unsigned i = 0; change->fresh != NULL && i < change->count; i++)
		if (change->fresh[i])
			td_dp_hits_remove(change->list[i].hits);
	if (change->diff != NULL)
		td_policies_tunnels_forget(change);
}

static void first_begin(struct td_policies *policies)
{
	td_loop_timer_set(policies->loop, &policies->timer, td_clock_now_ns());
}

static void leave_queue(struct td_policies_change *change)
{
	struct td_policies *policies = change->policies;
	bool first = change == TAILQ_FIRST(&policies->changes);

	TAILQ_REMOVE(&policies->changes, change, link);
	policies->change_count--;
	if (!first)
		return;
	td_loop_timer_cancel(policies->loop, &policies->timer);
	if (!TAILQ_EMPTY(&policies->changes))
		first_begin(policies);
}

static void end(struct td_policies_change *change)
{
	const struct td_policies_user user = change->user;
	const struct td_error error = change->error;
	int result = change->result;

	leave_queue(change);
	if (result == 0)
		take(change);
	else
		forget(change);
	change_free(change);
	user.done(user.context, result, &error);
}

void td_policies_change_take(struct td_policies *policies)
{
	struct td_policies_change *change = policies->reload;

	policies->reload = NULL;
	leave_queue(change);
	take(change);
	change_free(change);
}

void td_policies_change_forget(struct td_policies *policies)
{
	struct td_policies_change *change = policies->reload;

	if (change == NULL)
		return;
	policies->reload = NULL;
	leave_queue(change);
	forget(change);
	change_free(change);
}

// ---- its way there --------------------------------------------------------------------------------

static void build(void *context)
{
	struct td_policies_change *change = context;

	change->built = td_dp_policies_build(change->dp, change->dp_count, &change->result, &change->error);
}

// A reload takes or forgets the change itself.
static void made(struct td_policies_change *change)
{
	if (change == change->policies->reload)
		change->user.done(change->user.context, change->result, &change->error);
	else
		end(change);
}

static void built(void *context)
{
	struct td_policies_change *change = context;

	change->job = NULL;
	made(change);
}

static int prepare(struct td_policies_change *change)
{
	int ret = change->make(change, &change->error);

	return ret == 0 && !change->same ? td_policies_collect(change, &change->error) : ret;
}

static void change_due(void *context)
{
	struct td_policies *policies = context;
	struct td_policies_change *change = TAILQ_FIRST(&policies->changes);

	change->result = prepare(change);
	if (change->result == 0 && !change->same) {
		change->job = td_job_start(policies->loop, build, built, change);
		if (change->job != NULL)
			return;
		change->result = td_policies_no_memory(&change->error);
	}
	made(change);
}

void td_policies_changes_init(struct td_policies *policies)
{
	TAILQ_INIT(&policies->changes);
	policies->timer = (struct td_timer){.fn = change_due, .context = policies};
}

void td_policies_changes_cancel(struct td_policies *policies)
{
	struct td_policies_change *change;

	while ((change = TAILQ_FIRST(&policies->changes)) != NULL) {
		// Until then the thread writes how it went, too.
		td_job_wait(change->job);
		change->job = NULL;
		change->result = td_error_set(
		    &change->error, -ECANCELED, "policies", "", "stay as they are: the gateway stops");
		end(change);
	}
}

void td_policies_change_queue(struct td_policies_change *change)
{
	struct td_policies *policies = change->policies;

	TAILQ_INSERT_TAIL(&policies->changes, change, link);
	policies->change_count++;
	if (change == TAILQ_FIRST(&policies->changes))
		first_begin(policies);
}

int td_policies_change_now(struct td_policies_change *change, struct td_error *error)
{
	int ret = prepare(change);

	if (ret == 0) {
		build(change);
		ret = change->result;
	}
	if (ret < 0 && error != NULL)
		*error = change->error;
	if (ret == 0)
		take(change);
	else
		forget(change);
	change_free(change);
	return ret;
}
