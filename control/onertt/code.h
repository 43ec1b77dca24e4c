// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Codes that prove a time under a key: TOTP (RFC 6238) with HMAC-SHA-256.

#include "common/secret.h"

#define TD_CODE_DIGITS 8
#define TD_CODE_KEY_BYTES 32

// The code of the step that time_us (microseconds since 1970) lies in. step_s is not 0. Returns 0 or -EIO.
int td_code_make(const struct td_secret *key, uint64_t time_us, uint32_t step_s, uint32_t *code);
// HMAC-SHA-256(secret, label), 32 bytes: the keys "code", "wrap" and "traffic" out of an exported secret, and
// "code" out of SK_d. key may be secret itself. Returns 0 or -EIO.
int td_code_key(const struct td_secret *secret, const char *label, struct td_secret *key);
