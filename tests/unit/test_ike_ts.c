// SPDX-License-Identifier: BSD-3-Clause
// Traffic selectors: bytes, text, narrowing and comparing.

#include "control/ike/ts.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// ---- lists in the words of the tests ----------------------------------------------------------

// "10.0.0.0-10.0.0.9 6 80-90": addresses, protocol and ports; " | " stands between two. "" is the empty list.
static struct td_ts_list list_of(const char *text)
{
	struct td_ts_list list = {0};
	char copy[1024], *rest = copy;

	cr_assert_lt(strlen(text), sizeof(copy));
	snprintf(copy, sizeof(copy), "%s", text);
	while (rest && *rest) {
		char *member = strsep(&rest, "|"), low[64], high[64];
		unsigned protocol = 0, port_low = 0, port_high = 65535;
		struct td_ts *ts = &list.list[list.count++];

		int found =
		    sscanf(member, " %63[^- ]-%63s %u %u-%u", low, high, &protocol, &port_low, &port_high);
		cr_assert(found == 2 || found == 3 || found == 5, "%s", member);
		ts->protocol = (uint8_t)protocol;
		ts->port_low = (uint16_t)port_low;
		ts->port_high = (uint16_t)port_high;
		cr_assert_eq(td_ip_parse(low, &ts->low), 0);
		cr_assert_eq(td_ip_parse(high, &ts->high), 0);
	}
	return list;
}

static const char *text_of(const struct td_ts_list *list, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < list->count; i++) {
		const struct td_ts *ts = &list->list[i];
		char low[TD_IP_TEXT_MAX], high[TD_IP_TEXT_MAX];

		length += (size_t)snprintf(text + length, size - length, "%s%s-%s", i ? " | " : "",
		    td_ip_format(&ts->low, low), td_ip_format(&ts->high, high));
		bool all_ports = ts->port_low == 0 && ts->port_high == 65535;
		if (ts->protocol || !all_ports)
			length += (size_t)snprintf(text + length, size - length, " %u", ts->protocol);
		if (!all_ports)
			length += (size_t)snprintf(
			    text + length, size - length, " %u-%u", ts->port_low, ts->port_high);
	}
	return text;
}

// ---- narrowing --------------------------------------------------------------------------------

#define NET "10.0.0.0-10.0.0.255"
#define LOWER "10.0.0.0-10.0.0.127"
#define UPPER "10.0.0.128-10.0.0.255"
#define HOST "10.0.0.7-10.0.0.7"
#define OTHER "10.0.1.0-10.0.1.255"
#define ANY4 "0.0.0.0-255.255.255.255"
#define ANY6 "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
#define NET6 "2001:db8::-2001:db8::ffff"

