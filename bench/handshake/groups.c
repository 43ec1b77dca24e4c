// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/row.h"

#define ROUNDS 25
#define CROWD_ROUNDS 3 // each takes some seconds

#define EXCHANGE_FIGURES(first)                                                                              \
	{                                                                                                    \
		{first, "/s", TD_AIM_NONE, 0}, {"initiator's part", "us", TD_AIM_NONE, 0},                   \
		    {"responder's part", "us", TD_AIM_NONE, 0},                                              \
		    {"public-key operations of both", "us", TD_AIM_NONE, 0},                                 \
		    {"part of the public-key limit", "%", TD_AIM_LEAST, 70},                                 \
		{                                                                                            \
			0                                                                                    \
		}                                                                                            \
	}

#define CROWD_FIGURES                                                                                        \
	{                                                                                                    \
		{"connected by one thread of the hub", "/s", TD_AIM_NONE, 0},                                \
		    {"until all are up", "s", TD_AIM_NONE, 0},                                               \
		    {"until all are rekeyed, soft limit at 60 s", "s", TD_AIM_NONE, 0},                      \
		    {"least time left to a hard limit at 66 s", "s", TD_AIM_NONE, 0},                        \
		    {"deadlines missed, children expired, failures", "", TD_AIM_BOUND, 0},                   \
		    {"hub busy meanwhile", "s", TD_AIM_NONE, 0},                                             \
		    {"longest stall of the hub's loop", "ms", TD_AIM_MOST, 10},                              \
		    {"longest stall of the sites' loop", "ms", TD_AIM_MOST, 10},                             \
		    {"memory configured", "bytes", TD_AIM_NONE, 0},                                          \
		    {"memory connected", "bytes", TD_AIM_NONE, 0},                                           \
		{                                                                                            \
			0                                                                                    \
		}                                                                                            \
	}

const struct td_group td_groups[] = {
    // argument: 0 without certificates, 1 with those that were seen before, 2 with new ones
    {"IKE_SA_INIT and IKE_AUTH, X25519, PSK", 32, 8, 0, ROUNDS, td_connect_setup, td_connect_round,
        td_connect_teardown, EXCHANGE_FIGURES("IKE SAs, both sides on one core")},
    {"IKE_SA_INIT and IKE_AUTH, X25519, ECDSA P-256, known certificates", 32, 8, 1, ROUNDS, td_connect_setup,
        td_connect_round, td_connect_teardown, EXCHANGE_FIGURES("IKE SAs, both sides on one core")},
    {"IKE_SA_INIT and IKE_AUTH, X25519, ECDSA P-256, new certificates", 32, 8, 2, ROUNDS, td_connect_setup,
        td_connect_round, td_connect_teardown, EXCHANGE_FIGURES("IKE SAs, both sides on one core")},
    // argument: with PFS
    {"CREATE_CHILD_SA and DELETE, X25519", 64, 8, 1, ROUNDS, td_rekey_setup, td_rekey_round,
        td_rekey_teardown, EXCHANGE_FIGURES("rekeys, both sides on one core")},
    {"CREATE_CHILD_SA and DELETE, without PFS", 64, 8, 0, ROUNDS, td_rekey_setup, td_rekey_round,
        td_rekey_teardown,
        {{"rekeys, both sides on one core", "/s", TD_AIM_NONE, 0}, {"initiator's part", "us", TD_AIM_NONE, 0},
            {"responder's part", "us", TD_AIM_NONE, 0}, {0}}},
    // argument: tunnels of a peer
    {"%u tunnels, each of a peer of its own, PSK", 10000, 200, 1, CROWD_ROUNDS, td_crowd_setup,
        td_crowd_round, td_crowd_teardown, CROWD_FIGURES},
    {"%u tunnels, 100 of each peer, PSK", 10000, 200, 100, CROWD_ROUNDS, td_crowd_setup, td_crowd_round,
        td_crowd_teardown, CROWD_FIGURES},
};

const size_t td_group_count = sizeof(td_groups) / sizeof(td_groups[0]);
