// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/netlink_request.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

// Routing daemons use numbers up to 192; 200 tells "ip route" users whose routes these are.
#define ROUTE_PROTOCOL 200
#define REQUEST_BYTES 512

// Sends a request and hands every message of the answer to fn. Returns 0 or -errno.
static int request_run(struct nlmsghdr *message, mnl_cb_t fn, void *context)
{
	char answer[32768]; // a part of a dump
	struct mnl_socket *socket;
	ssize_t length;
	int ret = MNL_CB_OK, error = 0;

	message->nlmsg_flags |= NLM_F_REQUEST;
	message->nlmsg_seq = 1;
	socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (socket == NULL)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		ret = MNL_CB_ERROR;
	while (ret == MNL_CB_OK) {
		length = mnl_socket_recvfrom(socket, answer, sizeof(answer));
		ret = length < 0
		          ? MNL_CB_ERROR
		          : mnl_cb_run(answer, (size_t)length, 1, mnl_socket_get_portid(socket), fn, context);
	}
	if (ret == MNL_CB_ERROR)
		error = -errno;
	mnl_socket_close(socket);
	return error;
}

static int request_send(struct nlmsghdr *message)
{
	message->nlmsg_flags |= NLM_F_ACK;
	return request_run(message, NULL, NULL);
}

static uint8_t kernel_family(const struct td_ip *ip)
{
	return ip->family == 6 ? AF_INET6 : AF_INET;
}

int td_netlink_address_add(int ifindex, const struct td_prefix *address)
{
	char buffer[REQUEST_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *body;
	int ret;

	message->nlmsg_type = RTM_NEWADDR;
	message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->ifa_family = kernel_family(&address->ip);
	body->ifa_prefixlen = address->length;
	body->ifa_index = (unsigned)ifindex;
	mnl_attr_put(message, IFA_LOCAL, td_ip_length(address->ip.family), address->ip.bytes);
	mnl_attr_put(message, IFA_ADDRESS, td_ip_length(address->ip.family), address->ip.bytes);
	if (address->ip.family == 6)
		mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
	ret = request_send(message);
	return ret == -EEXIST ? 0 : ret;
}

// ---- routes -----------------------------------------------------------------------------------

struct route_search {
	const struct td_prefix *to;
	bool found, ours;
	char *text; // of TD_ROUTE_TEXT_MAX bytes
};

struct route_attributes {
	const struct nlattr *destination, *gateway, *oif, *priority, *table;
};

static int route_attribute(const struct nlattr *attribute, void *context)
{
	struct route_attributes *attributes = context;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_DST:
		attributes->destination = attribute;
		break;
	case RTA_GATEWAY:
		attributes->gateway = attribute;
		break;
	case RTA_OIF:
		attributes->oif = attribute;
		break;
	case RTA_PRIORITY:
		attributes->priority = attribute;
		break;
	case RTA_TABLE:
		attributes->table = attribute;
		break;
	}
	return MNL_CB_OK;
}

static bool holds_u32(const struct nlattr *attribute)
{
	return attribute != NULL && mnl_attr_get_payload_len(attribute) >= sizeof(uint32_t);
}

// The address of an attribute, or all zero bits: of a default route nothing is given.
static bool ip_read(const struct nlattr *attribute, struct td_ip *ip)
{
	if (attribute == NULL)
		return true;
	if (mnl_attr_get_payload_len(attribute) != td_ip_length(ip->family))
		return false;
	memcpy(ip->bytes, mnl_attr_get_payload(attribute), td_ip_length(ip->family));
	return true;
}

