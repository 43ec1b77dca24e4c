// SPDX-License-Identifier: BSD-3-Clause
#include "control/reload.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "control/job.h"
#include "control/policies/tunnel_routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// One reload, in phases. Each goes through the tunnels of the diff, as many in a turn of the loop as there is
// time for, and has something to do at its end that is done in one turn.
struct phase {
	int (*each)(struct td_reload_run *run, unsigned i); // NULL: nothing
	// Returns what comes next; NULL: it has been said, or will be said by what is waited for.
	const struct phase *(*end)(struct td_reload_run *run);
};

struct td_reload_run {
	struct td_reload *reload;
	struct td_reload_user user;
	bool apply;
	struct td_job *job; // reads; NULL: it has
	struct td_timer timer;
	const struct phase *phase; // NULL: something is waited for
	unsigned at; // of the diff's tunnels, in this phase
	bool taken; // there is no way back
	struct td_config *after; // once taken what was before
	struct td_config_diff diff;
	struct td_negotiate_read *read;
	struct td_reload_result result;
	// By position in the diff; NULL: it stays, or is not there before or after.
	struct td_tunnel **leaving, **made;
	bool routes; // of the kernel are changed
};

// ---- reading, in another thread -------------------------------------------------------------------

static int no_memory(struct td_error *error)
{
	return td_error_set(error, -ENOMEM, "configuration", "", "there is not enough memory");
}

static int file_read(struct td_reload_run *run)
{
	struct td_reload_result *result = &run->result;
	size_t size = 0;
	FILE *stream = open_memstream(&result->lines, &size);

	if (!stream)
		return no_memory(&result->error);
	run->after = td_config_load(run->reload->path, stream);
	fclose(stream);
	if (run->after)
		return 0;
	// The first line; the others are there for those who want them.
	return result->lines ? td_error_set(&result->error, -EBADMSG, "configuration", "", "%.*s",
	                           (int)strcspn(result->lines, "\n"), result->lines)
	                     : no_memory(&result->error);
}

static int restart_check(const struct td_config_diff *diff, struct td_error *error)
{
	char keys[192] = "";
	size_t used = 0;

	if (!diff->restart_count)
		return 0;
	for (unsigned i = 0; i < diff->restart_count && used < sizeof(keys); i++)
		used += (size_t)snprintf(
		    keys + used, sizeof(keys) - used, "%s%s", i ? ", " : "", diff->restart[i]);
	return td_error_set(error, -EBUSY, "configuration", "", "differs in %s, which takes a restart", keys);
}

// The present configuration is read by both threads; only a reload writes to it.
static void load(void *context)
{
	struct td_reload_run *run = context;
	struct td_error *error = &run->result.error;
	int ret = file_read(run);

	if (ret == 0 && td_config_diff(run->reload->config, run->after, &run->diff) < 0)
		ret = no_memory(error);
	if (ret == 0 && run->apply)
		ret = restart_check(&run->diff, error);
	if (ret == 0 && run->user.differs)
		run->user.differs(run->user.context, &run->diff);
	if (ret == 0 && run->apply) {
		run->read = td_negotiate_read(run->reload->config, run->after, &run->diff, error);
		run->leaving = calloc(2 * (run->diff.tunnel_count + 1ul), sizeof(struct td_tunnel *));
		if (!run->read)
			ret = -EINVAL;
		else if (!run->leaving)
			ret = no_memory(error);
		else
			run->made = run->leaving + run->diff.tunnel_count + 1;
	}
	run->result.result = ret;
}

// ---- preparing ----------------------------------------------------------------------------------

static const struct phase keeping, adding, taking, leaving, starting, undoing, over;

static const struct td_config_tunnel_diff *diff_of(const struct td_reload_run *run, unsigned i)
{
	return &run->diff.tunnels[i];
}

static bool ends(const struct td_config_tunnel_diff *tunnel)
{
	return tunnel->before != TD_CONFIG_NO_TUNNEL && !tunnel->in_place;
}

