// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control thread's tunnels and security associations (the SAD of RFC 4301 4.4.2, and what owns
// it): names, states and lifetimes. The packet-side halves live in dataplane/ and are reached through
// publish.h.

#include "common/error.h"
#include "control/config/config.h"
#include "control/loop.h"
#include "control/path.h"
#include "dataplane/publish.h"

// Inbound: pending -> active -> draining -> gone. Outbound: pending -> active (current) -> retired -> gone.
enum td_sa_state { TD_SA_PENDING, TD_SA_ACTIVE, TD_SA_DRAINING, TD_SA_RETIRED, TD_SA_EXPIRED };

// Lifetimes longer than a century are mistakes; the bound keeps deadlines in nanoseconds within 64 bits.
#define TD_SA_TIME_MAX_MS 3153600000000ull

struct td_sad;

struct td_tunnel {
	uint32_t id; // its number, which another one has only when all others have been given
	struct td_tunnel_config config;
	void *user; // of who negotiates its keys
	struct td_dp_tunnel *dp;
	unsigned in_count, out_count; // SAs
	struct td_ip peer_address; // where the peer is now: configured, or moved to behind a NAT
	uint16_t local_port, peer_port; // UDP, 0: not encapsulated
	unsigned pmtu; // learned path MTU, 0: none
	struct td_timer pmtu_timer; // forgets it
	struct td_timer keepalive_timer; // UDP-encapsulated tunnels only
	uint64_t keepalive_packets; // sent by the tunnel when the timer last ran
};

struct td_sa {
	uint32_t spi; // host order
	bool outbound;
	enum td_sa_state state;
	struct td_tunnel *tunnel;
	unsigned owner; // worker
	unsigned suite;
	bool esn;
	unsigned replay_window;
	struct td_path path; // where it goes, or comes from; an outbound one follows the peer
	struct td_sa_limits limits;
	uint64_t soft_time_ms, hard_time_ms; // 0: none; since installation
	uint64_t created_ns, first_used_ns; // td_clock_now_ns(); 0: not yet
	struct td_timer soft_timer, hard_timer; // the hard timer also ends the drain
	void *user; // of who added it; NULL: an operator or a controller
	union {
		struct td_sa_in *in;
		struct td_sa_out *out;
	};
};

// What a change or a worker told about an SA or a tunnel; forwarded to subscribers.
// kind is a word of docs/control-protocol.md: "sa_added", "sa_first_use", "sa_switched", "sa_draining",
// "sa_removed", "sa_soft_limit", "sa_hard_limit", "sa_auth_failures", "unknown_spi", "acquire".
typedef void (*td_sad_event_fn)(void *context, const char *kind, const struct td_sa *sa,
    const struct td_tunnel *tunnel, const struct td_event *event);

struct td_sad *td_sad_create(struct td_loop *loop, const struct td_config *config, td_sad_event_fn fn,
    void *context, struct td_error *error);
// Removes all SAs without events. No policy may refer to a tunnel any more.
void td_sad_destroy(struct td_sad *sad);

struct td_tunnel *td_sad_tunnel_find(const struct td_sad *sad, const char *name);
struct td_tunnel *td_sad_tunnel_at(const struct td_sad *sad, uint32_t id); // NULL: none has the number

// Tunnels come and go while others carry traffic. What the configuration points to must live as long as the
// tunnel. Returns NULL when there is no memory.
struct td_tunnel *td_sad_tunnel_add(struct td_sad *sad, const struct td_tunnel_config *config);
// The same for a tunnel that comes with the next configuration: its name does not find it before it is shown.
struct td_tunnel *td_sad_tunnel_prepare(struct td_sad *sad, const struct td_tunnel_config *config);
// Whether a tunnel goes with the next configuration.
void td_sad_tunnel_leave(struct td_tunnel *tunnel, bool leave);
// Whom the name finds when what comes is shown and what leaves is hidden.
struct td_tunnel *td_sad_tunnel_find_next(const struct td_sad *sad, const char *name);
// Gives a tunnel a configuration that differs in nothing that its SAs were made with.
void td_sad_tunnel_update(struct td_tunnel *tunnel, const struct td_tunnel_config *config);
// The tunnel goes: its name finds it no more, and may be another one's; or it does again.
void td_sad_tunnel_hide(struct td_tunnel *tunnel);
void td_sad_tunnel_show(struct td_sad *sad, struct td_tunnel *tunnel);
// Removes a tunnel and its SAs. No policy and no route may refer to it any more.
void td_sad_tunnel_remove(struct td_sad *sad, struct td_tunnel *tunnel);
// Inbound SPIs are unique in the gateway, outbound ones per tunnel.
struct td_sa *td_sad_sa_find_in(const struct td_sad *sad, uint32_t spi);
struct td_sa *td_sad_sa_find_out(const struct td_sad *sad, const struct td_tunnel *tunnel, uint32_t spi);
// An inbound SPI that names a worker (td_dp_spi_make) and that no inbound SA has, at or behind what the
// random number says; 0: there is none. It is not reserved.
uint32_t td_sad_spi_fresh(const struct td_sad *sad, unsigned worker, uint32_t random);
bool td_sad_spi_is_free(const struct td_sad *sad, uint32_t spi); // no inbound SA has it
// Visits all SAs, or those of one tunnel, in order of creation.
void td_sad_foreach(
    const struct td_sad *sad, void (*fn)(void *context, const struct td_sa *sa), void *context);
