// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/ts.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PORT_MAX UINT16_MAX
#define TS_HEADER_BYTES 8 // up to and with the ports

enum ts_type { TS_IPV4_ADDR_RANGE = 7, TS_IPV6_ADDR_RANGE = 8 };

static int ip_compare(const struct td_ip *a, const struct td_ip *b)
{
	return memcmp(a->bytes, b->bytes, td_ip_length(a->family));
}

// ---- reading and writing ----------------------------------------------------------------------

// Reads ports and addresses of a selector of a known type. Returns 0 or -EBADMSG; *usable tells whether the
// list can say it.
static int range_read(struct td_cursor body, struct td_ts *ts, bool *usable)
{
	unsigned length = td_ip_length(ts->low.family);

	if (!td_cursor_u16(&body, &ts->port_low) || !td_cursor_u16(&body, &ts->port_high) ||
	    !td_cursor_copy(&body, ts->low.bytes, length) || !td_cursor_copy(&body, ts->high.bytes, length) ||
	    body.left > 0 || ip_compare(&ts->low, &ts->high) > 0)
		return -EBADMSG;
	bool opaque = ts->port_low == PORT_MAX && ts->port_high == 0;
	if (ts->port_low > ts->port_high && !opaque)
		return -EBADMSG;
	bool ports = ts->port_low > 0 || ts->port_high < PORT_MAX;
	*usable = !opaque && !(ts->protocol == 0 && ports);
	return 0;
}

static int selector_read(struct td_cursor *cursor, struct td_ts *ts, bool *usable)
{
	struct td_bytes body;
	uint8_t type;
	uint16_t length;

	*ts = (struct td_ts){0};
	*usable = false;
	if (!td_cursor_u8(cursor, &type) || !td_cursor_u8(cursor, &ts->protocol) ||
	    !td_cursor_u16(cursor, &length) || length < TS_HEADER_BYTES - 4 ||
	    !td_cursor_take(cursor, length - (TS_HEADER_BYTES - 4), &body))
		return -EBADMSG;
	if (type != TS_IPV4_ADDR_RANGE && type != TS_IPV6_ADDR_RANGE)
		return 0;
	ts->low.family = ts->high.family = type == TS_IPV6_ADDR_RANGE ? 6 : 4;
	return range_read(td_cursor_of(body), ts, usable);
}

int td_ts_read(struct td_bytes payload, struct td_ts_list *list)
{
	struct td_cursor cursor = td_cursor_of(payload);
	uint8_t count;

	list->count = 0;
	if (!td_cursor_u8(&cursor, &count) || !td_cursor_skip(&cursor, 3) || count == 0)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++) {
		struct td_ts ts;
		bool usable;

		if (selector_read(&cursor, &ts, &usable))
			goto malformed;
		if (usable && list->count < TD_TS_MAX)
			list->list[list->count++] = ts;
	}
	if (cursor.left == 0)
		return 0;
malformed:
	list->count = 0;
	return -EBADMSG;
}

void td_ts_write(struct td_ike_chain *chain, uint8_t payload, const struct td_ts_list *list)
{
	struct td_writer *writer = &chain->writer;
	size_t begin = td_ike_payload_begin(chain, payload);

	td_writer_u8(writer, (uint8_t)list->count);
	td_writer_u8(writer, 0);
	td_writer_u16(writer, 0);
	for (unsigned i = 0; i < list->count; i++) {
		const struct td_ts *ts = &list->list[i];
		unsigned length = td_ip_length(ts->low.family);

		td_writer_u8(writer, ts->low.family == 6 ? TS_IPV6_ADDR_RANGE : TS_IPV4_ADDR_RANGE);
		td_writer_u8(writer, ts->protocol);
		td_writer_u16(writer, (uint16_t)(TS_HEADER_BYTES + 2 * length));
		td_writer_u16(writer, ts->port_low);
		td_writer_u16(writer, ts->port_high);
		td_writer_bytes(writer, ts->low.bytes, length);
		td_writer_bytes(writer, ts->high.bytes, length);
	}
	td_ike_payload_end(chain, begin);
}