static const struct {
	const char *name, *ours, *offered, *narrowed;
} narrowings[] = {
    {"the same", NET, NET, NET},
    {"nothing offered", NET, "", ""},
    {"nothing of ours", "", NET, ""},
    {"offered is wider", HOST, NET, HOST},
    {"ours is wider", ANY4, NET, NET},
    {"they overlap", "10.0.0.0-10.0.0.9", "10.0.0.5-10.0.0.20", "10.0.0.5-10.0.0.9"},
    {"they meet in one address", "10.0.0.0-10.0.0.9", "10.0.0.9-10.0.0.20", "10.0.0.9-10.0.0.9"},
    {"they are neighbours", "10.0.0.0-10.0.0.9", "10.0.0.10-10.0.0.20", ""},
    {"apart", NET, OTHER, ""},
    {"families", NET, ANY6, ""},
    {"IPv6", ANY6, NET6, NET6},
    {"IPv6, they overlap", "2001:db8::5-2001:db8::1:0", NET6, "2001:db8::5-2001:db8::ffff"},
    {"::/0 is not 0.0.0.0/0", ANY6, ANY4, ""},
    {"both families", ANY4 " | " ANY6, NET6 " | " NET, NET6 " | " NET},
    {"one family in common", ANY4, NET6 " | " NET, NET},
    {"a protocol is offered", NET, NET " 6", NET " 6"},
    {"a protocol is ours", NET " 6", NET, NET " 6"},
    {"the same protocol", NET " 17", NET " 17", NET " 17"},
    {"another protocol", NET " 17", NET " 6", ""},
    {"a port is offered", NET, NET " 6 80-80", NET " 6 80-80"},
    {"a port is ours", NET " 6 80-80", NET, NET " 6 80-80"},
    {"ports overlap", NET " 6 80-90", NET " 6 85-100", NET " 6 85-90"},
    {"ports meet", NET " 6 80-90", NET " 6 90-100", NET " 6 90-90"},
    {"ports are neighbours", NET " 6 80-90", NET " 6 91-100", ""},
    {"port 0", NET " 6 0-0", NET " 6", NET " 6 0-0"},
    {"port 65535", NET " 6 65535-65535", NET " 6 1-65535", NET " 6 65535-65535"},
    {"ports of another protocol", NET " 6 80-80", NET " 17 80-80", ""},
    {"ICMP echo of all ICMP", NET " 1", NET " 1 2048-2303", NET " 1 2048-2303"},
    {"ICMP types overlap", NET " 1 0-2303", NET " 1 2048-4096", NET " 1 2048-2303"},
    {"ICMP echo and its answer", NET " 1 2048-2303", NET " 1 0-255", ""},
    {"ICMPv6 is not ICMP", ANY6 " 58", ANY6 " 1", ""},
    {"the packet's own first, RFC 7296 2.9", NET, HOST " 6 80-80 | " ANY4, NET},
    {"the packet's own, and others", HOST " | " OTHER, HOST " 6 80-80 | " ANY4, HOST " | " OTHER},
    {"in the order of the offer", OTHER " | " NET, NET " | " OTHER, NET " | " OTHER},
    {"offered twice", NET, NET " | " NET, NET},
    {"a smaller one behind", NET, NET " | " HOST, NET},
    {"a smaller one in front", NET, HOST " | " NET, NET},
    {"the same host of two of ours", LOWER " | " NET, HOST, HOST},
    {"halves of ours", LOWER " | " UPPER, NET, LOWER " | " UPPER},
    {"a protocol within any", NET " | " NET " 6", NET, NET},
    {"protocols stay apart", NET, NET " 6 | " NET " 17", NET " 6 | " NET " 17"},
    {"ports within all ports", NET " 6", NET " 6 80-90 | " NET " 6", NET " 6"},
    {"small ones that a large one replaces", ANY4,
        "10.0.0.1-10.0.0.1 | 10.0.0.3-10.0.0.3 | 10.0.0.5-10.0.0.5 | " NET, NET},
};

Test(ts_narrow, is_the_intersection)
{
	for (size_t i = 0; i < COUNT(narrowings); i++) {
		struct td_ts_list ours = list_of(narrowings[i].ours);
		struct td_ts_list offered = list_of(narrowings[i].offered), narrowed, again;
		char text[1024];

		td_ts_narrow(&ours, &offered, &narrowed);
		cr_expect_str_eq(text_of(&narrowed, text, sizeof(text)), narrowings[i].narrowed, "%s: %s",
		    narrowings[i].name, text);
		cr_expect(td_ts_covers(&ours, &narrowed), "%s", narrowings[i].name);
		cr_expect(td_ts_covers(&offered, &narrowed), "%s", narrowings[i].name);
		// Who offers first does not matter.
		td_ts_narrow(&offered, &ours, &again);
		cr_expect(td_ts_equal(&narrowed, &again), "%s", narrowings[i].name);
	}
}

