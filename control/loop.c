// SPDX-License-Identifier: BSD-3-Clause
#include "control/loop.h"

#include "common/clock.h"
#include "common/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENT_BATCH 64

// What a descriptor's events go to. epoll may have reported an event for a descriptor that an earlier
// callback of the same batch removed, and whose number may be in use again: the generation tells them apart.
struct watch {
	td_loop_fd_fn fn; // NULL: not watched
	void *context;
	uint32_t generation;
};

struct td_loop {
	int epoll_fd;
	bool stopped;
	bool coarse_wait; // the kernel has no epoll_pwait2, or a container's filter refuses it

	struct watch *watches; // by descriptor
	unsigned watch_count;
	uint32_t generation;

	struct td_timers timers;

	bool (*tick_fn)(void *context);
	void *tick_context;
	uint64_t tick_ns, tick_due_ns;

	struct td_loop_stats stats;
};

struct td_loop *td_loop_create(void)
{
	struct td_loop *loop = calloc(1, sizeof(*loop));
	int error;

	if (loop == NULL)
		return NULL;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		error = errno;
		free(loop);
		errno = error;
		return NULL;
	}
	loop->timers.now_ns = td_clock_now_ns();
	return loop;
}

void td_loop_destroy(struct td_loop *loop)
{
	if (loop == NULL)
		return;
	close(loop->epoll_fd);
	free(loop->watches);
	free(loop);
}

// ---- descriptors ------------------------------------------------------------------------------

static struct watch *watch_find(struct td_loop *loop, int fd)
{
	if (fd < 0 || (unsigned)fd >= loop->watch_count || loop->watches[fd].fn == NULL)
		return NULL;
	return &loop->watches[fd];
}

static int watches_grow(struct td_loop *loop, unsigned fd)
{
	unsigned count = loop->watch_count > 0 ? loop->watch_count : 64;
	struct watch *watches;

	if (fd < loop->watch_count)
		return 0;
	while (count <= fd)
		count *= 2;
	watches = realloc(loop->watches, count * sizeof(*watches));
	if (watches == NULL)
		return -ENOMEM;
	memset(watches + loop->watch_count, 0, (count - loop->watch_count) * sizeof(*watches));
	loop->watches = watches;
	loop->watch_count = count;
	return 0;
}

static struct epoll_event event_make(int fd, uint32_t generation, uint32_t events)
{
	struct epoll_event event = {.events = events};

	event.data.u64 = (uint64_t)generation << 32 | (uint32_t)fd;
	return event;
}

int td_loop_fd_add(struct td_loop *loop, int fd, uint32_t events, td_loop_fd_fn fn, void *context)
{
	struct epoll_event event;
	uint32_t generation;

	if (fd < 0 || fn == NULL)
		return -EINVAL;
	if (watch_find(loop, fd) != NULL)
		return -EEXIST;
	if (watches_grow(loop, (unsigned)fd) < 0)
		return -ENOMEM;
	generation = ++loop->generation;
	event = event_make(fd, generation, events);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	loop->watches[fd] = (struct watch){fn, context, generation};
	return 0;
}

