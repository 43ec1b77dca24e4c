// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Cipher suites on intel-ipsec-mb. One table row is one suite; nothing else in the data plane knows an
// algorithm.

#include "dataplane/publish.h"

#include <intel-ipsec-mb.h>

#define TD_ICV_MAX_BYTES 32
#define TD_SCHEDULE_MAX_BYTES 6144

// One packet's cryptography, in place. In an ESP packet follow each other: ESP header, IV, data, ICV. Of an
// AH packet esp is the IP header, and data is all behind the twelve fixed bytes of AH (ah.h): IV and ICV,
// then what they protect, and with ESN room for four bytes more.
struct td_crypt_op {
	const void *schedule; // of td_suite.expand
	uint8_t *esp; // ESP header; AH: IP header
	uint8_t *data; // plaintext or ciphertext: payload, padding and trailer
	uint32_t length; // bytes of data, a multiple of td_suite.align and not 0
	uint64_t sequence; // 64 bits, also where the packet carries 32
	uint64_t counter; // seal: unique under the key; the suite makes the IV of it
	bool esn; // all 64 bits of the sequence number are authenticated (RFC 4303 2.2.1)
	bool authentic; // open: the verdict
	bool failed; // seal: the library left it undone; the packet must not leave
};

struct td_suite {
	struct td_suite_info info;
	unsigned align; // length of data is a multiple of this (at least 4)
	unsigned schedule_bytes; // of expanded keys, which are aligned to 64
	uint64_t features; // IMB_FEATURE_* that the suite needs to be fast and constant in time
	// Expands keying material (info.key_bytes), on any thread with a manager of that thread. Returns 0
	// or -errno: without randomness there is no CBC.
	int (*expand)(IMB_MGR *mgr, const uint8_t *key, void *schedule);
	// Work on a run of at most TD_BURST packets of this suite, on the worker that mgr belongs to; no job
	// stays behind in the manager. seal writes IV, data and ICV, or says that it failed; open leaves data
	// undefined where a packet is not authentic.
	void (*seal)(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count);
	void (*open)(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count);
};

const struct td_suite *td_suite_at(unsigned suite);

// A multi-buffer manager for one thread, NULL when the CPU or memory does not allow one.
IMB_MGR *td_suite_manager_create(void);
void td_suite_manager_destroy(IMB_MGR *mgr);