// 32 times 32 hosts in common do not fit; what is there is right.
Test(ts_narrow, when_the_result_is_full)
{
	struct td_ts_list ours = {0}, offered = {0}, narrowed;

	for (unsigned i = 0; i < TD_TS_MAX; i++) {
		ours.list[ours.count++] = (struct td_ts){.protocol = 6,
		    .port_low = (uint16_t)(10 * i),
		    .port_high = (uint16_t)(10 * i + 5),
		    .low = td_ip_from_v4(0),
		    .high = td_ip_from_v4(0xffffffff)};
		offered.list[offered.count++] = (struct td_ts){.port_high = 65535,
		    .low = td_ip_from_v4(0x0a000000 + 10 * i),
		    .high = td_ip_from_v4(0x0a000000 + 10 * i + 5)};
	}
	td_ts_narrow(&ours, &offered, &narrowed);
	cr_expect_eq(narrowed.count, TD_TS_MAX);
	cr_expect(td_ts_covers(&ours, &narrowed));
	cr_expect(td_ts_covers(&offered, &narrowed));
	cr_expect_eq(td_ip_v4(&narrowed.list[0].low), 0x0a000000);
	cr_expect_eq(td_ip_v4(&narrowed.list[TD_TS_MAX - 1].low), 0x0a000000, "the first that was offered");
	// A full result can still take a member that replaces others.
	ours.list[0] = (struct td_ts){
	    .port_high = 65535, .low = td_ip_from_v4(0x0a000000), .high = td_ip_from_v4(0x0a0000ff)};
	ours.count = 1;
	offered.list[TD_TS_MAX - 1] = ours.list[0];
	td_ts_narrow(&ours, &offered, &narrowed);
	cr_expect_eq(narrowed.count, 1);
}

// ---- covering ---------------------------------------------------------------------------------

static const struct {
	const char *name, *outer, *inner;
	bool covers;
	bool covered; // the other way round
} covers[] = {
    {"the same", NET, NET, true, true},
    {"nothing", "", "", true, true},
    {"nothing within something", NET, "", true, false},
    {"a host", NET, HOST, true, false},
    {"apart", NET, OTHER, false, false},
    {"overlapping", "10.0.0.0-10.0.0.9", "10.0.0.5-10.0.0.20", false, false},
    {"families", ANY4, NET6, false, false},
    {"families that look alike", ANY6, ANY4, false, false},
    {"a protocol", NET, NET " 6", true, false},
    {"another protocol", NET " 6", NET " 17", false, false},
    {"many protocols are not all", NET " 6 | " NET " 17 | " NET " 1", NET, false, true},
    {"ports", NET " 6", NET " 6 80-90", true, false},
    {"ports reach out above", NET " 6 80-90", NET " 6 85-91", false, false},
    {"ports reach out below", NET " 6 80-90", NET " 6 79-81", false, false},
    {"two halves", LOWER " | " UPPER, NET, true, true},
    {"two halves, the other order", UPPER " | " LOWER, NET, true, true},
    {"halves that overlap", "10.0.0.0-10.0.0.200 | 10.0.0.100-10.0.0.255", NET, true, true},
    {"a hole of one address", "10.0.0.0-10.0.0.126 | " UPPER, NET, false, true},
    {"the end is missing", LOWER " | 10.0.0.128-10.0.0.254", NET, false, true},
    {"the beginning is missing", "10.0.0.1-10.0.0.127 | " UPPER, NET, false, true},
    {"halves of all of IPv4", "0.0.0.0-127.255.255.255 | 128.0.0.0-255.255.255.255", ANY4, true, true},
    {"halves of all of IPv6",
        "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | 8000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ANY6,
        true, true},
    {"a carry over many bytes", "10.0.255.0-10.255.255.255 | 11.0.0.0-11.0.0.9", "10.1.0.0-11.0.0.5", true,
        false},
    {"port ranges side by side", NET " 6 0-79 | " NET " 6 80-65535", NET " 6", true, true},
    {"port ranges with a hole", NET " 6 0-79 | " NET " 6 81-65535", NET " 6", false, true},
    {"two by two", LOWER " 6 0-79 | " UPPER " 6 80-65535 | " UPPER " 6 0-79 | " LOWER " 6 80-65535", NET " 6",
        true, true},
    {"two by two, one missing", LOWER " 6 0-79 | " UPPER " 6 80-65535 | " UPPER " 6 0-79", NET " 6", false,
        true},
    {"two by two, a corner missing",
        LOWER " 6 0-79 | " UPPER " 6 81-65535 | " UPPER " 6 0-79 | " LOWER " 6 80-65535", NET " 6", false,
        true},
    {"one half of any protocol", LOWER " | " UPPER " 6", NET " 6", true, false},
    {"halves of different protocols", LOWER " 6 | " UPPER " 17", NET " 6", false, false},
    {"a pinwheel around a hole",
        "10.0.0.0-10.0.0.1 6 0-0 | 10.0.0.2-10.0.0.2 6 0-1 | 10.0.0.1-10.0.0.2 6 2-2 | 10.0.0.0-10.0.0.0 6 "
        "1-2",
        "10.0.0.0-10.0.0.2 6 0-2", false, true},
    {"and with the hole filled",
        "10.0.0.0-10.0.0.1 6 0-0 | 10.0.0.2-10.0.0.2 6 0-1 | 10.0.0.1-10.0.0.2 6 2-2 | 10.0.0.0-10.0.0.0 6 "
        "1-2"
        " | 10.0.0.1-10.0.0.1 6 1-1",
        "10.0.0.0-10.0.0.2 6 0-2", true, true},
    {"several inner ones", ANY4, NET " | " OTHER " 6 80-80", true, false},
    {"one of several reaches out", NET, HOST " | " OTHER, false, false},
    {"both families", ANY4 " | " ANY6, NET " | " NET6, true, false},
    {"twice the same", NET " | " NET, NET, true, true},
};

