// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Key wrap with padding (RFC 5649) under AES-256 (or 128 or 192, by the length of the key).

#include "common/cursor.h"
#include "common/secret.h"

#define TD_WRAP_MAX_BYTES 512 // of keys
// Of the wrapped form: the keys, filled up to a multiple of eight, and eight more.
#define TD_WRAPPED_BYTES(length) ((((length) + 7) & ~(size_t)7) + 8)

// Returns 0, -EINVAL (nothing to wrap, too much, a key of another length), -ENOSPC or -EIO.
int td_wrap(const struct td_secret *key, struct td_bytes keys, struct td_writer *writer);
// keys has room for wrapped.length bytes, the caller wipes it. Returns 0, -EINVAL, -EBADMSG (altered, or
// under another key) or -EIO.
int td_unwrap(const struct td_secret *key, struct td_bytes wrapped, uint8_t *keys, size_t *length);
