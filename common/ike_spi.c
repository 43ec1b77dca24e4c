// SPDX-License-Identifier: BSD-3-Clause
#include "common/ike_spi.h"

#include "common/secret.h"
#include "common/siphash.h"

#include <string.h>

static uint8_t key[TD_SIPHASH_KEY_BYTES]; // written before there are threads

int td_ike_spi_init(void)
{
	return td_random(key, sizeof(key));
}

uint64_t td_ike_spi_make(uint32_t number)
{
	uint8_t hash[TD_SIPHASH_BYTES];
	uint32_t code;

	td_siphash(key, &number, sizeof(number), hash);
	memcpy(&code, hash, sizeof(code));
	return (uint64_t)number << 32 | code;
}

bool td_ike_spi_is_own(uint64_t spi)
{
	return spi != 0 && spi == td_ike_spi_make((uint32_t)(spi >> 32));
}