void td_sad_tunnel_foreach(
    const struct td_tunnel *tunnel, void (*fn)(void *context, const struct td_sa *sa), void *context);
// The outbound SA on which a worker sends now; NULL: none.
const struct td_sa *td_sad_tunnel_current(const struct td_tunnel *tunnel, unsigned worker);
// True when some worker sends on an outbound SA.
bool td_sad_sa_is_current(const struct td_sa *sa);

// What sa.add takes; key is wiped by its owner, the caller. replay_window 0: the tunnel's. Changes return 0
// or -EINVAL (a parameter), -ENOENT, -EEXIST (SPI or key), -EBUSY (not now) or -ENOMEM.
struct td_sa_request {
	uint32_t spi;
	bool outbound;
	bool activate; // outbound: switch to it in the same step
	struct td_tunnel *tunnel;
	unsigned owner, suite;
	const struct td_secret *key;
	bool esn;
	unsigned replay_window;
	const struct td_path *path; // of what is negotiated; NULL: the tunnel's
	struct td_sa_limits limits;
	uint64_t soft_time_ms, hard_time_ms;
	// What the SA carries where that is less than what policy sends into its tunnel; as in struct
	// td_sa_params.
	const struct td_dp_selector *local_selectors, *remote_selectors;
	unsigned local_selector_count, remote_selector_count;
	void *user;
};
// The peer is where an SA goes, which is sent on from now on. For tunnels that negotiate it.
void td_sad_tunnel_path(struct td_sad *sad, const struct td_sa *sa);
// An authentic message of its negotiation has come from there: what goes in UDP follows the peer.
void td_sad_tunnel_move(
    struct td_sad *sad, struct td_tunnel *tunnel, const struct td_ip *remote, uint16_t port);
// All or nothing: on error *failed is the index of the request at fault and nothing was changed.
int td_sad_add(struct td_sad *sad, const struct td_sa_request *requests, unsigned count, unsigned *failed,
    struct td_error *error);

// One SA named by an operator.
struct td_sa_name {
	struct td_tunnel *tunnel; // may be NULL for inbound
	bool outbound;
	uint32_t spi;
};
// Make outbound SAs current for their tunnels. All or nothing. An SA takes the slot of its owner, and those
// slots of other workers that are empty, hold the SA that it replaces, or hold an SA of another owner. What
// was replaced is what was current before the call: one call sets up one SA per worker.
int td_sad_switch(struct td_sad *sad, const struct td_sa_name *names, unsigned count, unsigned *failed,
    struct td_error *error);
// Start draining inbound SAs: they decrypt for drain_ms more (the tunnel's, if 0), then they are removed.
int td_sad_drain(struct td_sad *sad, const struct td_sa_name *names, unsigned count, uint64_t drain_ms,
    unsigned *failed, struct td_error *error);
// Remove SAs now. A current outbound SA is refused unless force; its slots then get another current SA of the
// tunnel, or none. The keys of outbound SAs are remembered (by fingerprint) and not taken again for sending.
int td_sad_remove(struct td_sad *sad, const struct td_sa_name *names, unsigned count, bool force,
    unsigned *failed, struct td_error *error);
// An event of a worker (FIRST_USE, limits, AUTH_BURST, UNKNOWN_SPI, ACQUIRE). One that the statistics of the
// SA do not bear out is about an earlier SA of the same name and is ignored.
void td_sad_event(struct td_sad *sad, const struct td_event *event);
// Events of the workers were lost: works out from the statistics of all SAs which first uses and limits they
// told.
void td_sad_events_lost(struct td_sad *sad);

const char *td_sa_state_name(enum td_sa_state state);
