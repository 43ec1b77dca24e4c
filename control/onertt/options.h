// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What an operator can choose about the one-round-trip exchange (docs/one-round-trip.md).

enum td_negotiation { TD_NEGOTIATION_IKEV2, TD_NEGOTIATION_ONERTT };

enum td_onertt_authentication {
	TD_ONERTT_KEY, // the static keys alone
	TD_ONERTT_ID, // an identity that belongs to a static key
	TD_ONERTT_SECRET, // an identity that belongs to a registration secret
};

// As ONE_ROUND_TRIP carries them.
enum td_onertt_source { TD_ONERTT_CONTRIBUTORY = 0, TD_ONERTT_INITIATOR = 1 };
enum td_onertt_delivery { TD_ONERTT_DERIVED = 0, TD_ONERTT_WRAPPED = 1 };
