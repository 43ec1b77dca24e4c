// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Messages as a peer that means well would write them, which a fuzzer then bends.

#include "tests/fuzz/gateway.h"

enum fuzz_canned {
	FUZZ_NOTHING, // also a probe, and the answer to one
	FUZZ_INIT, // IKE_SA_INIT, either side's
	FUZZ_COOKIE, // answer to IKE_SA_INIT
	FUZZ_AUTH_PSK, // either side's, with a proof that holds
	FUZZ_AUTH_KEY,
	FUZZ_CREATE, // either side's; asks for the first or the second tunnel by turns
	FUZZ_REKEY_CHILD,
	FUZZ_REKEY_IKE, // either side's
	FUZZ_DELETE_CHILD,
	FUZZ_DELETE_IKE,
	FUZZ_REFUSAL,
	FUZZ_CANNED,
};

// Writes the payloads of one. number varies them; sa is NULL before IKE_SA_INIT.
void fuzz_canned_write(
    struct td_ike_chain *chain, enum fuzz_canned kind, const struct td_ike_sa *sa, uint8_t number);
