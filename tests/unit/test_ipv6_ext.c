// SPDX-License-Identifier: BSD-3-Clause
// The walk over IPv6 extension headers: every kind of header, fragments, and chains that are refused.

#include "dataplane/ipv6_ext.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

// A chain is written as the bytes behind the IPv6 header; each extension header is as short as it can be
// unless the row says otherwise.
struct row {
	const char *name;
	uint8_t next; // of the IPv6 header
	uint8_t length; // bytes behind the IPv6 header
	uint8_t bytes[96];
	bool valid;
	struct td_ipv6_upper upper;
};

#define WHOLE .first = true, .last = true
#define OPTIONS(next) next, 0, 1, 4, 0, 0, 0, 0
#define FRAGMENT(next, high, low) next, 0, high, low, 0, 0, 0, 1
#define AH(next) next, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1

static const struct row rows[] = {
    {"plain UDP", 17, 8, {0}, true, {40, 6, 0, 0, WHOLE, 17}},
    {"nothing behind the header", 6, 0, {0}, true, {40, 6, 0, 0, WHOLE, 6}},
    {"no next header", 59, 0, {0}, true, {40, 6, 0, 0, WHOLE, 59}},
    {"hop-by-hop", 0, 16, {OPTIONS(17)}, true, {48, 40, 0, 0, WHOLE, 17}},
    {"routing", 43, 16, {OPTIONS(6)}, true, {48, 40, 0, 0, WHOLE, 6}},
    {"destination options of 24 bytes", 60, 32, {58, 2}, true, {64, 40, 0, 0, WHOLE, 58}},
    {"AH is an upper layer", 51, 16, {AH(17)}, true, {40, 6, 0, 0, WHOLE, 51}},
    {"AH behind options", 0, 24, {OPTIONS(51), AH(17)}, true, {48, 40, 0, 0, WHOLE, 51}},
    {"ESP is where reading ends", 50, 16, {60}, true, {40, 6, 0, 0, WHOLE, 50}},
    {"all of them", 0, 52, {OPTIONS(60), OPTIONS(43), OPTIONS(44), FRAGMENT(51, 0, 0), AH(6)}, true,
        {72, 64, 64, 0, WHOLE, 51}},
    {"atomic fragment", 44, 16, {FRAGMENT(17, 0, 0)}, true, {48, 40, 40, 0, WHOLE, 17}},
    {"first fragment", 44, 16, {FRAGMENT(17, 0, 1)}, true, {48, 40, 40, 0, .first = true, .protocol = 17}},
    {"middle fragment", 44, 16, {FRAGMENT(17, 5, 0xb1)}, true, {48, 40, 40, 0x5b0, .protocol = 17}},
    {"last fragment", 44, 16, {FRAGMENT(17, 0xff, 0xf8)}, true,
        {48, 40, 40, 0xfff8, .last = true, .protocol = 17}},
    {"reserved bits of a fragment", 44, 16, {FRAGMENT(17, 0, 6)}, true, {48, 40, 40, 0, WHOLE, 17}},
    {"options behind the first fragment", 44, 24, {FRAGMENT(60, 0, 1), OPTIONS(17)}, true,
        {56, 48, 40, 0, .first = true, .protocol = 17}},
    {"a later fragment is not read on", 44, 16, {FRAGMENT(60, 1, 0), 17, 255}, true,
        {48, 40, 40, 0x100, .last = true, .protocol = 60}},
    {"eight headers", 60, 64,
        {OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60),
            OPTIONS(17)},
        true, {104, 96, 0, 0, WHOLE, 17}},
    {"nine headers", 60, 72,
        {OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60), OPTIONS(60),
            OPTIONS(60), OPTIONS(17)},
        false, {0}},
    {"no byte of a header", 60, 0, {0}, false, {0}},
    {"one byte of a header", 60, 1, {17}, false, {0}},
    {"options one byte short", 60, 7, {OPTIONS(17)}, false, {0}},
    {"options longer than the packet", 60, 16, {17, 2}, false, {0}},
    {"fragment header cut off", 44, 7, {FRAGMENT(17, 0, 0)}, false, {0}},
    {"hop-by-hop behind another", 60, 16, {OPTIONS(0), OPTIONS(17)}, false, {0}},
    {"two fragment headers", 44, 16, {FRAGMENT(44, 0, 1), FRAGMENT(17, 0, 0)}, false, {0}},
};

// Exactly length bytes, so that a read behind them is seen by the sanitizer.
static bool walk(const struct row *row, struct td_ipv6_upper *upper)
{
	uint8_t *packet = calloc(1, 40u + row->length);

	packet[0] = 0x60;
	packet[6] = row->next;
	memcpy(packet + 40, row->bytes, row->length);
	bool valid = td_ipv6_upper(packet, 40u + row->length, upper);
	free(packet);
	return valid;
}

Test(ipv6_ext, chains)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct td_ipv6_upper *expected = &rows[i].upper;
		struct td_ipv6_upper upper;

		cr_assert_eq(walk(&rows[i], &upper), rows[i].valid, "%s", rows[i].name);
		if (!rows[i].valid)
			continue;
		cr_expect_eq(upper.offset, expected->offset, "%s: offset %u", rows[i].name, upper.offset);
		cr_expect_eq(upper.protocol_at, expected->protocol_at, "%s", rows[i].name);
		cr_expect_eq(upper.fragment_at, expected->fragment_at, "%s", rows[i].name);
		cr_expect_eq(upper.fragment_offset, expected->fragment_offset, "%s", rows[i].name);
		cr_expect_eq(upper.first, expected->first, "%s", rows[i].name);
		cr_expect_eq(upper.last, expected->last, "%s", rows[i].name);
		cr_expect_eq(upper.protocol, expected->protocol, "%s", rows[i].name);
	}
}

Test(ipv6_ext, a_runt_is_refused)
{
	uint8_t packet[39] = {0x60};
	struct td_ipv6_upper upper;

	cr_assert(!td_ipv6_upper(packet, sizeof(packet), &upper));
}

// Whatever the bytes are, the walk ends inside the packet.
Test(ipv6_ext, random_bytes_stay_inside)
{
	static const uint8_t kinds[] = {0, 43, 44, 51, 60, 17};
	struct row row = {.name = "random"};
	unsigned seed = 7, valid = 0;

	for (unsigned i = 0; i < 200000; i++) {
		struct td_ipv6_upper upper;

		row.length = (uint8_t)(rand_r(&seed) % sizeof(row.bytes));
		row.next = kinds[rand_r(&seed) % sizeof(kinds)];
		for (unsigned b = 0; b < row.length; b++)
			row.bytes[b] = rand_r(&seed) % 2 ? kinds[rand_r(&seed) % sizeof(kinds)]
			                                 : (uint8_t)(rand_r(&seed) % 3);
		if (!walk(&row, &upper))
			continue;
		valid++;
		cr_assert_leq(upper.offset, 40u + row.length);
		cr_assert_lt(upper.protocol_at, upper.offset);
	}
	cr_assert_gt(valid, 10000);
}
