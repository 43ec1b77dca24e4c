// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TD_SIPHASH_KEY_BYTES 16
#define TD_SIPHASH_BYTES 16

// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
// Under a random secret key the output tells nothing about the data.
void td_siphash(
    const uint8_t key[TD_SIPHASH_KEY_BYTES], const void *data, size_t length, uint8_t out[TD_SIPHASH_BYTES]);
