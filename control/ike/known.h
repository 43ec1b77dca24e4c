// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Certificates that were found to come from an authority of ours: the next time they need not be parsed
// again, which takes libcrypto 3.0 longer than to verify a signature. Nothing is taken on trust: whoever
// shows one is verified anew.

#include "common/cursor.h"

#include <openssl/types.h>

struct td_known;

struct td_known *td_known_create(void); // NULL: no memory
void td_known_free(struct td_known *known); // NULL is fine
// The certificate with these very bytes, to be freed, or NULL.
X509 *td_known_find(struct td_known *known, struct td_bytes der);
// Without memory it is not kept.
void td_known_add(struct td_known *known, X509 *certificate);
