// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control socket: newline-delimited JSON-RPC 2.0 over a UNIX stream socket
// (docs/control-protocol.md). One thread.

#include "control/config/config.h"
#include "control/loop.h"
#include "control/negotiate/negotiate.h"
#include "control/policies/policies.h"
#include "control/reload.h"
#include "control/sad/sad.h"
#include "control/watch/recorder.h"
#include "control/watch/tracer.h"

struct td_rpc;

// What the methods may touch. sad, policies and negotiate are set after the socket is made, before the loop
// runs.
struct td_rpc_context {
	struct td_loop *loop;
	const struct td_config *config;
	struct td_sad *sad;
	struct td_policies *policies;
	struct td_negotiate *negotiate;
	struct td_tracer *tracer;
	struct td_recorder *recorder;
	struct td_reload *reload;
};

// Listens on config->socket_path (mode 0660, group config->socket_group if it exists). Returns NULL and fills
// *error.
struct td_rpc *td_rpc_create(const struct td_rpc_context *context, struct td_error *error);
void td_rpc_destroy(struct td_rpc *rpc);
// Tells the subscribers that so many events were lost before they reached the control thread.
void td_rpc_events_lost(struct td_rpc *rpc, uint64_t count);
// Sends an event to the subscribers; a td_sad_event_fn.
void td_rpc_event(void *rpc, const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel,
    const struct td_event *event);
// The same of a negotiation; a td_negotiate_event_fn.
void td_rpc_negotiate_event(void *rpc, const struct td_negotiate_event *event);
