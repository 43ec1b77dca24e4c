// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Every limit and timer of the product, each with its reason. Defaults of config keys live in the
// schema (control/config/schema.c), which takes them from here where both need them.

// Data plane shape.
#define TD_WORKERS_MAX 64
#define TD_PORTS_MAX 16
#define TD_QUEUES_MAX 64 // receive queues of one port
#define TD_BURST 32 // packets a stage handles at once: rx burst of every PMD we tested
#define TD_NAME_MAX 32 // names of ports and tunnels, with terminator

// Counters of policies: chunks of 32 KiB for each worker, a million policies at most.
#define TD_HITS_CHUNK 4096u
#define TD_HITS_CHUNKS 256u

// Flows that a worker remembers the policy of, for each direction: 64 bytes each. A power of two.
#define TD_POLICY_FLOWS 4096u

// Rings. Powers of two (rte_ring).
#define TD_HANDOFF_RING 1024 // packets from one worker to another
#define TD_PUNT_RING 1024 // packets from one worker to the kernel
#define TD_INJECT_RING 1024 // packets from the kernel to one worker
#define TD_EVENT_RING 1024 // events from one worker
#define TD_TRACE_RING 4096 // trace records from one worker
#define TD_CAPTURE_RING 1024 // captured frames from one worker
#define TD_CAPTURE_BUFFERS 4095 // captured frames that have not been written yet
#define TD_CAPTURE_SNAPLEN_MAX 9216u // the longest frame: TD_MTU_MAX and what Ethernet puts around it
#define TD_CAPTURE_SNAPLEN_MIN 64u
#define TD_CAPTURE_COUNT_MAX 1000000000u
#define TD_CAPTURE_COUNT_DEFAULT 100000u // nobody fills a disk by forgetting a capture
#define TD_TRACE_PACKETS_MAX 1000u // packets of one trace
#define TD_TRACE_SHOW_MAX 50u // packets of one answer: the control thread has more to do than to show them

// Punted packets per second and worker, by class: a flood of one class leaves the others alone.
#define TD_PUNT_ARP_PER_S 2000
#define TD_PUNT_IKE_PER_S 20000
#define TD_PUNT_IKE_FIRST_PER_S 5000
#define TD_PUNT_ICMP_PER_S 2000
#define TD_PUNT_OTHER_PER_S 10000
// Unknown-SPI events per second and worker (RFC 4301 5.2 asks for an audit, not for a flood).
#define TD_UNKNOWN_SPI_EVENTS_PER_S 10
#define TD_ACQUIRE_EVENTS_PER_S 10
#define TD_PMTU_EVENTS_PER_S 1000 // of those that quote an SA and tell something new
// Authentication failures of one SA within a second that raise one event.
#define TD_AUTH_BURST 8

// Packets that wait for a neighbour, per worker and per next hop; they wait one second at most,
// as the kernel does (unres_qlen, RFC 4861 7.2.2 asks for at least one).
#define TD_HOLD_PER_WORKER 128
#define TD_HOLD_PER_NEIGHBOUR 16
#define TD_HOLD_MS 1000

// Packets that wait for a tunnel's first outbound SA, per worker and per tunnel, and for how long: a
// negotiation with a retransmission or two fits.
#define TD_ACQUIRE_PER_WORKER 128
#define TD_ACQUIRE_PER_TUNNEL 16
#define TD_ACQUIRE_HOLD_MS 3000

// ICMP errors per second and worker (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
#define TD_ICMP_ERRORS_PER_S 1000
// Fragments of one packet that is cut: 9000 bytes into what 576 leave behind ESP headers; at most TD_BURST.
#define TD_FRAGMENTS_MAX 24

// Replay windows in packets (RFC 4303 3.4.3 asks for 32 at least; RFC 6479 bitmap words are 64 bits).
#define TD_REPLAY_WINDOW_MIN 64
#define TD_REPLAY_WINDOW_MAX 8192
#define TD_REPLAY_WINDOW_DEFAULT 1024

// SPIs 1 to 255 are reserved by IANA, 0 is for local use (RFC 4303 2.1).
#define TD_SPI_MIN 256u
// A packet of an SPI removed less than this long ago is late, not unknown.
#define TD_SPI_LATE_S 60

// A soft event is raised when this much of the 32-bit sequence space is left (RFC 4303 3.3.3).
#define TD_SEQ_SOFT_LEFT 0x10000000u

// Rollover: an old inbound SA drains this long (strongSwan's default is 5 s too).
#define TD_DRAIN_DEFAULT_MS 5000
// A responder's first child, with nothing else to send on, is taken to be in place at the peer after this
// long without a repeated request: packets that are held meanwhile do not wait for longer than
// TD_ACQUIRE_HOLD_MS.
#define TD_LIFE_FIRST_QUIET_NS 100000000ull

// The control thread looks at worker events, punted packets and reclaimable memory this often.
#define TD_TICK_NS 500000ull

// The control thread's loop: of one kind of work it does so much at once, or for so long, before it looks at
// everything else. A handshake's public-key operations take a fraction of a millisecond each.
#define TD_LOOP_TIMERS 256
#define TD_LOOP_MESSAGES 64 // of one socket
#define TD_LOOP_TURN_US 2000
// A turn of the loop that took longer counts as late (loop.stats): a request that comes meanwhile is repeated
// after 50 ms or more by all but the most impatient peers.
#define TD_LOOP_LATE_US 10000
// Of a reload so much is done in a turn; what can only be done at once (taking over) takes some milliseconds
// for 10,000 tunnels that are all others.
#define TD_RELOAD_SLICE_US 2000