Test(ts_covers, all_of_inner_within_outer)
{
	for (size_t i = 0; i < COUNT(covers); i++) {
		struct td_ts_list outer = list_of(covers[i].outer), inner = list_of(covers[i].inner);

		cr_expect_eq(td_ts_covers(&outer, &inner), covers[i].covers, "%s", covers[i].name);
		cr_expect_eq(td_ts_covers(&inner, &outer), covers[i].covered, "%s", covers[i].name);
		bool equal = covers[i].covers && covers[i].covered;
		cr_expect_eq(td_ts_equal(&inner, &outer), equal, "%s", covers[i].name);
		cr_expect_eq(td_ts_equal(&outer, &inner), equal, "%s", covers[i].name);
	}
}

// Against counting: small random lists, every address and port tried.
#define SIDE 6

static bool has(const struct td_ts_list *list, unsigned address, unsigned port, unsigned protocol)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct td_ts *ts = &list->list[i];

		if (td_ip_v4(&ts->low) <= address && address <= td_ip_v4(&ts->high) && ts->port_low <= port &&
		    port <= ts->port_high && (!ts->protocol || ts->protocol == protocol))
			return true;
	}
	return false;
}

static struct td_ts_list list_random(unsigned *seed)
{
	struct td_ts_list list = {.count = 1 + (unsigned)rand_r(seed) % 6};

	for (unsigned i = 0; i < list.count; i++) {
		unsigned a = (unsigned)rand_r(seed) % SIDE, b = (unsigned)rand_r(seed) % SIDE;
		unsigned p = (unsigned)rand_r(seed) % SIDE, q = (unsigned)rand_r(seed) % SIDE;
		struct td_ts *ts = &list.list[i];

		ts->protocol = (unsigned)rand_r(seed) % 4 ? 6 : 17;
		ts->low = td_ip_from_v4(a < b ? a : b);
		ts->high = td_ip_from_v4(a < b ? b : a);
		ts->port_low = (uint16_t)(p < q ? p : q);
		ts->port_high = (uint16_t)(p < q ? q : p);
		if ((unsigned)rand_r(seed) % 5 == 0) {
			ts->protocol = 0;
			ts->port_low = 0;
			ts->port_high = UINT16_MAX;
		}
	}
	return list;
}

