// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/code.h"

#include "control/ike/crypto.h"

#include <string.h>

#define US_PER_S 1000000u
#define CODES 100000000u // ten to the power of TD_CODE_DIGITS

static struct td_bytes secret_bytes(const struct td_secret *secret)
{
	return (struct td_bytes){secret->bytes, secret->length};
}

// RFC 6238 4.2, and the truncation of RFC 4226 5.3: four bytes from where the last half byte says.
int td_code_make(const struct td_secret *key, uint64_t time_us, uint32_t step_s, uint32_t *code)
{
	uint8_t counter[8], mac[TD_PRF_MAX_BYTES];
	struct td_writer writer = {.data = counter, .capacity = sizeof(counter)};
	const struct td_bytes part = {counter, sizeof(counter)};
	struct td_cursor cut;
	uint32_t number = 0;
	int result;

	td_writer_u64(&writer, time_us / US_PER_S / step_s);
	result = td_prf(TD_PRF_SHA2_256, secret_bytes(key), &part, 1, mac);
	if (result)
		return result;
	cut = (struct td_cursor){mac + (mac[31] & 0xf), 4};
	td_cursor_u32(&cut, &number);
	*code = (number & 0x7fffffff) % CODES;
	return 0;
}

int td_code_key(const struct td_secret *secret, const char *label, struct td_secret *key)
{
	const struct td_bytes part = {(const uint8_t *)label, strlen(label)};
	TD_SECRET_AUTO made = {.length = TD_CODE_KEY_BYTES};
	int result = td_prf(TD_PRF_SHA2_256, secret_bytes(secret), &part, 1, made.bytes);

	if (result == 0)
		*key = made;
	return result;
}
