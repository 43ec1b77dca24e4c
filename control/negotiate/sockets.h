// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// UDP 500 and 4500 on the kernel's stack, behind the ports' TAPs: where IKE messages come and go.

#include "common/cursor.h"
#include "common/error.h"
#include "control/loop.h"
#include "control/path.h"

struct td_ike_sockets;

// message is without the non-ESP marker of port 4500 (RFC 3948 2.2).
typedef void (*td_ike_sockets_fn)(void *context, const struct td_path *path, struct td_bytes message);

struct td_ike_sockets *td_ike_sockets_create(struct td_loop *loop, td_ike_sockets_fn fn, void *context);
void td_ike_sockets_destroy(struct td_ike_sockets *sockets);
// Listens on an address, if it does not already. Returns 0 or -errno and fills *error.
int td_ike_sockets_listen(struct td_ike_sockets *sockets, const struct td_ip *local, struct td_error *error);
// Sends from the socket of the path's local address and port. What the kernel does not take is lost, as on
// any way.
void td_ike_sockets_send(
    struct td_ike_sockets *sockets, const struct td_path *path, const uint8_t *message, size_t length);