struct td_ts td_ts_from_prefix(const struct td_prefix *prefix)
{
	struct td_ts ts = {.port_high = PORT_MAX, .low = prefix->ip, .high = prefix->ip};

	for (unsigned bit = prefix->length; bit < td_ip_length(prefix->ip.family) * 8; bit++) {
		ts.low.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
		ts.high.bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	}
	return ts;
}

// ---- narrowing (RFC 7296 2.9) -----------------------------------------------------------------

static bool intersect(const struct td_ts *a, const struct td_ts *b, struct td_ts *both)
{
	if (a->low.family != b->low.family || (a->protocol && b->protocol && a->protocol != b->protocol))
		return false;
	both->protocol = a->protocol ? a->protocol : b->protocol;
	both->port_low = a->port_low > b->port_low ? a->port_low : b->port_low;
	both->port_high = a->port_high < b->port_high ? a->port_high : b->port_high;
	both->low = ip_compare(&a->low, &b->low) > 0 ? a->low : b->low;
	both->high = ip_compare(&a->high, &b->high) < 0 ? a->high : b->high;
	return both->port_low <= both->port_high && ip_compare(&both->low, &both->high) <= 0;
}

static bool is_within(const struct td_ts *inner, const struct td_ts *outer)
{
	return inner->low.family == outer->low.family &&
	       (outer->protocol == 0 || outer->protocol == inner->protocol) &&
	       outer->port_low <= inner->port_low && inner->port_high <= outer->port_high &&
	       ip_compare(&outer->low, &inner->low) <= 0 && ip_compare(&inner->high, &outer->high) <= 0;
}

// Adds a member unless another covers it, in place of those that it covers.
static void list_add(struct td_ts_list *list, const struct td_ts *ts)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < list->count; i++)
		if (is_within(ts, &list->list[i]))
			return;
	for (unsigned i = 0; i < list->count; i++)
		if (!is_within(&list->list[i], ts))
			list->list[kept++] = list->list[i];
	if (kept < TD_TS_MAX)
		list->list[kept++] = *ts;
	list->count = kept;
}

void td_ts_narrow(
    const struct td_ts_list *ours, const struct td_ts_list *offered, struct td_ts_list *narrowed)
{
	struct td_ts both;

	narrowed->count = 0;
	// In the order of the offer: its first selector may be the packet that wants the SA (RFC 7296 2.9),
	// and when the result is full, the last ones are missing.
	for (unsigned i = 0; i < offered->count; i++)
		for (unsigned j = 0; j < ours->count; j++)
			if (intersect(&ours->list[j], &offered->list[i], &both))
				list_add(narrowed, &both);
}

// ---- comparing --------------------------------------------------------------------------------

static void ip_increment(struct td_ip *ip)
{
	for (unsigned i = td_ip_length(ip->family); i > 0; i--)
		if (++ip->bytes[i - 1] != 0)
			return;
}

// Whether outer's member speaks about inner's family and protocol. So few of single protocols as a list holds
// are never all protocols.
static bool is_relevant(const struct td_ts *outer, const struct td_ts *inner)
{
	return outer->low.family == inner->low.family &&
	       (outer->protocol == 0 || outer->protocol == inner->protocol);
}

// Whether outer covers all of inner's addresses at one port: walks from inner's first address to the end of a
// member that has it, and on from there, so that each member is used once at most.
static bool addresses_covered(const struct td_ts_list *outer, const struct td_ts *inner, unsigned port)
{
	struct td_ip at = inner->low;

	for (;;) {
		const struct td_ts *found = NULL;

		for (unsigned i = 0; i < outer->count && !found; i++) {
			const struct td_ts *ts = &outer->list[i];

			if (is_relevant(ts, inner) && ts->port_low <= port && port <= ts->port_high &&
			    ip_compare(&ts->low, &at) <= 0 && ip_compare(&at, &ts->high) <= 0)
				found = ts;
		}
		if (!found)
			return false;
		if (ip_compare(&found->high, &inner->high) >= 0)
			return true;
		at = found->high;
		ip_increment(&at); // stays at or below inner->high, so it cannot wrap
	}
}