static bool begins(const struct td_config_tunnel_diff *tunnel)
{
	return tunnel->after != TD_CONFIG_NO_TUNNEL && !tunnel->in_place;
}

// Peers of tunnels that stay come first: new ones may share them.
static int keep(struct td_reload_run *run, unsigned i)
{
	const struct td_reload *reload = run->reload;
	const struct td_config_tunnel_diff *tunnel = diff_of(run, i);
	struct td_tunnel *sad =
	    tunnel->before != TD_CONFIG_NO_TUNNEL ? td_sad_tunnel_find(reload->sad, tunnel->name) : NULL;

	if (ends(tunnel)) {
		run->leaving[i] = sad;
		td_sad_tunnel_leave(sad, true);
	} else if (sad) {
		td_negotiate_tunnel_prepare(reload->negotiate, sad, run->read, tunnel->after);
	}
	return 0;
}

static const struct phase *keep_end(struct td_reload_run *run)
{
	(void)run;
	return &adding;
}

static int add(struct td_reload_run *run, unsigned i)
{
	const struct td_reload *reload = run->reload;
	const struct td_config_tunnel_diff *tunnel = diff_of(run, i);

	if (!begins(tunnel))
		return 0;
	run->made[i] = td_sad_tunnel_prepare(reload->sad, &run->after->tunnels[tunnel->after]);
	if (!run->made[i])
		return no_memory(&run->result.error);
	return td_negotiate_tunnel_add(
	    reload->negotiate, run->made[i], run->read, tunnel->after, &run->result.error);
}

static const struct phase *fail(struct td_reload_run *run, int result)
{
	run->result.result = result;
	td_policies_change_forget(run->reload->policies);
	return &undoing;
}

static void go_on(struct td_reload_run *run, const struct phase *phase)
{
	run->phase = phase;
	run->at = 0;
	td_loop_timer_set(run->reload->loop, &run->timer, td_clock_now_ns());
}

static void policies_done(void *context, int result, const struct td_error *error)
{
	struct td_reload_run *run = context;

	if (result < 0)
		run->result.error = *error;
	go_on(run, result < 0 ? fail(run, result) : &taking);
}

static const struct phase *add_end(struct td_reload_run *run)
{
	const struct td_policies_user user = {.done = policies_done, .context = run};
	int ret;

	run->phase = NULL;
	ret = td_policies_change_prepare(
	    run->reload->policies, run->after, &run->diff, &user, &run->result.error);
	return ret < 0 ? fail(run, ret) : NULL;
}

// ---- taking over, in one turn -------------------------------------------------------------------

static void names_swap(struct td_reload_run *run)
{
	for (unsigned i = 0; i < run->diff.tunnel_count; i++)
		if (run->leaving[i])
			td_sad_tunnel_hide(run->leaving[i]);
	for (unsigned i = 0; i < run->diff.tunnel_count; i++)
		if (run->made[i])
			td_sad_tunnel_show(run->reload->sad, run->made[i]);
}

static int routes_set(struct td_reload_run *run)
{
	const struct td_reload *reload = run->reload;
	struct td_error *error = &run->result.error;
	int ret = 0;

	if (run->diff.routes) {
		ret = td_netlink_routes_change(reload->netlink, run->after, error);
		run->routes = ret == 0;
	}
	return ret == 0 ? td_tunnel_routes_set(run->after, reload->sad, error) : ret;
}

static void routes_undo(struct td_reload_run *run)
{
	const struct td_reload *reload = run->reload;
	struct td_error error = {0};

	for (unsigned i = 0; i < run->diff.tunnel_count; i++)
		if (run->made[i])
			td_sad_tunnel_hide(run->made[i]);
	for (unsigned i = 0; i < run->diff.tunnel_count; i++)
		if (run->leaving[i])
			td_sad_tunnel_show(reload->sad, run->leaving[i]);
	if (td_tunnel_routes_set(reload->config, reload->sad, &error) < 0)
		td_log_warning("%s: %s %s", error.object, error.field, error.reason);
	td_tunnel_routes_prune(run->after, reload->config);
	if (run->routes)
		td_netlink_routes_revert(reload->netlink, run->after);
}