Test(ts_covers, and_narrow_agree_with_counting)
{
	static const uint8_t protocols[] = {6, 17, 1};
	unsigned seed = 1, covered = 0;

	for (unsigned round = 0; round < 20000; round++) {
		struct td_ts_list a = list_random(&seed), b = list_random(&seed), both;
		bool covers_all = true;

		td_ts_narrow(&a, &b, &both);
		for (unsigned at = 0; at < SIDE * SIDE * COUNT(protocols); at++) {
			unsigned address = at % SIDE, port = at / SIDE % SIDE;
			uint8_t protocol = protocols[at / (SIDE * SIDE)];
			bool in_a = has(&a, address, port, protocol), in_b = has(&b, address, port, protocol);

			if (in_b && !in_a)
				covers_all = false;
			if (has(&both, address, port, protocol) != (in_a && in_b))
				cr_assert_fail("round %u: narrowed differs", round);
		}
		// Any protocol and all ports reach out of the square.
		for (unsigned i = 0; i < b.count; i++)
			for (unsigned at = td_ip_v4(&b.list[i].low); at <= td_ip_v4(&b.list[i].high); at++)
				if (!b.list[i].protocol && !has(&a, at, UINT16_MAX, 0))
					covers_all = false;
		covered += covers_all;
		if (td_ts_covers(&a, &b) != covers_all)
			cr_assert_fail("round %u: covers differs", round);
	}
	cr_expect_gt(covered, 100);
}

// ---- bytes ------------------------------------------------------------------------------------

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define V4 7, 0, 0, 16, 0, 0, 0xff, 0xff, 10, 0, 0, 0, 10, 0, 0, 255 // NET
#define V6                                                                                                   \
	8, 0, 0, 40, 0, 0, 0xff, 0xff, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 0xd, \
	    0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff // NET6

