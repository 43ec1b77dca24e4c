// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Arrow scripts: two nodes, A and B, whose messages are all in the script's hands. A script is a list of
// steps, apart by blanks:
//
// clang-format off
//   A:rekey A:rekey-ike        an operator's wish; A:down A:up, A:crash A:start
//   A:all-down A:all-up        the same for all tunnels at once
//   A:soft A:hard              the child that A sends on reaches a limit; A:hard-old: its oldest child does
//   A:nonce=00,ff              first bytes of A's next nonces
//   A>create?                  A's oldest create request arrives; "!" is an answer; init, auth, create, info
//   A>create!(WORD)            the oldest one with the word in it (a notify, a payload, an SPI)
//   A>any?                     of any exchange
//   -A>create?  +A>create?     it is lost; it arrives, and will once more
//   ~A>init?                   it arrives with its last byte changed
//   ^A>noise?  %B>noise!       with a byte changed that nothing authenticates, in the header the responder's SPI
//   @B>init!  _B>init!         with a proposal that was not offered, with a KE payload of zeros
//   A:none                     A has sent nothing that is still under way
//   wait=N                     N ms pass, messages stay where they are
//   flow=N                     all is delivered for N ms, what is held first
//   rest  rest=N               flows until all is at rest, which may take so many ms
//   trouble calm               packets may be held; from now on they may not
//   A:mute A:heard             from now on nothing of A's arrives; everything again
//   A:children=N A:ikes=N      A has so many children that are not draining, so many IKE SAs
//   A:traffic=N                so many children of A's have been activated by traffic (also: timer, delete,
//                              answer, message, early)
//   A:failed=N                 so many IKE SAs of A's have failed (also: dead, rekeyed, expired, renewed)
//   A:moved=N                  so often IKE messages have shown A that a tunnel's peer has moved
//   A:repeated=N               A has sent requests again so often
//   A:stale=N                  A has refused so many first messages or others for their time (also: replayed)
//   A:accepted=N               A has made so many sessions of first messages (also: answered)
//   *A>noise?  again           it arrives, and somebody keeps what was seen; who sends it once more
//   flood=N                    N initiators from nowhere start at B
//   gossip=N                   N messages about unknown IKE SAs come to B
//   rebind                     the NAT before A takes other ports
//   A:later=N                  somebody sets A's clock to N s later
//   A:stranger                 who has seen A's SPIs asks about them in the wrong roles
//   A:told=N                   who has seen A's first message answers it with a notify of this number
//   A:squat                    who has seen A's SPI sends the peer an IKE_SA_INIT with it
//   A:decoy                    another peer between the addresses, with other proposals
//   A:rename                   A has another identity when it starts again
//   A:unsealed=N               A has no memory for its next N messages
//   A:untasked=N               for its next N tasks (liveness aside)
//   A:crowd=N                  so many IKE_SA_INITs of others, who go no further, are half-open at A
//   A:uninstalled=N            A's data plane has no room for its next N children
//   A:minimal                  A takes no children but that of IKE_AUTH (RFC 7815)
//   A:turn                     A has its Diffie-Hellman groups in another order from now on
//   A:anybody                  another peer of A's, found first, takes any identity with the key of B
// clang-format on
//
// No packet may be lost in any script; data goes both ways all the time.

#include "tests/sim/sim.h"

enum sim_script_flag {
	SCRIPT_PFS = 1, // groups on both sides
	SCRIPT_GROUPS = 2, // the responder prefers another group
	SCRIPT_IKE_GROUPS = 4, // the same for IKE_SA_INIT
	SCRIPT_FRESH = 8, // nothing is set up yet
	SCRIPT_BOTH_START = 16, // both sides connect at once
	SCRIPT_WRONG_PSK = 32,
	SCRIPT_NO_PROPOSAL = 64, // nothing in common for IKE
	SCRIPT_NO_ESP = 128, // nothing in common for ESP
	SCRIPT_OTHER_TS = 256, // no selectors in common
	SCRIPT_NARROW_TS = 512, // the responder has a part of them
	SCRIPT_LONG = 1024, // IKE_AUTH does not fit a packet
	SCRIPT_NAT = 2048, // before A
	SCRIPT_LIVENESS = 4096, // asked after a second of silence
	SCRIPT_LIFETIME = 8192, // soft after 1 s, hard after 1.5 s
	SCRIPT_WORKERS = 16384, // a child for each of two workers
	SCRIPT_DOWN_AT_END = 32768, // does not come to rest: it fails for good
	SCRIPT_ANYBODY = 65536, // the responder takes any identity
	SCRIPT_ONERTT = 1 << 17, // one round trip instead of IKEv2
	SCRIPT_SECRET = 1 << 18, // A has a registration secret instead of a static key
	SCRIPT_EARLY = 1 << 19, // the initiator's keys, and early data
	SCRIPT_SESSION = 1 << 20, // a session is good for 3 s
	SCRIPT_SKEW = 1 << 21, // A's clock is five days behind
	SCRIPT_IKE_LIFETIME = 1 << 22, // A rekeys the IKE SA after 1.6 to 2 s
	SCRIPT_ID = 1 << 23, // a static key and an identity that belong together
	SCRIPT_INITIATOR = 1 << 24, // the initiator's keys
	SCRIPT_WRAPPED = 1 << 25, // keys are wrapped
	SCRIPT_SESSION_B = 1 << 26, // B takes a session to be good for 3 s
	// Two tunnels between the same addresses: one for networks, and before it in the configuration, or
	// behind it, one for a part of them; or both for the same ones.
	SCRIPT_PART_FIRST = 1 << 27,
	SCRIPT_PART_LAST = 1 << 28,
	SCRIPT_SAME_TS = 1 << 29,
	SCRIPT_HOUR = 1 << 30, // soft after an hour, hard six minutes later
	SCRIPT_TWO = SCRIPT_PART_FIRST | SCRIPT_PART_LAST | SCRIPT_SAME_TS,
};

struct sim_script {
	const char *name;
	unsigned flags;
	const char *steps;
	char kept; // 'A' or 'B': who made the child that remains; 0: not looked at
};

// Returns true when all went as written; else why is filled in.
bool sim_script_run(const struct sim_script *script, FILE *trace, char *why, size_t size);

// What goes wrong in a node (script_faults.c).
void sim_faults_clear(void);
void sim_fault_seals(const struct sim_node *node, unsigned count);
void sim_fault_tasks(const struct sim_node *node, unsigned count);
void sim_fault_minimal(const struct sim_node *node); // until it starts again
void sim_groups_turn(struct sim_end *end);
void sim_anybody_add(struct sim_end *end);

// What somebody on the way does (script_stranger.c).
void sim_stranger_asks(struct sim_node *node, unsigned peer);
void sim_stranger_answers(struct sim_node *node, unsigned peer, uint16_t notify);
void sim_stranger_squats(struct sim_node *node, unsigned peer);
void sim_message_alter(struct sim_message *message, char how);

extern const struct sim_script sim_scripts_child[], sim_scripts_ike[],
    sim_scripts_onertt[]; // ended by a row without name
const struct sim_script *sim_scripts_combinations(void); // the same: every mode, key source and delivery
