// SPDX-License-Identifier: BSD-3-Clause
// Changes of the policies on request.
#include "control/config/policies.h"
#include "control/policies/internal.h"

#include <errno.h>
#include <stdlib.h>

static int replace_make(struct td_policies_change *change, struct td_error *error)
{
	return td_policies_list_replace(change, change->configs, change->config_count, error);
}

int td_policies_replace(struct td_policies *policies, struct td_policy_config *configs, unsigned count,
    const struct td_policies_user *user, struct td_error *error)
{
	struct td_policies_change *change;
	int ret = td_policies_change_create(policies, replace_make, user, &change, error);

	if (ret < 0) {
		free(configs);
		return ret;
	}
	change->configs = configs;
	change->config_count = count;
	td_policies_change_queue(change);
	return 0;
}

// Returns policies->count when there is none.
static unsigned place_of(const struct td_policies *policies, uint32_t id)
{
	unsigned i = 0;

	while (i < policies->count && policies->list[i].id != id)
		i++;
	return i;
}

static int no_policy(uint32_t id, const char *field, struct td_error *error)
{
	return td_error_set(
	    error, -ENOENT, NULL, field, "%u is no policy's (policy.list shows them)", (unsigned)id);
}

static int add_make(struct td_policies_change *change, struct td_error *error)
{
	const struct td_policies *policies = change->policies;
	unsigned place = change->before != 0 ? place_of(policies, change->before) : policies->count;
	int ret;

	if (change->before != 0 && place == policies->count)
		return no_policy(change->before, "before", error);
	for (unsigned i = 0; i < policies->count; i++)
		if (td_config_policy_contradicts(&policies->list[i].config, change->configs))
			return td_error_set(error, -EINVAL, NULL, "",
			    "policy %u has another action for the same packets; remove it first",
			    policies->list[i].id);
	ret = td_policies_list_make(change, policies->count + 1, error);
	if (ret == 0)
		ret = td_policies_list_new(change, place, change->configs, change->id, error);
	for (unsigned i = 0; i < policies->count && ret == 0; i++)
		td_policies_list_keep(change, i < place ? i : i + 1, i);
	return ret;
}

int td_policies_add(struct td_policies *policies, struct td_policy_config *config, uint32_t before,
    uint32_t *id, const struct td_policies_user *user, struct td_error *error)
{
	struct td_policies_change *change;
	int ret = td_policies_change_create(policies, add_make, user, &change, error);

	if (ret < 0) {
		free(config);
		return ret;
	}
	change->configs = config;
	change->before = before;
	*id = change->id = ++policies->last_id;
	td_policies_change_queue(change);
	return 0;
}

static int remove_make(struct td_policies_change *change, struct td_error *error)
{
	const struct td_policies *policies = change->policies;
	unsigned place = place_of(policies, change->id);
	int ret;

	if (place == policies->count)
		return no_policy(change->id, "id", error);
	ret = td_policies_list_make(change, policies->count - 1, error);
	for (unsigned i = 0; i < policies->count && ret == 0; i++)
		if (i != place)
			td_policies_list_keep(change, i < place ? i : i - 1, i);
	return ret;
}

int td_policies_remove(
    struct td_policies *policies, uint32_t id, const struct td_policies_user *user, struct td_error *error)
{
	struct td_policies_change *change;
	int ret = td_policies_change_create(policies, remove_make, user, &change, error);

	if (ret < 0)
		return ret;
	change->id = id;
	td_policies_change_queue(change);
	return 0;
}