// What "ip route" would say behind the prefix, as far as it helps to find the route.
static void route_describe(const struct rtmsg *body, const struct route_attributes *attributes, char *text)
{
	char name[IF_NAMESIZE] = "", ip_text[TD_IP_TEXT_MAX];
	struct td_ip via = {.family = body->rtm_family == AF_INET6 ? 6 : 4};
	int used;

	if (attributes->gateway != NULL && ip_read(attributes->gateway, &via))
		used = snprintf(text, TD_ROUTE_TEXT_MAX, "via %s", td_ip_format(&via, ip_text));
	else
		used = snprintf(text, TD_ROUTE_TEXT_MAX, "%s",
		    body->rtm_type == RTN_UNICAST ? "on the link" : "without a next hop");
	if (holds_u32(attributes->oif) && if_indextoname(mnl_attr_get_u32(attributes->oif), name) != NULL)
		used += snprintf(text + used, TD_ROUTE_TEXT_MAX - (size_t)used, " dev %s", name);
	snprintf(text + used, TD_ROUTE_TEXT_MAX - (size_t)used, " proto %u", body->rtm_protocol);
}

// Looks for the route of the main table with the metric that ours have; the kernel uses the first one.
static int route_match(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct route_search *search = context;
	struct route_attributes attributes = {0};
	struct td_ip ip = {.family = search->to->ip.family};

	if (search->found || message->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*body) || (body->rtm_flags & RTM_F_CLONED) != 0 ||
	    body->rtm_dst_len != search->to->length || body->rtm_tos != 0)
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(*body), route_attribute, &attributes);
	if ((holds_u32(attributes.table) ? mnl_attr_get_u32(attributes.table) : body->rtm_table) !=
	    RT_TABLE_MAIN)
		return MNL_CB_OK;
	// IPv6 routes without a metric get 1024 from the kernel.
	if ((holds_u32(attributes.priority) ? mnl_attr_get_u32(attributes.priority) : 0) !=
	    (search->to->ip.family == 6 ? 1024u : 0u))
		return MNL_CB_OK;
	if (!ip_read(attributes.destination, &ip) || !td_ip_equal(&ip, &search->to->ip))
		return MNL_CB_OK;
	search->found = true;
	search->ours = body->rtm_protocol == ROUTE_PROTOCOL;
	route_describe(body, &attributes, search->text);
	return MNL_CB_OK;
}

static int route_find(struct route_search *search)
{
	char buffer[REQUEST_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body;

	message->nlmsg_type = RTM_GETROUTE;
	message->nlmsg_flags = NLM_F_DUMP;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->rtm_family = kernel_family(&search->to->ip);
	return request_run(message, route_match, search);
}

static int route_send(
    uint16_t type, const struct td_prefix *to, const struct td_ip *via, int ifindex, uint16_t flags)
{
	char buffer[REQUEST_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body;

	message->nlmsg_type = type;
	message->nlmsg_flags = flags;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->rtm_family = kernel_family(&to->ip);
	body->rtm_dst_len = to->length;
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_protocol = ROUTE_PROTOCOL;
	body->rtm_scope = via->family != 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	body->rtm_type = RTN_UNICAST;
	mnl_attr_put(message, RTA_DST, td_ip_length(to->ip.family), to->ip.bytes);
	if (via->family != 0)
		mnl_attr_put(message, RTA_GATEWAY, td_ip_length(via->family), via->bytes);
	if (ifindex > 0)
		mnl_attr_put_u32(message, RTA_OIF, (unsigned)ifindex);
	return request_send(message);
}

int td_netlink_route_add(
    const struct td_prefix *to, const struct td_ip *via, int ifindex, char text[TD_ROUTE_TEXT_MAX])
{
	struct route_search search = {.to = to, .text = text};
	int ret = route_send(RTM_NEWROUTE, to, via, ifindex, NLM_F_CREATE | NLM_F_EXCL);

	text[0] = '\0';
	if (ret != -EEXIST)
		return ret;
	ret = route_find(&search);
	if (ret < 0)
		return ret;
	if (search.found && !search.ours)
		return -EEXIST;
	// Our own one of before; or it went meanwhile.
	return route_send(
	    RTM_NEWROUTE, to, via, ifindex, NLM_F_CREATE | (search.found ? NLM_F_REPLACE : NLM_F_EXCL));
}

int td_netlink_route_delete(const struct td_prefix *to, const struct td_ip *via, int ifindex)
{
	int ret = route_send(RTM_DELROUTE, to, via, ifindex, 0);

	return ret == -ESRCH ? 0 : ret;
}
