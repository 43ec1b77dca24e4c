// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the control socket share: server.c (socket), client.c (connections), json.c
// (requests and responses), methods.c, lists.c and policies.c (methods), events.c (notifications).

#include "control/rpc/params.h"
#include "control/rpc/rpc.h"

#include <jansson.h>
#include <sys/queue.h>
#include <sys/types.h>

struct td_rpc_client {
	TAILQ_ENTRY(td_rpc_client) link;
	struct td_rpc *rpc;
	int fd;
	uint32_t watched; // epoll events
	int passed_fd; // sent along with a request and not taken yet, -1: none
	bool subscribed;
	bool eof; // the peer sends no more
	bool closing; // close when the output is written
	bool dead; // close without writing
	bool lines_wait; // whole lines of the input wait for the next turn
	struct td_rpc_pending *pending; // the answer that all further ones wait for; NULL: none
	uint64_t events_lost;
	char *in; // NULL while no partial line waits; may hold keys
	size_t in_length, in_scanned, in_capacity;
	char *out; // holds no keys
	size_t out_start, out_length, out_capacity;
};

struct td_rpc {
	const struct td_rpc_context *context;
	int listen_fd;
	bool bound;
	dev_t device; // of the socket file, to unlink only our own
	ino_t inode;
	bool has_group;
	gid_t group;
	struct td_timer accept_timer;
	bool accept_paused;
	uint64_t refused_ns; // when a refusal was last logged
	unsigned refused; // not logged since
	unsigned client_count;
	TAILQ_HEAD(, td_rpc_client) clients;
};

// One request while it is handled.
struct td_rpc_call {
	struct td_rpc *rpc;
	struct td_rpc_client *client;
	const char *method;
	const json_t *params;
	json_t *id; // NULL: a notification, nothing is answered
	json_t *result; // set by the handler, unless it streams a list
	int index; // position of the object at fault in a bulk request, or -1
	bool streaming, out_of_memory;
	unsigned items;
	size_t rollback; // bytes to which the output is cut back when the response cannot be completed
	struct td_error error;
	json_t *errors; // goes along with the error; NULL: none
};

// What a handler returns that answers later.
#define TD_RPC_LATER 1

// A request whose answer is not known yet.
struct td_rpc_pending {
	struct td_rpc *rpc;
	struct td_rpc_client *client; // NULL: gone
	const char *method;
	json_t *id; // NULL: nothing is answered
};

struct td_rpc_method {
	const char *name;
	const struct td_rpc_field *fields;
	const struct td_rpc_field *item_fields; // of an object that may come alone or many in "sas"
	// Returns 0 with a result, -errno with call->error, or TD_RPC_LATER.
	int (*handle)(struct td_rpc_call *call);
};

// server.c
// Accepts again, if it was paused for want of descriptors or memory.
void td_rpc_accept_resume(struct td_rpc *rpc);

// methods.c
const struct td_rpc_method *td_rpc_method_find(const char *name);
// The tunnel that an object names; NULL if it names none. Returns 0 or -ENOENT with call->error.
int td_rpc_tunnel_read(struct td_rpc_call *call, const json_t *item, struct td_tunnel **tunnel);

// lists.c
int td_rpc_sa_list(struct td_rpc_call *call);
int td_rpc_worker_list(struct td_rpc_call *call);
int td_rpc_port_list(struct td_rpc_call *call);
int td_rpc_drop_list(struct td_rpc_call *call);
int td_rpc_suite_list(struct td_rpc_call *call);

// tunnels.c
extern const struct td_rpc_field td_rpc_tunnel_list_fields[], td_rpc_tunnel_fields[],
    td_rpc_tunnel_rekey_fields[];
int td_rpc_tunnel_list(struct td_rpc_call *call);
int td_rpc_tunnel_up(struct td_rpc_call *call);
int td_rpc_tunnel_down(struct td_rpc_call *call);
int td_rpc_tunnel_rekey(struct td_rpc_call *call);
int td_rpc_ike_list(struct td_rpc_call *call);
int td_rpc_ike_stats(struct td_rpc_call *call);
// Whether SAs of a tunnel may be changed from outside. Returns 0 or -EBUSY with call->error.
int td_rpc_injected_check(struct td_rpc_call *call, const struct td_tunnel *tunnel);

