// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/selectors.h"

#include "tests/unit/policy_packet.h"

#define ALL 0, UINT16_MAX
#define TYPES(first, last) (first) << 8, ((last) << 8 | 0xff)

struct side {
	const char *low, *high;
	uint8_t protocol;
	uint16_t port_low, port_high;
};

static struct td_dp_selector selector(const struct side *side)
{
	return (struct td_dp_selector){
	    ip(side->low), ip(side->high), side->protocol, side->port_low, side->port_high};
}

static bool carries(
    const struct side *local, const struct side *remote, bool outbound, const struct packet *packet)
{
	const struct td_dp_selector selectors[] = {selector(local), selector(remote)};
	const struct td_sa_params params = {
	    .local_selectors = &selectors[0],
	    .remote_selectors = &selectors[1],
	    .local_selector_count = 1,
	    .remote_selector_count = 1,
	};
	struct td_selectors *made = td_selectors_create(&params);
	uint8_t bytes[64];
	struct rte_mbuf mbuf = {.buf_addr = bytes, .data_len = packet_write(packet, bytes)};

	cr_assert_not_null(made);
	bool result = td_selectors_match(made, &mbuf, outbound);
	td_selectors_free(made);
	return result;
}

Test(selectors, carry_what_was_agreed_on)
{
	static const struct side ten = {"10.1.0.0", "10.1.0.127", 0, ALL},
	                         twenty = {"10.2.0.0", "10.2.0.255", 0, ALL},
	                         six = {"2001:db8::", "2001:db8::ffff", 0, ALL},
	                         web = {"10.2.0.0", "10.2.0.255", IPPROTO_TCP, 80, 80},
	                         tcp = {"10.1.0.0", "10.1.0.127", IPPROTO_TCP, ALL},
	                         asks = {"10.1.0.0", "10.1.0.127", IPPROTO_ICMP, TYPES(8, 8)},
	                         answers = {"10.2.0.0", "10.2.0.255", IPPROTO_ICMP, TYPES(0, 0)};
	static const struct {
		const char *name;
		const struct side *local_side, *remote_side;
		const char *local, *remote;
		uint8_t protocol;
		uint16_t local_word, remote_word;
		bool out, in;
	} cases[] = {
	    {"all of it", &ten, &twenty, "10.1.0.1", "10.2.0.1", IPPROTO_UDP, 7, 8, true, true},
	    {"the first", &ten, &twenty, "10.1.0.0", "10.2.0.0", 99, 0, 0, true, true},
	    {"the last", &ten, &twenty, "10.1.0.127", "10.2.0.255", 99, 0, 0, true, true},
	    {"behind the last", &ten, &twenty, "10.1.0.128", "10.2.0.255", 99, 0, 0, false, false},
	    {"another remote", &ten, &twenty, "10.1.0.1", "10.3.0.1", 99, 0, 0, false, false},
	    {"another family", &six, &six, "10.1.0.1", "10.2.0.1", 99, 0, 0, false, false},
	    {"IPv6", &six, &six, "2001:db8::1", "2001:db8::ffff", IPPROTO_UDP, 7, 8, true, true},
	    {"beyond, in IPv6", &six, &six, "2001:db8::1:0", "2001:db8::1", IPPROTO_UDP, 7, 8, false, false},
	    {"the port", &tcp, &web, "10.1.0.1", "10.2.0.1", IPPROTO_TCP, 4000, 80, true, true},
	    {"another port", &tcp, &web, "10.1.0.1", "10.2.0.1", IPPROTO_TCP, 80, 4000, false, false},
	    {"another protocol", &tcp, &web, "10.1.0.1", "10.2.0.1", IPPROTO_UDP, 4000, 80, false, false},
	    {"an echo request", &asks, &answers, "10.1.0.1", "10.2.0.1", IPPROTO_ICMP, 0x800, 0, true, false},
	    {"an echo reply", &asks, &answers, "10.1.0.1", "10.2.0.1", IPPROTO_ICMP, 0, 0, false, true},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		for (unsigned out = 0; out < 2; out++) {
			struct packet packet = between(out, cases[i].local, cases[i].remote,
			    cases[i].protocol, cases[i].local_word, cases[i].remote_word);

			cr_expect_eq(carries(cases[i].local_side, cases[i].remote_side, out, &packet),
			    out ? cases[i].out : cases[i].in, "%s, %s", cases[i].name, out ? "out" : "in");
		}
	struct packet fragment = between(true, "10.1.0.1", "10.2.0.1", IPPROTO_TCP, 4000, 80);
	fragment.later = true;
	cr_expect(carries(&ten, &twenty, true, &fragment));
	cr_expect_not(carries(&tcp, &web, true, &fragment), "it shows no port");
}
