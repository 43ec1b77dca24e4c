// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/netlink_mirror.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

// States in which the kernel itself would use the address (NUD_VALID of the kernel, which it does not
// export).
#define STATES_VALID (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

struct attributes {
	const struct nlattr *at[RTA_MAX + 1];
	unsigned max;
};

static int attribute_keep(const struct nlattr *attribute, void *context)
{
	struct attributes *attributes = context;
	unsigned type = mnl_attr_get_type(attribute);

	if (type <= attributes->max)
		attributes->at[type] = attribute;
	return MNL_CB_OK;
}

int td_mirror_port(const struct td_mirror *mirror, int ifindex)
{
	unsigned i;

	for (i = 0; i < mirror->port_count; i++) {
		if (mirror->ifindexes[i] == ifindex)
			return (int)i;
	}
	return -1;
}

static bool ip_read(const struct nlattr *attribute, uint8_t family, struct td_ip *ip)
{
	struct td_ip read = {.family = family == AF_INET ? 4 : 6};

	if (mnl_attr_get_payload_len(attribute) != td_ip_length(read.family))
		return false;
	memcpy(read.bytes, mnl_attr_get_payload(attribute), td_ip_length(read.family));
	*ip = read;
	return true;
}

// RTA_VIA is a next hop of another family than the route's (RFC 8950).
static bool via_read(const struct nlattr *attribute, struct td_ip *ip)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t length = mnl_attr_get_payload_len(attribute);
	struct td_ip read = {0};

	if (length < sizeof(*via) || (via->rtvia_family != AF_INET && via->rtvia_family != AF_INET6))
		return false;
	read.family = via->rtvia_family == AF_INET ? 4 : 6;
	if (length - sizeof(*via) < td_ip_length(read.family))
		return false;
	memcpy(read.bytes, via->rtvia_addr, td_ip_length(read.family));
	*ip = read;
	return true;
}

static uint32_t u32_read(const struct nlattr *attribute, uint32_t otherwise)
{
	if (attribute == NULL || mnl_attr_get_payload_len(attribute) < sizeof(uint32_t))
		return otherwise;
	return mnl_attr_get_u32(attribute);
}

// ---- routes -----------------------------------------------------------------------------------

// One next hop. Returns false if it does not leave through one of our ports.
static bool hop_read(const struct td_mirror *mirror, uint8_t family, int ifindex,
    const struct attributes *attributes, struct td_dp_route *route)
{
	int port = td_mirror_port(mirror, ifindex);
	struct td_ip via = {0};

	if (port < 0)
		return false;
	if (attributes->at[RTA_GATEWAY] != NULL) {
		if (!ip_read(attributes->at[RTA_GATEWAY], family, &via))
			return false;
	} else if (attributes->at[RTA_VIA] != NULL) {
		if (!via_read(attributes->at[RTA_VIA], &via))
			return false;
	}
	route->port = (unsigned)port;
	route->via = via;
	route->kind = via.family != 0 ? TD_ROUTE_VIA : TD_ROUTE_CONNECTED;
	return true;
}

// The data plane has one next hop per prefix: the first live one on a port of ours.
static bool multipath_read(
    const struct td_mirror *mirror, uint8_t family, const struct nlattr *multipath, struct td_dp_route *route)
{
	size_t left = mnl_attr_get_payload_len(multipath);
	const uint8_t *at = mnl_attr_get_payload(multipath);

	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const struct rtnexthop *)at;
		struct attributes attributes = {.max = RTA_MAX};
		size_t step = RTNH_ALIGN(hop->rtnh_len);

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
			return false;
		mnl_attr_parse_payload(
		    RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop), attribute_keep, &attributes);
		if ((hop->rtnh_flags & RTNH_F_DEAD) == 0 &&
		    hop_read(mirror, family, hop->rtnh_ifindex, &attributes, route))
			return true;
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	return false;
}

static bool prefix_is_loopback(const struct td_prefix *prefix)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (prefix->ip.family == 4)
		return prefix->ip.bytes[0] == 127;
	return memcmp(prefix->ip.bytes, loopback6, sizeof(loopback6)) == 0;
}

// Fills in kind, port and next hop. Returns false if the route is not for the data plane.
static bool target_read(const struct td_mirror *mirror, const struct rtmsg *body,
    const struct attributes *attributes, struct td_dp_route *route)
{
	int ifindex = (int)u32_read(attributes->at[RTA_OIF], 0);
	int port = td_mirror_port(mirror, ifindex);

	switch (body->rtm_type) {
	case RTN_LOCAL:
		// Any address of this host is ours, also those of lo and of interfaces that we do not run.
		route->kind = TD_ROUTE_LOCAL;
		route->port = port >= 0 ? (unsigned)port : 0;
		return !prefix_is_loopback(&route->prefix);
	case RTN_BROADCAST:
	case RTN_ANYCAST:
		route->kind = TD_ROUTE_LOCAL;
		route->port = port >= 0 ? (unsigned)port : 0;
		return port >= 0;
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		route->kind = TD_ROUTE_BLACKHOLE;
		return true;
	case RTN_UNICAST:
		if (attributes->at[RTA_MULTIPATH] != NULL)
			return multipath_read(mirror, body->rtm_family, attributes->at[RTA_MULTIPATH], route);
		return hop_read(mirror, body->rtm_family, ifindex, attributes, route);
	default:
		return false;
	}
}