// The policies, which lead packets into the new tunnels, are the last. Then the present configuration's place
// takes the new contents; what leaves keeps its part of the old ones.
static const struct phase *take(struct td_reload_run *run)
{
	struct td_reload *reload = run->reload;
	struct td_config before;
	int ret;

	names_swap(run);
	ret = routes_set(run);
	if (ret < 0) {
		routes_undo(run);
		return fail(run, ret);
	}
	td_policies_change_take(reload->policies);
	td_tunnel_routes_prune(reload->config, run->after);
	before = *reload->config;
	for (unsigned i = 0; i < run->diff.tunnel_count; i++)
		if (run->leaving[i])
			before.tunnels[run->diff.tunnels[i].before].ike = NULL;
	*reload->config = *run->after;
	*run->after = before;
	run->taken = true;
	if (!reload->log_level_fixed)
		td_log_set_level(reload->config->log_level);
	return &leaving;
}

// ---- afterwards: nothing can fail -----------------------------------------------------------------

static int leave(struct td_reload_run *run, unsigned i)
{
	if (run->leaving[i])
		td_negotiate_tunnel_leave(run->reload->negotiate, run->leaving[i]);
	return 0;
}

static const struct phase *leave_end(struct td_reload_run *run)
{
	(void)run;
	return &starting;
}

static int start(struct td_reload_run *run, unsigned i)
{
	const struct td_reload *reload = run->reload;
	const struct td_config_tunnel_diff *diff = diff_of(run, i);
	struct td_tunnel *tunnel;

	if (diff->after == TD_CONFIG_NO_TUNNEL)
		return 0;
	tunnel = td_sad_tunnel_find(reload->sad, diff->name);
	td_sad_tunnel_update(tunnel, &reload->config->tunnels[diff->after]);
	if (diff->keys && diff->in_place)
		td_negotiate_tunnel_update(tunnel);
	td_negotiate_tunnel_start(tunnel);
	return 0;
}

static const struct phase *ended(struct td_reload_run *run)
{
	(void)run;
	return &over;
}

// ---- or all is as it was ------------------------------------------------------------------------

static int undo(struct td_reload_run *run, unsigned i)
{
	const struct td_reload *reload = run->reload;
	const struct td_config_tunnel_diff *tunnel = diff_of(run, i);

	if (run->made[i]) {
		td_negotiate_tunnel_discard(reload->negotiate, run->made[i]);
		td_sad_tunnel_remove(reload->sad, run->made[i]);
	}
	if (run->leaving[i])
		td_sad_tunnel_leave(run->leaving[i], false);
	else if (tunnel->before != TD_CONFIG_NO_TUNNEL && tunnel->in_place)
		td_negotiate_tunnel_cancel(reload->negotiate, td_sad_tunnel_find(reload->sad, tunnel->name));
	return 0;
}

// ---- phases -------------------------------------------------------------------------------------

static const struct phase keeping = {keep, keep_end};
static const struct phase adding = {add, add_end};
static const struct phase taking = {NULL, take};
static const struct phase leaving = {leave, leave_end};
static const struct phase starting = {start, ended};
static const struct phase undoing = {undo, ended};
static const struct phase over = {NULL, NULL};

static void result_log(const struct td_config_diff *diff)
{
	td_log_info("configuration reloaded: tunnels: %u added, %u removed, %u set up anew, %u changed in "
	            "place%s%s",
	    diff->added, diff->removed, diff->changed, diff->in_place,
	    diff->policies ? "; other policies" : "", diff->routes ? "; other routes" : "");
}

