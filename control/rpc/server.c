// SPDX-License-Identifier: BSD-3-Clause
// The listening end of the control socket: who may connect, and how many.
#include "common/clock.h"
#include "control/rpc/internal.h"
#include "control/rpc/rpc.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 // Linux 4.13; older libc headers lack it
#endif

#define BACKLOG TD_RPC_CLIENTS_MAX // many clients at once wait their turn and are not refused
#define ACCEPTS_PER_TURN 64
#define REFUSED_LOG_NS (10 * TD_NS_PER_S) // refusals within this time make one line

// ---- authorisation ----------------------------------------------------------------------------

static bool in_peer_groups(int fd, gid_t group)
{
	socklen_t size = 0;
	bool found = false;

	// The first call tells the size.
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	gid_t *groups = malloc(size);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		for (size_t i = 0; i < size / sizeof(*groups); i++)
			found |= groups[i] == group;
	free(groups);
	return found;
}

// Anybody can dial, if only to fill the log.
static void refusal_log(struct td_rpc *rpc, const struct ucred *peer)
{
	uint64_t now_ns = td_clock_now_ns();

	rpc->refused++;
	if (rpc->refused_ns != 0 && now_ns - rpc->refused_ns < REFUSED_LOG_NS)
		return;
	td_log_warning(
	    "control socket: refused user %u (process %d), who is not in the group; %u refused since "
	    "the last such line",
	    peer->uid, peer->pid, rpc->refused);
	rpc->refused_ns = now_ns;
	rpc->refused = 0;
}

static bool peer_allowed(struct td_rpc *rpc, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (rpc->has_group && (peer.gid == rpc->group || in_peer_groups(fd, rpc->group)))
		return true;
	refusal_log(rpc, &peer);
	return false;
}

// ---- accepting --------------------------------------------------------------------------------

static void accept_timer_fired(void *context)
{
	td_rpc_accept_resume(context);
}

void td_rpc_accept_resume(struct td_rpc *rpc)
{
	if (!rpc->accept_paused)
		return;
	rpc->accept_paused = false;
	td_loop_timer_cancel(rpc->context->loop, &rpc->accept_timer);
	td_loop_fd_modify(rpc->context->loop, rpc->listen_fd, EPOLLIN);
}

// Out of descriptors or memory: the connection stays in the backlog, and looking again at once would spin. It
// goes on after a while, and when a client leaves.
static void accept_pause(struct td_rpc *rpc)
{
	uint64_t when_ns = td_clock_now_ns() + TD_RPC_ACCEPT_RETRY_MS * TD_NS_PER_MS;

	td_loop_timer_set(rpc->context->loop, &rpc->accept_timer, when_ns);
	rpc->accept_paused = td_loop_fd_modify(rpc->context->loop, rpc->listen_fd, 0) == 0;
}

