// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/row.h"
#include "control/onertt/options.h"

#define ROUNDS 25
#define CROWD_ROUNDS 3 // each takes some seconds

#define EXCHANGE_FIGURES(first, part)                                                                        \
	{                                                                                                    \
		{first, "/s", TD_AIM_NONE, 0}, {"initiator's part", "us", TD_AIM_NONE, 0},                   \
		    {"responder's part", "us", TD_AIM_NONE, 0},                                              \
		    {"public-key operations of both", "us", TD_AIM_NONE, 0},                                 \
		    {"part of the public-key limit", "%", TD_AIM_LEAST, part},                               \
		{                                                                                            \
			0                                                                                    \
		}                                                                                            \
	}

#define TRANSACTION_FIGURES                                                                                  \
	{                                                                                                    \
		{"transactions, both sides on one core", "/s", TD_AIM_LEAST, 10000},                         \
		    {"who asks", "us", TD_AIM_NONE, 0}, {"who answers", "us", TD_AIM_NONE, 0},               \
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
        td_connect_teardown, EXCHANGE_FIGURES("IKE SAs, both sides on one core", 70)},
    {"IKE_SA_INIT and IKE_AUTH, X25519, ECDSA P-256, known certificates", 32, 8, 1, ROUNDS, td_connect_setup,
        td_connect_round, td_connect_teardown, EXCHANGE_FIGURES("IKE SAs, both sides on one core", 70)},
    {"IKE_SA_INIT and IKE_AUTH, X25519, ECDSA P-256, new certificates", 32, 8, 2, ROUNDS, td_connect_setup,
        td_connect_round, td_connect_teardown, EXCHANGE_FIGURES("IKE SAs, both sides on one core", 70)},
    // argument: with PFS
    {"CREATE_CHILD_SA and DELETE, X25519", 64, 8, 1, ROUNDS, td_rekey_setup, td_rekey_round,
        td_rekey_teardown, EXCHANGE_FIGURES("rekeys, both sides on one core", 70)},
    {"CREATE_CHILD_SA and DELETE, without PFS", 64, 8, 0, ROUNDS, td_rekey_setup, td_rekey_round,
        td_rekey_teardown,
        {{"rekeys, both sides on one core", "/s", TD_AIM_NONE, 0}, {"initiator's part", "us", TD_AIM_NONE, 0},
            {"responder's part", "us", TD_AIM_NONE, 0}, {0}}},
    // argument: how the sites prove themselves
    {"one round trip, mode key", 32, 8, TD_ONERTT_KEY, ROUNDS, td_onertt_connect_setup,
        td_onertt_connect_round, td_onertt_teardown,
        EXCHANGE_FIGURES("sessions, both sides on one core", 80)},
    {"one round trip, mode secret", 32, 8, TD_ONERTT_SECRET, ROUNDS, td_onertt_connect_setup,
        td_onertt_connect_round, td_onertt_teardown,
        EXCHANGE_FIGURES("sessions, both sides on one core", 80)},
    // argument: with N(FRESHNESS)
    {"sealed transactions of one-round-trip sessions", 32, 8, 1, ROUNDS, td_transaction_setup,
        td_transaction_round, td_onertt_teardown, TRANSACTION_FIGURES},
    {"sealed transactions of IKEv2", 32, 8, 0, ROUNDS, td_transaction_setup, td_transaction_round,
        td_onertt_teardown, TRANSACTION_FIGURES},
    {"first protected packet, path of 10 ms each way", 32, 8, 0, ROUNDS, td_first_setup, td_first_round,
        td_onertt_teardown,
        {{"IKEv2, PSK: round trips", "", TD_AIM_NONE, 0},
            {"IKEv2, PSK: computed meanwhile", "us", TD_AIM_NONE, 0},
            {"IKEv2, PSK: together", "ms", TD_AIM_NONE, 0},
            {"one round trip: round trips", "", TD_AIM_BOUND, 1},
            {"one round trip: computed meanwhile", "us", TD_AIM_NONE, 0},
            {"one round trip: together", "ms", TD_AIM_NONE, 0},
            {"part of the time of IKEv2", "%", TD_AIM_MOST, 50}, {0}}},
    {"public-key work for one message, heaviest kinds", 20, 5, 0, ROUNDS, td_heavy_setup, td_heavy_round,
        td_heavy_teardown,
        {{"MODP-2048, key and agreement", "us", TD_AIM_MOST, 10000},
            {"MODP-3072, key and agreement", "us", TD_AIM_MOST, 10000},
            {"ECP-384, key and agreement", "us", TD_AIM_MOST, 10000},
            {"RSA-3072, signature", "us", TD_AIM_MOST, 10000},
            {"RSA-4096, signature", "us", TD_AIM_MOST, 10000}, {0}}},
    // argument: tunnels of a peer
    {"%u tunnels, each of a peer of its own, PSK", 10000, 200, 1, CROWD_ROUNDS, td_crowd_setup,
        td_crowd_round, td_crowd_teardown, CROWD_FIGURES},
    {"%u tunnels, 100 of each peer, PSK", 10000, 200, 100, CROWD_ROUNDS, td_crowd_setup, td_crowd_round,
        td_crowd_teardown, CROWD_FIGURES},
};

const size_t td_group_count = sizeof(td_groups) / sizeof(td_groups[0]);
