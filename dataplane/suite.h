// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Cipher suites on intel-ipsec-mb. One table row is one suite; nothing else in the data plane knows an
// algorithm.

#include "dataplane/publish.h"

#include <intel-ipsec-mb.h>

#define TD_NONCE_BYTES 12
#define TD_AAD_BYTES 12 // SPI and sequence number; 8 without ESN (RFC 4106 5)
#define TD_ICV_MAX_BYTES 32

// One packet's cryptography. data is worked on in place.
struct td_crypt_op {
	const void *schedule; // of td_suite.expand
	uint8_t *data; // ciphertext or plaintext
	uint32_t length; // bytes, without ICV
	uint8_t *icv; // seal: written; open: compared
	uint8_t nonce[TD_NONCE_BYTES];
	uint8_t aad[TD_AAD_BYTES];
	uint8_t aad_length;
	bool authentic; // open: the verdict
};

struct td_suite {
	struct td_suite_info info;
	unsigned salt_bytes; // at the end of the keying material
	unsigned align; // plaintext, padding and trailer are a multiple of this (at least 4)
	unsigned schedule_bytes; // of expanded keys, aligned to 64
	// Expands keying material (without salt) on any thread, with a manager of that thread.
	void (*expand)(IMB_MGR *mgr, const uint8_t *key, void *schedule);
	// Work on a run of packets of this suite, on the worker that mgr belongs to.
	void (*seal)(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count);
	void (*open)(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count);
};

const struct td_suite *td_suite_at(unsigned suite);

// A multi-buffer manager for one thread, NULL when the CPU or memory does not allow one.
IMB_MGR *td_suite_manager_create(void);
void td_suite_manager_destroy(IMB_MGR *mgr);
