// SPDX-License-Identifier: BSD-3-Clause
// The sockets of IKE, when another one has a port.
#include "control/ike/registry.h"
#include "control/negotiate/sockets.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

// Any free port stands for the one that is asked for: no rights are needed, and no other daemon is met.
static unsigned bound[2]; // to port 500, and to 4500
static unsigned taken; // a port; 0: none

int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in in = *(const struct sockaddr_in *)address;
	unsigned port = ntohs(in.sin_port);

	if (port == taken) {
		errno = EADDRINUSE;
		return -1;
	}
	bound[port == TD_IKE_NATT_PORT]++;
	in.sin_port = 0;
	return __real_bind(fd, (struct sockaddr *)&in, length);
}

static void nobody(void *context, const struct td_path *path, struct td_bytes message)
{
	(void)context, (void)path, (void)message;
}

Test(sockets, are_opened_by_a_later_attempt)
{
	static const struct {
		unsigned taken;
		int ret;
		unsigned bound[2]; // in all
	} rows[] = {
	    {TD_IKE_PORT, -EADDRINUSE, {0, 0}},
	    {TD_IKE_NATT_PORT, -EADDRINUSE, {1, 0}},
	    {TD_IKE_NATT_PORT, -EADDRINUSE, {1, 0}},
	    {0, 0, {1, 1}},
	    {TD_IKE_NATT_PORT, 0, {1, 1}},
	};
	struct td_loop *loop = td_loop_create();
	struct td_ike_sockets *sockets = td_ike_sockets_create(loop, nobody, NULL);
	struct td_error error = {0};
	struct td_ip local;

	cr_assert_eq(td_ip_parse("127.0.0.1", &local), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		taken = rows[i].taken;
		cr_expect_eq(td_ike_sockets_listen(sockets, &local, &error), rows[i].ret, "row %zu", i);
		cr_expect_eq(bound[0], rows[i].bound[0], "row %zu", i);
		cr_expect_eq(bound[1], rows[i].bound[1], "row %zu", i);
	}
	td_ike_sockets_destroy(sockets);
	td_loop_destroy(loop);
}