static void client_accept(struct td_rpc *rpc, int fd)
{
	static const char full[] = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":"
	                           "{\"code\":4,\"message\":\"too many connections\"}}\n";

	if (!peer_allowed(rpc, fd)) {
		close(fd);
		return;
	}
	if (rpc->client_count >= TD_RPC_CLIENTS_MAX) {
		// Nobody is there to tell if this fails.
		(void)!send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	int rc = td_rpc_client_add(rpc, fd);
	if (rc)
		td_log_warning("control socket: a connection was refused: %s", strerror(-rc));
}

static void listen_ready(void *context, uint32_t events)
{
	struct td_rpc *rpc = context;

	(void)events;
	for (unsigned turn = 0; turn < ACCEPTS_PER_TURN; turn++) {
		int fd = accept4(rpc->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			client_accept(rpc, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			td_log_warning("control socket: no new connections for a while: %s", strerror(errno));
			accept_pause(rpc);
		}
		return;
	}
}

// ---- the socket file --------------------------------------------------------------------------

static int directory_create(const char *path, struct td_error *error)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	memcpy(directory, path, strlen(path) + 1);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return 0;
	*slash = '\0';
	if (mkdir(directory, 0755) == 0) {
		// Whatever the umask: the group must get to the socket.
		if (chmod(directory, 0755) == 0)
			return 0;
	} else if (errno == EEXIST) {
		return 0;
	}
	return td_error_set(
	    error, -errno, NULL, NULL, "the directory %.100s cannot be made: %s", directory, strerror(errno));
}

// Removes the socket file of a daemon that is gone.
static int stale_remove(const struct sockaddr_un *address, struct td_error *error)
{
	const char *path = address->sun_path;
	struct stat status;

	if (lstat(path, &status))
		return errno == ENOENT ? 0 : td_error_set(error, -errno, NULL, NULL, "%s", strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return td_error_set(error, -EEXIST, NULL, NULL,
		    "is there already and is not a socket; remove it or set another path");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return td_error_set(error, -errno, NULL, NULL, "%s", strerror(errno));
	int failed = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
	close(fd);
	// A full backlog (EAGAIN) also means that somebody listens.
	if (failed == 0 || failed == EAGAIN)
		return td_error_set(
		    error, -EADDRINUSE, NULL, NULL, "another tandemd is running on %.107s", path);
	if (failed != ECONNREFUSED)
		return td_error_set(error, -failed, NULL, NULL, "cannot be tested: %s", strerror(failed));
	if (unlink(path))
		return td_error_set(
		    error, -errno, NULL, NULL, "is stale and cannot be removed: %s", strerror(errno));
	return 0;
}

static void group_set(struct td_rpc *rpc, const char *path)
{
	const char *name = rpc->context->config->socket_group;
	const struct group *group = name[0] ? getgrnam(name) : NULL;

	if (!group) {
		if (name[0])
			td_log_info("control socket: there is no group \"%s\"; only root may connect", name);
		return;
	}
	rpc->group = group->gr_gid;
	rpc->has_group = true;
	if (chown(path, (uid_t)-1, rpc->group))
		td_log_warning(
		    "control socket: %s cannot be given to group %s: %s", path, name, strerror(errno));
}

static int socket_listen(struct td_rpc *rpc, struct td_error *error)
{
	const char *path = rpc->context->config->socket_path;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int rc;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path))
		return td_error_set(error, -EINVAL, NULL, NULL, "the path is empty or too long");
	memcpy(address.sun_path, path, strlen(path) + 1);
	rc = directory_create(path, error);
	if (rc == 0)
		rc = stale_remove(&address, error);
	if (rc)
		return rc;
	rpc->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	// The mode of the descriptor becomes that of the file: it is never open to more than the owner before
	// its group is right.
	if (rpc->listen_fd < 0 || fchmod(rpc->listen_fd, 0600) ||
	    bind(rpc->listen_fd, (const struct sockaddr *)&address, sizeof(address)))
		return td_error_set(error, -errno, NULL, NULL, "cannot be made: %s", strerror(errno));
	if (lstat(path, &status) == 0) {
		rpc->bound = true;
		rpc->device = status.st_dev;
		rpc->inode = status.st_ino;
	}
	group_set(rpc, path);
	if (chmod(path, 0660) || listen(rpc->listen_fd, BACKLOG))
		return td_error_set(error, -errno, NULL, NULL, "cannot be made: %s", strerror(errno));
	rc = td_loop_fd_add(rpc->context->loop, rpc->listen_fd, EPOLLIN, listen_ready, rpc);
	return rc ? td_error_set(error, rc, NULL, NULL, "cannot be watched: %s", strerror(-rc)) : 0;
}

struct td_rpc *td_rpc_create(const struct td_rpc_context *context, struct td_error *error)
{
	struct td_rpc *rpc = calloc(1, sizeof(*rpc));

	td_error_set(error, 0, "control socket", context->config->socket_path, " ");
	if (!rpc) {
		td_error_set(error, -ENOMEM, NULL, NULL, "there is not enough memory");
		return NULL;
	}
	td_rpc_json_init();
	rpc->context = context;
	rpc->listen_fd = -1;
	rpc->accept_timer.fn = accept_timer_fired;
	rpc->accept_timer.context = rpc;
	TAILQ_INIT(&rpc->clients);
	if (socket_listen(rpc, error) == 0)
		return rpc;
	td_rpc_destroy(rpc);
	return NULL;
}

void td_rpc_destroy(struct td_rpc *rpc)
{
	const char *path;
	struct td_rpc_client *client;
	struct stat status;

	if (!rpc)
		return;
	while ((client = TAILQ_FIRST(&rpc->clients)))
		td_rpc_client_free(client);
	td_loop_timer_cancel(rpc->context->loop, &rpc->accept_timer);
	if (rpc->listen_fd >= 0) {
		td_loop_fd_remove(rpc->context->loop, rpc->listen_fd);
		close(rpc->listen_fd);
	}
	path = rpc->context->config->socket_path;
	// Another daemon may have put its own socket there since.
	if (rpc->bound && lstat(path, &status) == 0 && status.st_dev == rpc->device &&
	    status.st_ino == rpc->inode)
		unlink(path);
	free(rpc);
}