// Prefix, table and metric. Returns false for what is never mirrored.
static bool rank_read(
    const struct rtmsg *body, const struct attributes *attributes, struct td_rib_route *route)
{
	uint32_t table = u32_read(attributes->at[RTA_TABLE], body->rtm_table);

	if ((body->rtm_family != AF_INET && body->rtm_family != AF_INET6) ||
	    (body->rtm_flags & RTM_F_CLONED) != 0)
		return false;
	// The data plane routes by destination alone.
	if (body->rtm_tos != 0 || body->rtm_src_len != 0)
		return false;
	if (table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL)
		return false;
	route->local_table = table == RT_TABLE_LOCAL;
	route->metric = u32_read(attributes->at[RTA_PRIORITY], 0);
	route->route.prefix.ip.family = body->rtm_family == AF_INET ? 4 : 6;
	route->route.prefix.length = body->rtm_dst_len;
	if (body->rtm_dst_len > td_ip_length(route->route.prefix.ip.family) * 8)
		return false;
	return attributes->at[RTA_DST] == NULL ||
	       ip_read(attributes->at[RTA_DST], body->rtm_family, &route->route.prefix.ip);
}

static enum td_rib_place place_of(const struct nlmsghdr *message)
{
	if ((message->nlmsg_flags & NLM_F_MULTI) != 0)
		return TD_RIB_LAST; // a dump comes in the kernel's order
	if ((message->nlmsg_flags & NLM_F_REPLACE) != 0)
		return TD_RIB_REPLACE;
	return (message->nlmsg_flags & NLM_F_APPEND) != 0 ? TD_RIB_LAST : TD_RIB_FIRST;
}

static int route_message(struct td_mirror *mirror, const struct nlmsghdr *message)
{
	struct attributes attributes = {.max = RTA_MAX};
	struct td_rib_route route = {0};
	const struct rtmsg *body;
	bool ours;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*body))
		return -EINVAL;
	body = mnl_nlmsg_get_payload(message);
	mnl_attr_parse(message, sizeof(*body), attribute_keep, &attributes);
	if (!rank_read(body, &attributes, &route))
		return 0;
	ours = target_read(mirror, body, &attributes, &route.route);
	if (message->nlmsg_type == RTM_NEWROUTE) {
		if (ours)
			return td_rib_route_add(mirror->rib, &route, place_of(message));
		if (place_of(message) == TD_RIB_REPLACE)
			td_rib_route_purge(mirror->rib, &route);
		return 0;
	}
	// Which next hop was taken of several may have been decided when other links were alive.
	if (attributes.at[RTA_MULTIPATH] != NULL)
		td_rib_route_purge(mirror->rib, &route);
	else if (ours)
		td_rib_route_delete(mirror->rib, &route);
	return 0;
}

// ---- neighbours -------------------------------------------------------------------------------

static bool ip_is_group(const struct td_ip *ip)
{
	if (ip->family == 4)
		return ip->bytes[0] >= 224;
	return ip->bytes[0] == 0xff;
}

static int neighbour_apply(struct td_mirror *mirror, unsigned port, uint16_t state, const struct td_ip *ip,
    const struct nlattr *lladdr)
{
	int ret;

	if ((state & STATES_VALID) != 0 && lladdr != NULL && mnl_attr_get_payload_len(lladdr) == 6) {
		ret = td_rib_neighbour_set(mirror->rib, port, ip, mnl_attr_get_payload(lladdr));
		// The kernel only verifies what it uses itself, and our packets pass it by: without being
		// asked it would never notice that the neighbour is dead.
		if (state == NUD_STALE)
			mirror->verify(mirror->context, port, ip);
		return ret;
	}
	// Packets may wait for a neighbour that never answered: they are let go when the kernel has given
	// up, not while it still tries (NUD_INCOMPLETE).
	if (!td_rib_neighbour_delete(mirror->rib, port, ip) && state == NUD_FAILED)
		td_dp_neighbour_delete(port, ip);
	return 0;
}

static int neighbour_message(struct td_mirror *mirror, const struct nlmsghdr *message)
{
	struct attributes attributes = {.max = NDA_LLADDR};
	const struct ndmsg *body;
	struct td_ip ip;
	int port;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*body))
		return -EINVAL;
	body = mnl_nlmsg_get_payload(message);
	if (body->ndm_family != AF_INET && body->ndm_family != AF_INET6)
		return 0;
	port = td_mirror_port(mirror, body->ndm_ifindex);
	if (port < 0 || (body->ndm_flags & NTF_PROXY) != 0)
		return 0;
	mnl_attr_parse(message, sizeof(*body), attribute_keep, &attributes);
	if (attributes.at[NDA_DST] == NULL || !ip_read(attributes.at[NDA_DST], body->ndm_family, &ip))
		return -EINVAL;
	if (ip_is_group(&ip))
		return 0;
	if (message->nlmsg_type == RTM_DELNEIGH) {
		(void)td_rib_neighbour_delete(mirror->rib, (unsigned)port, &ip);
		return 0;
	}
	return neighbour_apply(mirror, (unsigned)port, body->ndm_state, &ip, attributes.at[NDA_LLADDR]);
}

int td_mirror_message(struct td_mirror *mirror, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return route_message(mirror, message);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return neighbour_message(mirror, message);
	default:
		return 0;
	}
}
