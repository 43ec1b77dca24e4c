// SPDX-License-Identifier: BSD-3-Clause
#include "control/job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

// The thread may have to share the control thread's core, which it inherits: it gets what is left of it.
#define NICE 10

struct td_job {
	struct td_loop *loop;
	void (*work)(void *context), (*done)(void *context);
	void *context;
	pthread_t thread;
	int over_fd; // readable when work has returned
};

static void *job_run(void *context)
{
	const struct td_job *job = context;

	// Linux: of this thread alone.
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	job->work(job->context);
	// A counter that is 0 takes 1.
	(void)eventfd_write(job->over_fd, 1);
	return NULL;
}

void td_job_wait(struct td_job *job)
{
	if (job == NULL)
		return;
	(void)pthread_join(job->thread, NULL);
	td_loop_fd_remove(job->loop, job->over_fd);
	close(job->over_fd);
	free(job);
}

static void job_over(void *context, uint32_t events)
{
	struct td_job *job = context;
	void (*done)(void *) = job->done;
	void *done_context = job->context;

	(void)events;
	td_job_wait(job);
	done(done_context);
}

// Signals are for the control thread.
static int thread_start(struct td_job *job)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&job->thread, NULL, job_run, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct td_job *td_job_start(
    struct td_loop *loop, void (*work)(void *context), void (*done)(void *context), void *context)
{
	struct td_job *job = calloc(1, sizeof(*job));
	int error;

	if (job == NULL)
		return NULL;
	*job = (struct td_job){.loop = loop, .work = work, .done = done, .context = context};
	job->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (job->over_fd < 0) {
		error = errno;
		goto free_job;
	}
	error = -td_loop_fd_add(loop, job->over_fd, EPOLLIN, job_over, job);
	if (error)
		goto close_fd;
	error = thread_start(job);
	if (error == 0)
		return job;
	td_loop_fd_remove(loop, job->over_fd);
close_fd:
	close(job->over_fd);
free_job:
	free(job);
	errno = error;
	return NULL;
}
