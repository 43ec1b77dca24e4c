// SPDX-License-Identifier: BSD-3-Clause
// Where ESP in transport mode goes among IPv6 extension headers (RFC 4303 3.1.1, RFC 8200 4.1).

#include "dataplane/ipv6_esp.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>

#define H IPPROTO_HOPOPTS
#define D IPPROTO_DSTOPTS
#define R IPPROTO_ROUTING
#define F IPPROTO_FRAGMENT
#define U IPPROTO_UDP
#define HEADERS_MAX 10

// A chain of headers of 8 bytes each and 8 bytes of the last one, which is no extension header.
static uint32_t chain_fill(uint8_t *packet, const uint8_t *headers)
{
	uint32_t length = 40;

	memset(packet, 0, 40 + 8 * (HEADERS_MAX + 2));
	packet[6] = headers[0];
	for (unsigned i = 0; headers[i] != U && headers[i] != IPPROTO_ESP && headers[i] != IPPROTO_AH; i++) {
		packet[length] = headers[i + 1];
		length += 8;
	}
	return length + 8;
}

Test(ipv6_esp, chains)
{
	static const struct {
		const char *name;
		uint8_t headers[HEADERS_MAX + 2];
		bool valid;
		uint16_t offset, protocol_offset;
	} rows[] = {
	    {"none", {U}, true, 40, 6},
	    {"hop-by-hop options", {H, U}, true, 48, 40},
	    {"destination options are protected", {D, U}, true, 40, 6},
	    {"routing header", {R, U}, true, 48, 40},
	    {"destination options before a routing header", {D, R, U}, true, 56, 48},
	    {"destination options on both sides", {D, R, D, U}, true, 56, 48},
	    {"all in the order of RFC 8200", {H, D, R, D, U}, true, 64, 56},
	    {"two routing headers", {R, D, R, D, U}, true, 64, 56},
	    {"hop-by-hop, then options for the destination", {H, D, U}, true, 48, 40},
	    {"sealed already", {H, IPPROTO_ESP}, true, 48, 40},
	    {"AH", {R, IPPROTO_AH}, true, 48, 40},
	    {"fragment", {F, U}, false, 0, 0},
	    {"fragment behind a routing header", {H, R, F, U}, false, 0, 0},
	    {"fragment behind destination options", {D, F, U}, false, 0, 0},
	    {"seven headers", {H, D, D, D, D, D, D, U}, true, 48, 40},
	    {"too many headers", {H, D, D, D, D, D, D, D, U}, false, 0, 0},
	};
	uint8_t packet[40 + 8 * (HEADERS_MAX + 2)];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_ipv6_split split;
		uint32_t length = chain_fill(packet, rows[i].headers);

		cr_expect_eq(td_ipv6_esp_place(packet, length, &split), rows[i].valid, "%s", rows[i].name);
		if (!rows[i].valid)
			continue;
		cr_expect_eq(split.offset, rows[i].offset, "%s: %u", rows[i].name, split.offset);
		cr_expect_eq(split.protocol_offset, rows[i].protocol_offset, "%s: %u", rows[i].name,
		    split.protocol_offset);
	}
}

Test(ipv6_esp, headers_that_run_out_of_the_packet)
{
	static const uint8_t headers[] = {D, R, U};
	uint8_t packet[40 + 8 * (HEADERS_MAX + 2)];
	struct td_ipv6_split split;
	uint32_t length = chain_fill(packet, headers);

	// Up to the end of the routing header each byte is needed.
	for (uint32_t cut = 40; cut < length - 8; cut++)
		cr_expect_not(td_ipv6_esp_place(packet, cut, &split), "%u bytes", cut);
	cr_expect(td_ipv6_esp_place(packet, length - 8, &split));
	packet[48 + 1] = 1; // 16 bytes
	cr_expect(td_ipv6_esp_place(packet, length, &split));
	cr_expect_eq(split.offset, 64);
	packet[48 + 1] = 2;
	cr_expect_not(td_ipv6_esp_place(packet, length, &split));
	packet[48 + 1] = 255;
	cr_expect_not(td_ipv6_esp_place(packet, length, &split));
}