int td_loop_fd_modify(struct td_loop *loop, int fd, uint32_t events)
{
	struct watch *watch = watch_find(loop, fd);
	struct epoll_event event;

	if (watch == NULL)
		return -ENOENT;
	event = event_make(fd, watch->generation, events);
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void td_loop_fd_remove(struct td_loop *loop, int fd)
{
	struct watch *watch = watch_find(loop, fd);

	if (watch == NULL)
		return;
	*watch = (struct watch){0};
	// Fails only for a descriptor that was closed first, which epoll then forgot by itself.
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void event_dispatch(struct td_loop *loop, const struct epoll_event *event)
{
	const struct watch *found = watch_find(loop, (int)(uint32_t)event->data.u64);
	struct watch watch;

	if (found == NULL || found->generation != event->data.u64 >> 32)
		return;
	// The callback may add a descriptor and so move the table.
	watch = *found;
	watch.fn(watch.context, event->events);
}

// ---- timers -----------------------------------------------------------------------------------

struct td_timers *td_loop_timers(struct td_loop *loop)
{
	return &loop->timers;
}

void td_loop_timer_set(struct td_loop *loop, struct td_timer *timer, uint64_t deadline_ns)
{
	// A timer that always arms itself for "now" waits for the next round, and so keeps neither the other
	// timers nor the descriptors from their turn.
	if (deadline_ns <= loop->timers.now_ns)
		deadline_ns = loop->timers.now_ns + 1;
	td_timers_set(&loop->timers, timer, deadline_ns);
}

void td_loop_timer_cancel(struct td_loop *loop, struct td_timer *timer)
{
	td_timers_cancel(&loop->timers, timer);
}

// Not for so long, and not so many, that descriptors and the tick would wait.
static void timers_run(struct td_loop *loop, uint64_t now_ns)
{
	uint64_t end_ns = now_ns + TD_LOOP_TURN_US * 1000ull;
	unsigned left = TD_LOOP_TIMERS;

	while (!loop->stopped && left-- > 0 && td_timers_run_one(&loop->timers, now_ns))
		if (td_clock_now_ns() >= end_ns)
			return;
}

// ---- the loop ---------------------------------------------------------------------------------

void td_loop_tick_set(struct td_loop *loop, uint64_t tick_ns, bool (*fn)(void *context), void *context)
{
	loop->tick_ns = tick_ns;
	loop->tick_fn = fn;
	loop->tick_context = context;
	loop->tick_due_ns = 0;
}

static void tick_run(struct td_loop *loop, uint64_t now_ns)
{
	if (loop->tick_fn == NULL || loop->stopped || loop->tick_due_ns > now_ns)
		return;
	if (loop->tick_fn(loop->tick_context))
		loop->tick_due_ns = now_ns;
	else
		loop->tick_due_ns = td_clock_now_ns() + loop->tick_ns;
}

// Nanoseconds until something is due, or -1 when nothing is.
static int64_t wait_ns(const struct td_loop *loop)
{
	uint64_t due_ns = UINT64_MAX, now_ns;

	if (loop->tick_fn != NULL)
		due_ns = loop->tick_due_ns;
	if (td_timers_next_ns(&loop->timers) < due_ns)
		due_ns = td_timers_next_ns(&loop->timers);
	if (due_ns == UINT64_MAX)
		return -1;
	now_ns = td_clock_now_ns();
	if (due_ns <= now_ns)
		return 0;
	// An hour more or less is as good as forever here, and keeps the arithmetic in range.
	if (due_ns - now_ns > 3600 * TD_NS_PER_S)
		return (int64_t)(3600 * TD_NS_PER_S);
	return (int64_t)(due_ns - now_ns);
}

static int events_wait(struct td_loop *loop, struct epoll_event *events)
{
	int64_t ns = wait_ns(loop);
	struct timespec timeout = {.tv_sec = ns / (int64_t)TD_NS_PER_S, .tv_nsec = ns % (int64_t)TD_NS_PER_S};
	int64_t ms = (ns + (int64_t)TD_NS_PER_MS - 1) / (int64_t)TD_NS_PER_MS;
	int count;

	if (!loop->coarse_wait) {
		count = epoll_pwait2(loop->epoll_fd, events, EVENT_BATCH, ns < 0 ? NULL : &timeout, NULL);
		if (count >= 0 || (errno != ENOSYS && errno != EPERM))
			return count;
		// Linux before 5.11: milliseconds, rounded up so that a near deadline does not spin.
		loop->coarse_wait = true;
	}
	return epoll_wait(loop->epoll_fd, events, EVENT_BATCH, ns < 0 ? -1 : (int)ms);
}

static void turn_count(struct td_loop_stats *stats, uint64_t start_ns)
{
	uint64_t ns = td_clock_now_ns() - start_ns;

	stats->turns++;
	stats->late_turns += ns > TD_LOOP_LATE_US * 1000ull;
	if (ns > stats->longest_ns)
		stats->longest_ns = ns;
}

int td_loop_run(struct td_loop *loop)
{
	struct epoll_event events[EVENT_BATCH];
	int count, i, error = 0;
	uint64_t start_ns;

	while (!loop->stopped) {
		count = events_wait(loop, events);
		if (count < 0 && errno != EINTR) {
			error = -errno;
			break;
		}
		start_ns = td_clock_now_ns();
		td_timers_clock(&loop->timers, start_ns);
		// The tick does not wait until all descriptors had their turn.
		for (i = 0; i < count && !loop->stopped; i++) {
			event_dispatch(loop, &events[i]);
			tick_run(loop, td_clock_now_ns());
		}
		timers_run(loop, td_clock_now_ns());
		tick_run(loop, td_clock_now_ns());
		turn_count(&loop->stats, start_ns);
	}
	loop->stopped = false;
	return error;
}

void td_loop_stop(struct td_loop *loop)
{
	loop->stopped = true;
}

const struct td_loop_stats *td_loop_stats(const struct td_loop *loop)
{
	return &loop->stats;
}
