// SPDX-License-Identifier: BSD-3-Clause
// Tokens without state: cookies of IKE_SA_INIT (RFC 7296 2.6) and those of crash detection (RFC 6290 5.1).

#include "control/ike/internal.h"

#include <string.h>

#define MAC_BYTES 32
_Static_assert(TD_IKE_COOKIE_BYTES == 4 + MAC_BYTES, "a version and an HMAC-SHA-256");
_Static_assert(TD_IKE_QCD_BYTES == MAC_BYTES, "an HMAC-SHA-256");

static void secret_refresh(struct td_ike *ike)
{
	uint64_t now = td_ike_now(ike);

	if (now - ike->cookie_changed_ns < TD_IKE_COOKIE_SECRET_MS * 1000000ull)
		return;
	memcpy(ike->cookie_secret[1], ike->cookie_secret[0], sizeof(ike->cookie_secret[0]));
	ike->env.random(ike->env.context, ike->cookie_secret[0], sizeof(ike->cookie_secret[0]));
	ike->cookie_version++;
	ike->cookie_changed_ns = now;
}

static bool cookie_of(struct td_ike *ike, uint32_t version, const struct td_path *path, uint64_t spi_i,
    struct td_bytes nonce, uint8_t cookie[TD_IKE_COOKIE_BYTES])
{
	const uint8_t *secret = ike->cookie_secret[version == ike->cookie_version ? 0 : 1];
	struct td_writer writer = {.data = cookie, .capacity = 4};
	uint8_t spi[8];
	struct td_writer spi_writer = {.data = spi, .capacity = sizeof(spi)};
	struct td_bytes parts[3] = {
	    nonce, {path->remote.bytes, sizeof(path->remote.bytes)}, {spi, sizeof(spi)}};

	td_writer_u64(&spi_writer, spi_i);
	td_writer_u32(&writer, version);
	return td_prf(TD_PRF_SHA2_256, (struct td_bytes){secret, sizeof(ike->cookie_secret[0])}, parts, 3,
	           cookie + 4) == 0;
}

void td_ike_cookie_make(struct td_ike *ike, const struct td_path *path, uint64_t spi_i, struct td_bytes nonce,
    uint8_t cookie[TD_IKE_COOKIE_BYTES])
{
	secret_refresh(ike);
	memset(cookie, 0, TD_IKE_COOKIE_BYTES);
	(void)cookie_of(ike, ike->cookie_version, path, spi_i, nonce, cookie);
}

bool td_ike_cookie_valid(struct td_ike *ike, const struct td_path *path, uint64_t spi_i,
    struct td_bytes nonce, struct td_bytes cookie)
{
	struct td_cursor cursor = td_cursor_of(cookie);
	uint8_t expected[TD_IKE_COOKIE_BYTES];
	uint32_t version;

	secret_refresh(ike);
	if (cookie.length != TD_IKE_COOKIE_BYTES || !td_cursor_u32(&cursor, &version) ||
	    (version != ike->cookie_version && version + 1 != ike->cookie_version))
		return false;
	return cookie_of(ike, version, path, spi_i, nonce, expected) &&
	       td_equal_constant_time(expected, cookie.data, sizeof(expected));
}

void td_ike_token_make(const struct td_ike *ike, uint64_t own_spi, uint8_t token[TD_IKE_QCD_BYTES])
{
	uint8_t spi[8];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};
	struct td_bytes part = {spi, sizeof(spi)};

	td_writer_u64(&writer, own_spi);
	if (td_prf(TD_PRF_SHA2_256, (struct td_bytes){ike->env.token_secret, TD_IKE_TOKEN_SECRET_BYTES},
	        &part, 1, token) < 0)
		ike->env.random(ike->env.context, token, TD_IKE_QCD_BYTES);
}

void td_ike_token_write(const struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	uint8_t token[TD_IKE_QCD_BYTES];

	if (!sa->ike->env.token_secret)
		return;
	td_ike_token_make(sa->ike, td_ike_own_spi(sa), token);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, TD_N_QUICK_CRASH_DETECTION,
	    (struct td_bytes){token, sizeof(token)});
}

void td_ike_token_read(struct td_ike_sa *sa, const struct td_ike_payloads *payloads)
{
	const struct td_ike_notify *token = td_ike_notify_find(payloads, TD_N_QUICK_CRASH_DETECTION);

	// RFC 6290 4.1: 16 to 128 bytes.
	if (!token || token->data.length < 16 || token->data.length > sizeof(sa->peer_token))
		return;
	memcpy(sa->peer_token, token->data.data, token->data.length);
	sa->peer_token_length = (uint16_t)token->data.length;
}
