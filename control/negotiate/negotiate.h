// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Tunnels that negotiate their keys: puts the life cycle (control/lifecycle), the IKEv2 engine (control/ike),
// the SAD (control/sad) and the sockets together. Control thread.

#include "common/error.h"
#include "control/config/diff.h"
#include "control/ike/ike.h"
#include "control/loop.h"
#include "control/sad/sad.h"

struct td_negotiate;

// What happened to a tunnel, a child (then with its SPIs) or an IKE SA; reason may be NULL.
struct td_negotiate_event {
	const char *kind; // of struct td_life_env and struct td_ike_env
	const char *tunnel; // name; of an IKE SA: of its first tunnel; NULL: not known
	uint32_t spi_in, spi_out; // host order; 0: not about a child
	const char *reason;
};
typedef void (*td_negotiate_event_fn)(void *context, const struct td_negotiate_event *event);

// What the tunnels of a configuration need of the files that they name. Any thread: nothing else is touched,
// but the configuration is told what was seen. before and diff are of the configuration that runs; NULL at
// the beginning. What has not changed is not read again. Returns NULL and fills *error.
struct td_negotiate_read;
struct td_negotiate_read *td_negotiate_read(const struct td_config *before, struct td_config *config,
    const struct td_config_diff *diff, struct td_error *error);
void td_negotiate_read_free(struct td_negotiate_read *read); // NULL is nothing

// Reads the credentials and opens UDP 500 and 4500 on the tunnels' local addresses. Returns NULL and fills
// *error. Without a tunnel that negotiates it only exists.
struct td_negotiate *td_negotiate_create(struct td_loop *loop, struct td_config *config, struct td_sad *sad,
    td_negotiate_event_fn fn, void *context, struct td_error *error);
// Removes the children. The SAD lives on.
void td_negotiate_destroy(struct td_negotiate *negotiate);
// What is to be up from the beginning, connects.
void td_negotiate_start(struct td_negotiate *negotiate);
// Takes all tunnels down: says DELETE to their peers, and negotiates no more. False: there was nobody to
// tell.
bool td_negotiate_stop(struct td_negotiate *negotiate);

// What the SAD tells; a td_sad_event_fn.
void td_negotiate_sad_event(void *negotiate, const char *kind, const struct td_sa *sa,
    const struct td_tunnel *tunnel, const struct td_event *event);

// ---- another configuration --------------------------------------------------------------------

// It is prepared, tunnel by tunnel: nothing of that is seen from outside. Then it is taken, or cancelled,
// tunnel by tunnel again. The loop may run in between.
void td_negotiate_begin(struct td_negotiate *negotiate);
// Tunnels that stay come first: with another configuration that differs in nothing that their SAs were made
// with, at this position in what was read.
void td_negotiate_tunnel_prepare(struct td_negotiate *negotiate, const struct td_tunnel *tunnel,
    struct td_negotiate_read *read, unsigned position);
// Makes what a tunnel needs to negotiate; it does nothing yet. Without a part for it in the tunnel's
// configuration there is nothing to make. Returns 0 or -errno and fills *error.
int td_negotiate_tunnel_add(struct td_negotiate *negotiate, struct td_tunnel *tunnel,
    struct td_negotiate_read *read, unsigned position, struct td_error *error);

// A tunnel that stays stays as it is; what was made for one goes.
void td_negotiate_tunnel_cancel(struct td_negotiate *negotiate, struct td_tunnel *tunnel);
void td_negotiate_tunnel_discard(struct td_negotiate *negotiate, struct td_tunnel *tunnel);

// The tunnel goes: its peer is told, and when that is done the SAD is told to remove it. Its configuration's
// part for it belongs to the negotiation from now.
void td_negotiate_tunnel_leave(struct td_negotiate *negotiate, struct td_tunnel *tunnel);
// A tunnel that stays becomes what the SAD's configuration of it is now.
void td_negotiate_tunnel_update(struct td_tunnel *tunnel);
// One that was made, or stays, does what is wanted of it.
void td_negotiate_tunnel_start(struct td_tunnel *tunnel);

// -----------------------------------------------------------------------------------------------

struct td_negotiate_tunnel_info {
	bool negotiated;
	const char *state; // "down", "connecting", "up"
	unsigned children;
	uint64_t rekeys, activated_by_traffic, failed;
	const char *last_error; // "": none
	uint64_t up_since_ns; // td_clock_now_ns(); 0: not up
};
void td_negotiate_tunnel_info(const struct td_negotiate *negotiate, const struct td_tunnel *tunnel,
    struct td_negotiate_tunnel_info *info);
// Return 0, or -EINVAL (the tunnel is not negotiated) or -EBUSY (nothing to rekey) with *error.
int td_negotiate_up(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error);
int td_negotiate_down(struct td_negotiate *negotiate, const struct td_tunnel *tunnel, struct td_error *error);
// New keys for the children, or with ike for the IKE SA.
int td_negotiate_rekey(
    struct td_negotiate *negotiate, const struct td_tunnel *tunnel, bool ike, struct td_error *error);
struct td_ike *td_negotiate_ike(const struct td_negotiate *negotiate);