// Up to where what is covered at a port stays covered: members that begin on the way only add. Returns the
// port behind it, PORT_MAX + 1 at most.
static unsigned port_next(const struct td_ts_list *outer, unsigned port)
{
	unsigned next = PORT_MAX + 1u;

	for (unsigned i = 0; i < outer->count; i++)
		if (outer->list[i].port_high >= port && outer->list[i].port_high + 1u < next)
			next = outer->list[i].port_high + 1u;
	return next;
}

bool td_ts_covers(const struct td_ts_list *outer, const struct td_ts_list *inner)
{
	for (unsigned i = 0; i < inner->count; i++) {
		const struct td_ts *ts = &inner->list[i];

		for (unsigned port = ts->port_low; port <= ts->port_high; port = port_next(outer, port))
			if (!addresses_covered(outer, ts, port))
				return false;
	}
	return true;
}

bool td_ts_equal(const struct td_ts_list *a, const struct td_ts_list *b)
{
	return td_ts_covers(a, b) && td_ts_covers(b, a);
}

// ---- text -------------------------------------------------------------------------------------

// The prefix length of a range, or -1 for a range that is no prefix.
static int prefix_length(const struct td_ts *ts)
{
	struct td_prefix prefix = {.ip = ts->low};

	for (unsigned length = 0; length <= td_ip_length(ts->low.family) * 8; length++) {
		prefix.length = (uint8_t)length;
		struct td_ts range = td_ts_from_prefix(&prefix);

		if (td_ip_equal(&range.low, &ts->low) && td_ip_equal(&range.high, &ts->high))
			return (int)length;
	}
	return -1;
}

static const char *protocol_format(uint8_t protocol, char text[4])
{
	static const struct {
		uint8_t number;
		const char *name;
	} names[] = {
	    {0, "any"},
	    {IPPROTO_ICMP, "icmp"},
	    {IPPROTO_TCP, "tcp"},
	    {IPPROTO_UDP, "udp"},
	    {IPPROTO_ICMPV6, "icmpv6"},
	    {IPPROTO_SCTP, "sctp"},
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].number == protocol)
			return names[i].name;
	snprintf(text, 4, "%u", protocol);
	return text;
}

static void port_format(const struct td_ts *ts, uint16_t port, char text[8])
{
	if (ts->protocol == IPPROTO_ICMP || ts->protocol == IPPROTO_ICMPV6)
		snprintf(text, 8, "%u/%u", port >> 8, port & 0xff);
	else
		snprintf(text, 8, "%u", port);
}

const char *td_ts_format(const struct td_ts *ts, char *text)
{
	char low[TD_IP_TEXT_MAX], high[TD_IP_TEXT_MAX], protocol[4], port_low[8], port_high[8];
	int bits = prefix_length(ts);
	size_t length;

	td_ip_format(&ts->low, low);
	td_ip_format(&ts->high, high);
	if (bits >= 0)
		length = (size_t)snprintf(text, TD_TS_TEXT_MAX, "%s/%d", low, bits);
	else
		length = (size_t)snprintf(text, TD_TS_TEXT_MAX, "%s-%s", low, high);
	bool any_port = ts->port_low == 0 && ts->port_high == PORT_MAX;
	if (ts->protocol == 0 && any_port)
		return text;
	const char *name = protocol_format(ts->protocol, protocol);
	port_format(ts, ts->port_low, port_low);
	port_format(ts, ts->port_high, port_high);
	if (any_port)
		snprintf(text + length, TD_TS_TEXT_MAX - length, "[%s]", name);
	else if (ts->port_low == ts->port_high)
		snprintf(text + length, TD_TS_TEXT_MAX - length, "[%s/%s]", name, port_low);
	else
		snprintf(text + length, TD_TS_TEXT_MAX - length, "[%s/%s-%s]", name, port_low, port_high);
	return text;
}