static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t length;
	int result;
	const char *list;
} payloads[] = {
    {"IPv4", BYTES(1, 0, 0, 0, V4), 0, NET},
    {"IPv6", BYTES(1, 0, 0, 0, V6), 0, NET6},
    {"both", BYTES(2, 0, 0, 0, V6, V4), 0, NET6 " | " NET},
    {"reserved bytes set", BYTES(1, 9, 9, 9, V4), 0, NET},
    {"none", BYTES(0, 0, 0, 0), -EBADMSG, ""},
    {"none announced, one there", BYTES(0, 0, 0, 0, V4), -EBADMSG, ""},
    {"one announced, two there", BYTES(1, 0, 0, 0, V4, V4), -EBADMSG, ""},
    {"two announced, one there", BYTES(2, 0, 0, 0, V4), -EBADMSG, ""},
    {"a byte behind", BYTES(1, 0, 0, 0, V4, 0), -EBADMSG, ""},
    {"length 0", BYTES(1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0, 10, 0, 0, 255), -EBADMSG, ""},
    {"length 3", BYTES(1, 0, 0, 0, 7, 0, 0, 3, 0, 0, 0xff, 0xff, 10, 0, 0, 0, 10, 0, 0, 255), -EBADMSG, ""},
    {"length 15", BYTES(1, 0, 0, 0, 7, 0, 0, 15, 0, 0, 0xff, 0xff, 10, 0, 0, 0, 10, 0, 0), -EBADMSG, ""},
    {"length 17", BYTES(1, 0, 0, 0, 7, 0, 0, 17, 0, 0, 0xff, 0xff, 10, 0, 0, 0, 10, 0, 0, 255, 0), -EBADMSG,
        ""},
    {"IPv4 of IPv6's length",
        BYTES(1, 0, 0, 0, 7, 0, 0, 40, 0, 0, 0xff, 0xff, 10, 0, 0, 0, 10, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        -EBADMSG, ""},
    {"addresses the wrong way round",
        BYTES(1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 0xff, 0xff, 10, 0, 0, 9, 10, 0, 0, 8), -EBADMSG, ""},
    {"TCP port 80", BYTES(1, 0, 0, 0, 7, 6, 0, 16, 0, 80, 0, 80, 10, 0, 0, 7, 10, 0, 0, 7), 0,
        HOST " 6 80-80"},
    {"ports the wrong way round", BYTES(1, 0, 0, 0, 7, 6, 0, 16, 0, 80, 0, 79, 10, 0, 0, 7, 10, 0, 0, 7),
        -EBADMSG, ""},
    {"OPAQUE ports", BYTES(2, 0, 0, 0, 7, 6, 0, 16, 0xff, 0xff, 0, 0, 10, 0, 0, 7, 10, 0, 0, 7, V4), 0, NET},
    {"ports of any protocol", BYTES(2, 0, 0, 0, 7, 0, 0, 16, 0, 80, 0, 80, 10, 0, 0, 7, 10, 0, 0, 7, V4), 0,
        NET},
    {"ICMP echo", BYTES(1, 0, 0, 0, 7, 1, 0, 16, 8, 0, 8, 255, 10, 0, 0, 7, 10, 0, 0, 7), 0,
        HOST " 1 2048-2303"},
    {"unknown type", BYTES(2, 0, 0, 0, 10, 0, 0, 8, 1, 2, 3, 4, V4), 0, NET},
    {"unknown type without a body", BYTES(2, 0, 0, 0, 10, 0, 0, 4, V4), 0, NET},
    {"unknown types only", BYTES(1, 0, 0, 0, 9, 0, 0, 4), 0, ""},
    {"unknown type of 3 bytes", BYTES(1, 0, 0, 0, 9, 0, 0, 3), -EBADMSG, ""},
};

Test(ts_bytes, are_checked)
{
	for (size_t i = 0; i < COUNT(payloads); i++) {
		struct td_ts_list list = {.count = 99};
		char text[1024];

		cr_expect_eq(td_ts_read((struct td_bytes){payloads[i].bytes, payloads[i].length}, &list),
		    payloads[i].result, "%s", payloads[i].name);
		cr_expect_str_eq(
		    text_of(&list, text, sizeof(text)), payloads[i].list, "%s: %s", payloads[i].name, text);
	}
}

Test(ts_bytes, truncated_at_every_byte)
{
	static const uint8_t whole[] = {3, 0, 0, 0, V4, V6, 10, 0, 0, 6, 1, 2};

	for (size_t length = 0; length <= sizeof(whole); length++) {
		uint8_t *cut = malloc(length + 1); // exactly what may be read, for the sanitizer
		struct td_ts_list list;

		memcpy(cut + 1, whole, length);
		cr_expect_eq(td_ts_read((struct td_bytes){cut + 1, length}, &list),
		    length < sizeof(whole) ? -EBADMSG : 0);
		cr_expect_eq(list.count, length < sizeof(whole) ? 0 : 2);
		free(cut);
	}
}

Test(ts_bytes, are_as_the_rfc_draws_them)
{
	static const uint8_t expected[] = {TD_IKE_PAYLOAD_NONE, 0, 0, 64, 2, 0, 0, 0, V4, V6};
	struct td_ts_list list = list_of(NET " | " NET6);
	uint8_t buffer[sizeof(expected)];
	struct td_ike_chain chain;

	td_ike_chain_init(&chain, buffer, sizeof(buffer));
	td_ts_write(&chain, TD_IKE_PAYLOAD_TSR, &list);
	cr_expect_not(chain.writer.overflow);
	cr_expect_eq(chain.first, TD_IKE_PAYLOAD_TSR);
	cr_expect(
	    td_bytes_equal(td_writer_bytes_of(&chain.writer), (struct td_bytes){expected, sizeof(expected)}));
}

Test(ts_bytes, of_the_largest_list)
{
	struct td_ts_list list = {0}, got;
	char text[4096], got_text[4096];
	static uint8_t buffer[16384];
	struct td_ike_chain chain;

	while (list.count < TD_TS_MAX) {
		list.list[list.count] = list_of(NET6 " 17 500-4500").list[0];
		list.list[list.count].low.bytes[15] = (uint8_t)list.count;
		list.count++;
	}
	td_ike_chain_init(&chain, buffer, sizeof(buffer));
	td_ts_write(&chain, TD_IKE_PAYLOAD_TSI, &list);
	cr_assert_not(chain.writer.overflow);
	cr_expect_eq(td_ts_read((struct td_bytes){buffer + 4, chain.writer.length - 4}, &got), 0);
	cr_expect_eq(got.count, TD_TS_MAX);
	cr_expect_str_eq(text_of(&got, got_text, sizeof(got_text)), text_of(&list, text, sizeof(text)));
	// More than that are read and left out.
	size_t length = chain.writer.length - 8;
	memcpy(buffer + chain.writer.length, buffer + 8, length);
	buffer[4] = 2 * TD_TS_MAX;
	cr_expect_eq(td_ts_read((struct td_bytes){buffer + 4, 4 + 2 * length}, &got), 0);
	cr_expect_eq(got.count, TD_TS_MAX);
	cr_expect_eq(td_ts_read((struct td_bytes){buffer + 4, 4 + 2 * length - 1}, &got), -EBADMSG);
	cr_expect_eq(got.count, 0);
}

// ---- prefixes and text ------------------------------------------------------------------------

static const struct {
	const char *prefix, *ts;
} prefixes[] = {
    {"10.0.0.0/24", NET},
    {"10.0.0.99/24", NET},
    {"10.0.0.7/32", HOST},
    {"0.0.0.0/0", ANY4},
    {"10.0.0.128/25", UPPER},
    {"::/0", ANY6},
    {"2001:db8::/112", NET6},
    {"2001:db8::1/128", "2001:db8::1-2001:db8::1"},
};

Test(ts, of_a_prefix)
{
	for (size_t i = 0; i < COUNT(prefixes); i++) {
		struct td_ts_list list = {.count = 1};
		struct td_prefix prefix;
		char text[256];

		cr_assert_eq(td_prefix_parse(prefixes[i].prefix, &prefix), 0);
		list.list[0] = td_ts_from_prefix(&prefix);
		cr_expect_str_eq(text_of(&list, text, sizeof(text)), prefixes[i].ts);
	}
}

static const struct {
	const char *ts, *text;
} texts[] = {
    {NET, "10.0.0.0/24"},
    {HOST, "10.0.0.7/32"},
    {ANY4, "0.0.0.0/0"},
    {ANY6, "::/0"},
    {NET6, "2001:db8::/112"},
    {"10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"},
    {"10.0.0.0-10.0.0.2", "10.0.0.0-10.0.0.2"},
    {NET " 6", "10.0.0.0/24[tcp]"},
    {NET " 6 80-80", "10.0.0.0/24[tcp/80]"},
    {NET " 17 500-4500", "10.0.0.0/24[udp/500-4500]"},
    {NET " 47", "10.0.0.0/24[47]"},
    {NET " 255 1-2", "10.0.0.0/24[255/1-2]"},
    {NET " 1 2048-2303", "10.0.0.0/24[icmp/8/0-8/255]"},
    {NET " 1 2048-2048", "10.0.0.0/24[icmp/8/0]"},
    {NET6 " 58", "2001:db8::/112[icmpv6]"},
    {NET " 0 1-2", "10.0.0.0/24[any/1-2]"},
    {"1111:1111:1111:1111:1111:1111:1111:1111-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 58 65279-65534",
        "1111:1111:1111:1111:1111:1111:1111:1111-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe[icmpv6/254/255-255/"
        "254]"},
};

Test(ts, as_text)
{
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct td_ts_list list = list_of(texts[i].ts);
		char text[TD_TS_TEXT_MAX];

		cr_expect_str_eq(td_ts_format(&list.list[0], text), texts[i].text);
	}
}