// config.c
int td_rpc_config_diff(struct td_rpc_call *call);
int td_rpc_config_reload(struct td_rpc_call *call);

// policies.c
int td_rpc_policy_list(struct td_rpc_call *call);
extern const struct td_rpc_field td_rpc_policy_fields[], td_rpc_policy_set_fields[],
    td_rpc_policy_add_fields[], td_rpc_policy_remove_fields[];
int td_rpc_policy_set(struct td_rpc_call *call);
int td_rpc_policy_add(struct td_rpc_call *call);
int td_rpc_policy_remove(struct td_rpc_call *call);
// watch.c
extern const struct td_rpc_field td_rpc_trace_start_fields[], td_rpc_trace_show_fields[];
extern const struct td_rpc_field td_rpc_capture_start_fields[];
int td_rpc_trace_start(struct td_rpc_call *call);
int td_rpc_trace_show(struct td_rpc_call *call);
int td_rpc_trace_stop(struct td_rpc_call *call);
int td_rpc_capture_start(struct td_rpc_call *call);
int td_rpc_capture_show(struct td_rpc_call *call);
int td_rpc_capture_stop(struct td_rpc_call *call);

// json.c
// From now on memory that jansson frees is wiped: keys come in as JSON strings.
void td_rpc_json_init(void);
// Handles one line without its end.
void td_rpc_json_request(struct td_rpc_client *client, const char *line, size_t length);
void td_rpc_json_error(struct td_rpc_client *client, json_t *id, int code, const char *message);
// The call is answered later; until then no further request of its client is looked at.
void td_rpc_pending_make(struct td_rpc_pending *pending, struct td_rpc_call *call);
// With result, JSON (NULL: there was no memory for it), if rc is 0, and else with the error and its further
// lines (taken; NULL: none).
void td_rpc_pending_answer(
    struct td_rpc_pending *pending, int rc, const char *result, const struct td_error *error, json_t *errors);
// A list as result, {NAME: [item, ...]}, written item by item: the whole as one tree would be large.
void td_rpc_list_begin(struct td_rpc_call *call, const char *name);
void td_rpc_list_item(struct td_rpc_call *call, json_t *item); // takes the item; NULL: out of memory
int td_rpc_list_end(struct td_rpc_call *call);
// A string of text; bytes that are not UTF-8, as of a sequence that was cut, become "?". NULL: out of memory.
json_t *td_rpc_json_text(const char *text);
json_t *td_rpc_json_ip(const struct td_ip *ip);
json_t *td_rpc_json_prefix(const struct td_prefix *prefix); // lists.c; family 0: "any"
json_t *td_rpc_json_prefixes(const struct td_prefix *prefixes, unsigned count); // lists.c
void td_rpc_sa_stats(const struct td_sa *sa, struct td_sa_stats *stats); // lists.c

// client.c
// Takes the descriptor. Returns 0 or -errno (the descriptor is closed then).
int td_rpc_client_add(struct td_rpc *rpc, int fd);
void td_rpc_client_free(struct td_rpc_client *client);
// Goes on with the lines that came meanwhile.
void td_rpc_client_resume(struct td_rpc_client *client);
// Queues output; without memory the client is marked dead.
void td_rpc_client_append(struct td_rpc_client *client, const char *data, size_t length);
size_t td_rpc_client_waiting(const struct td_rpc_client *client);
// Counts events as lost and tells the client when its output has room.
void td_rpc_client_lost(struct td_rpc_client *client, uint64_t count);
// Drops what was queued after the first length waiting bytes. Nothing may have been written since.
void td_rpc_client_cut(struct td_rpc_client *client, size_t length);
// Queues an event, or counts it as lost.
void td_rpc_client_event(struct td_rpc_client *client, const char *text, size_t length);
