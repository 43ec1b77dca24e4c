// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// By their SPIs workers tell messages of this gateway's IKE SAs from all others, so that a flood of the
// latter has a rate of its own. One half of each IKE SPI that this gateway chooses (RFC 7296 2.6 leaves it to
// do so) is a code over the other half, under a key of this process. It authenticates nothing: whoever has
// seen a message knows its SPIs.

#include <stdbool.h>
#include <stdint.h>

// Makes the key. Once, before any other thread. Returns 0 or -errno.
int td_ike_spi_init(void);
// The SPI that has the number for its one half. Any thread.
uint64_t td_ike_spi_make(uint32_t number);
bool td_ike_spi_is_own(uint64_t spi);
