// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// An inbound and an outbound SA of one key and SPI, so that what the one seals the other opens.

#include "dataplane/publish.h"

// Outer addresses of all children.
#define TD_CHILD_LOCAL "192.0.2.1"
#define TD_CHILD_REMOTE "192.0.2.2"

struct td_child {
	struct td_sa_in *in;
	struct td_sa_out *out;
};

// What the children of this program have in common, but for suite and replay window. spi is a new one.
void td_child_params(struct td_sa_params *params, struct td_dp_tunnel *tunnel, unsigned suite);
// Makes a child that nobody sees yet. Returns 0, or -errno and no child.
int td_child_create(struct td_child *child, const struct td_sa_params *params);
// Worker 0 decrypts with it from now on. Returns 0 or -ENOMEM.
int td_child_publish(struct td_child *child);
// Both SAs. No tunnel may refer to the outbound one any more.
void td_child_remove(struct td_child *child);
// A new child of a tunnel, published both ways, of the suite that everything under load uses. Returns 0 or
// -errno.
int td_child_install(struct td_child *child, struct td_dp_tunnel *tunnel);