static void finish(struct td_reload_run *run)
{
	struct td_reload *reload = run->reload;

	reload->run = NULL;
	td_loop_timer_cancel(reload->loop, &run->timer);
	if (run->taken)
		result_log(&run->diff);
	td_negotiate_read_free(run->read);
	td_config_free(run->after);
	free(run->leaving);
	run->result.diff = &run->diff;
	run->user.done(run->user.context, &run->result);
	td_config_diff_free(&run->diff);
	free(run->result.lines);
	free(run);
	if (reload->signalled && !reload->run) {
		reload->signalled = false;
		td_reload_signal(reload);
	}
}

static void advance(struct td_reload_run *run)
{
	const struct phase *phase = run->phase;
	const struct phase *next = phase;
	int ret;

	if (phase->each && run->at < run->diff.tunnel_count) {
		ret = phase->each(run, run->at++);
		if (ret < 0)
			next = fail(run, ret);
	} else {
		next = phase->end(run);
		if (!next)
			return; // run->phase is what has been said
	}
	if (next != phase) {
		run->phase = next;
		run->at = 0;
	}
}

static void slice_due(void *context)
{
	struct td_reload_run *run = context;
	uint64_t end_ns = td_clock_now_ns() + TD_RELOAD_SLICE_US * 1000ull;

	while (run->phase && run->phase != &over && td_clock_now_ns() < end_ns)
		advance(run);
	if (run->phase == &over)
		finish(run);
	else if (run->phase)
		td_loop_timer_set(run->reload->loop, &run->timer, td_clock_now_ns());
}

static void loaded(void *context)
{
	struct td_reload_run *run = context;

	run->job = NULL;
	if (run->result.result == 0 && run->apply) {
		td_negotiate_begin(run->reload->negotiate);
		go_on(run, &keeping);
	} else {
		finish(run);
	}
}

// ---- from outside -------------------------------------------------------------------------------

int td_reload_start(
    struct td_reload *reload, bool apply, const struct td_reload_user *user, struct td_error *error)
{
	struct td_reload_run *run;

	if (reload->run)
		return td_error_set(error, -EBUSY, "configuration", "",
		    "is being read by a reload that is under way; try again after it");
	run = calloc(1, sizeof(*run));
	if (!run)
		return no_memory(error);
	*run = (struct td_reload_run){.reload = reload, .user = *user, .apply = apply};
	run->timer = (struct td_timer){.fn = slice_due, .context = run};
	run->job = td_job_start(reload->loop, load, loaded, run);
	if (!run->job) {
		free(run);
		return no_memory(error);
	}
	reload->run = run;
	return 0;
}

void td_reload_stop(struct td_reload *reload)
{
	struct td_reload_run *run = reload->run;

	reload->signalled = false;
	if (!run)
		return;
	if (run->job) {
		td_job_wait(run->job);
		run->phase = &over;
	} else if (!run->taken && run->phase != &undoing) {
		run->phase = fail(run, -ECANCELED);
		run->at = 0;
	}
	while (run->phase != &over)
		advance(run);
	if (!run->taken)
		run->result.result = td_error_set(
		    &run->result.error, -ECANCELED, "configuration", "", "stays: the gateway stops");
	finish(run);
}

// ---- for a signal -------------------------------------------------------------------------------

static void failure_log(const struct td_error *error, char *lines)
{
	char *rest = NULL;

	if (!lines || !lines[0])
		td_log_error("the configuration stays as it was: %s%s%s %s", error->object,
		    error->field[0] ? ": " : "", error->field, error->reason);
	for (char *line = lines ? strtok_r(lines, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		td_log_error("the configuration stays as it was: %s", line);
}

static void signal_done(void *context, struct td_reload_result *result)
{
	struct td_reload *reload = context;

	if (result->result < 0)
		failure_log(&result->error, result->lines);
	if (reload->signal_done && !reload->signalled)
		reload->signal_done(reload->signal_context);
}

void td_reload_signal(struct td_reload *reload)
{
	const struct td_reload_user user = {.done = signal_done, .context = reload};
	struct td_reload_result failed = {0};

	if (reload->run) {
		reload->signalled = true;
		return;
	}
	failed.result = td_reload_start(reload, true, &user, &failed.error);
	if (failed.result < 0)
		signal_done(reload, &failed);
}