// Control socket.
#define TD_RPC_CLIENTS_MAX 2048
#define TD_POLICY_CHANGES_MAX 256 // that wait; a client that goes does not take its own along
#define TD_RPC_LINE_MAX (4u << 20) // bytes of one request; a longer one ends the connection
#define TD_RPC_EVENTS_MAX (1u << 20) // bytes that wait for a slow subscriber before events are lost
#define TD_RPC_BULK_MAX 10000 // objects in one bulk request

// Fingerprints of keys of removed outbound SAs that are remembered, so that no nonce is used twice with
// a key (RFC 4106 2); the oldest go first. 24 bytes each: 28 MB at most.
#define TD_USED_KEYS_MAX (1u << 20)
#define TD_RPC_ACCEPT_RETRY_MS 200 // pause after running out of descriptors

// ESP and IP.
// Bytes of an IP header with options or extension headers in front of AH, which are put aside while its ICV
// is computed. RFC 8200 sets no bound; usual ones have 64 bytes at most.
#define TD_AH_HEADERS_MAX 256
// Dummy packets (RFC 4303 2.6): per second and outbound SA; tunnels that have them, which every worker goes
// through; and their payload where TFC padding sets none.
#define TD_DUMMY_RATE_MAX 1000
#define TD_DUMMY_TUNNELS_MAX 1024
#define TD_DUMMY_BYTES 64
#define TD_PMTU_AGE_MS 600000ull // RFC 1191 6.3: a learned path MTU is forgotten after ten minutes
#define TD_NAT_KEEPALIVE_MS 20000ull // RFC 3948 4: default M
#define TD_IPV6_MTU_MIN 1280 // RFC 8200 5
#define TD_IPV4_TTL 64 // outer header (RFC 1700)
#define TD_MTU_MIN 576 // RFC 791: every host takes 576 bytes
#define TD_MTU_MAX 9000

// IKE.
#define TD_STOP_MS 100 // for DELETEs to leave when the gateway stops
#define TD_IKE_KNOWN_MAX 1024 // peers' certificates of one trust that stay parsed, about 5 KB each
#define TD_IKE_HINTS_PER_S 100 // unprotected answers (RFC 7296 2.21.4 asks for a limit)
#define TD_IKE_PROBE_MS 1000 // between two liveness probes that unauthenticated hints cause
// A responder's SAs before IKE_AUTH, and those of the one-round-trip exchange before any proof; further ones
// are refused.
#define TD_IKE_HALF_OPEN_MAX 4096
#define TD_IKE_HALF_OPEN_COOKIE 64 // from here on initiators have to return a cookie (RFC 7296 2.6)
#define TD_IKE_INIT_MAX                                                                                      \
	4096 // bytes of an IKE_SA_INIT, which is kept until IKE_AUTH; MODP-3072 and every proposal need 1,200
#define TD_IKE_HALF_OPEN_SOURCE_MAX 1024 // of those from one address
#define TD_IKE_UNPROVED_MAX                                                                                  \
	16384u // bytes of fragments of a peer that has proved nothing; a chain of certificates needs 6,000
#define TD_IKE_HALF_OPEN_MS 30000 // an initiator has this long for IKE_AUTH
#define TD_IKE_COOKIE_SECRET_MS 60000 // cookies are good for this long, and as long again
#define TD_IKE_INIT_RESTARTS 4 // cookies and other groups that one handshake follows
#define TD_IKE_BUSY_MS 200 // pause after TEMPORARY_FAILURE (RFC 7296 2.25), doubled by chance
#define TD_IKE_REFUSED_MS 1000 // between two events about refused IKE_SA_INITs of one peer
#define TD_IKE_OLD_MS 30000 // a replaced IKE SA waits this long for the peer's DELETE
// The one-round-trip exchange.
#define TD_ONERTT_FREE_PER_S 200 // first messages; when more come, they have to bring a cookie
#define TD_ONERTT_SOURCE_PER_S 20 // with cookies, of one address
#define TD_ONERTT_REFUSALS_PER_S                                                                             \
	20 // of one peer's first messages, that it is told of; with cookies, of an address's
// Each answer that can be meant costs two public-key operations: who sees a request could keep this side
// busy.
#define TD_ONERTT_ANSWERS_PER_S 2000 // opened in all
#define TD_ONERTT_ATTEMPT_ANSWERS_PER_S 20 // for one request; a good one comes again with each repetition
#define TD_ONERTT_INITIATORS_MAX 65536 // whose last first message is remembered
#define TD_ONERTT_GO_ON_MS 30000 // an old session waits this long for the peer to begin a new one
#define TD_IKE_RETRANSMIT_MIN_MS 4 // however short the time that is left for a rekey
#define TD_IKE_RETRANSMIT_SHARE 12 // so many retransmissions fit the time that is left for a rekey

// The one-round-trip exchange.
// The bound on disk is so far ahead of the last message 1 (control/onertt/accepted.h): a disk is waited for
// once in that time, and after a crash whoever connects within it needs a second attempt.
#define TD_ONERTT_RESERVE_US 10000000ull
// First messages that wait while that is written; of more the initiators repeat theirs.
#define TD_ONERTT_HELD_MAX 256
#define TD_ONERTT_DRIFT_SHARE 1000 // quartz clocks drift by less than a tenth of this share of the time
