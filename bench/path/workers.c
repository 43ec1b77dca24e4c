// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/workers.h"

#include "bench/path/gateway.h"

#include <errno.h>
#include <rte_common.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned sizes[] = {64, 1400};
static const unsigned tunnels[] = {2, 1};
static const enum td_path_direction directions[] = {TD_PATH_ENCRYPT, TD_PATH_DECRYPT};

#define ROWS_MAX (RTE_DIM(sizes) * RTE_DIM(tunnels) * RTE_DIM(directions))

struct rows {
	unsigned count;
	struct td_path_row rows[ROWS_MAX];
};

static void rows_choose(struct rows *chosen,
    bool (*wanted)(const void *context, const struct td_path_row *row), const void *context)
{
	int suite = td_dp_suite_find(TD_SA_ESP, "aes128gcm16");

	for (unsigned i = 0; i < ROWS_MAX; i++) {
		unsigned rest = i / RTE_DIM(sizes);
		struct td_path_row row = {
		    .direction = directions[rest % RTE_DIM(directions)],
		    .suite = (unsigned)suite,
		    .size = sizes[i % RTE_DIM(sizes)],
		    .tunnels = tunnels[rest / RTE_DIM(directions)],
		};

		if (wanted(context, &row))
			chosen->rows[chosen->count++] = row;
	}
}

// The forked process. Returns its exit status.
static int rows_run(int socket, const struct rows *rows, bool quick)
{
	struct td_path_pair_result result;
	bool failed = false;
	char start;

	// Not asked: the parent has ended.
	if (recv(socket, &start, sizeof(start), 0) != sizeof(start))
		return 0;
	if (td_path_pair_open())
		return 1;
	for (unsigned i = 0; i < rows->count; i++) {
		td_path_pair_measure(&rows->rows[i], quick, &result);
		failed |= result.failed || send(socket, &result, sizeof(result), MSG_NOSIGNAL) < 0;
	}
	td_path_gateway_close();
	return failed;
}

int td_path_workers_fork(struct td_path_workers *workers, bool quick,
    bool (*wanted)(const void *context, const struct td_path_row *row), const void *context)
{
	struct rows rows = {.count = 0};
	int ends[2];

	*workers = (struct td_path_workers){-1, -1};
	rows_choose(&rows, wanted, context);
	if (rows.count == 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	workers->pid = fork();
	if (workers->pid == 0) {
		(void)close(ends[0]);
		_exit(rows_run(ends[1], &rows, quick));
	}
	int result = workers->pid < 0 ? -errno : 0;
	(void)close(ends[1]);
	if (result)
		(void)close(ends[0]);
	else
		workers->socket = ends[0];
	return result;
}

bool td_path_workers_next(struct td_path_workers *workers, struct td_path_pair_result *result, bool *failed)
{
	int status = 0;

	if (workers->socket < 0)
		return false;
	// Whatever comes behind the first one is not read.
	(void)send(workers->socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (recv(workers->socket, result, sizeof(*result), 0) == sizeof(*result))
		return true;
	(void)close(workers->socket);
	workers->socket = -1;
	*failed |= waitpid(workers->pid, &status, 0) < 0 || status != 0;
	return false;
}
