// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/netlink_request.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

// Routing daemons use numbers up to 192; 200 tells "ip route" users whose routes these are.
#define ROUTE_PROTOCOL 200
#define REQUEST_BYTES 512

static int request_send(struct nlmsghdr *message)
{
	char answer[8192];
	struct mnl_socket *socket;
	ssize_t length;
	int ret = 0;

	message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = 1;
	socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (socket == NULL)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0 ||
	    (length = mnl_socket_recvfrom(socket, answer, sizeof(answer))) < 0 ||
	    mnl_cb_run(answer, (size_t)length, 1, mnl_socket_get_portid(socket), NULL, NULL) < 0)
		ret = -errno;
	mnl_socket_close(socket);
	return ret == -EEXIST ? 0 : ret;
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
	return request_send(message);
}

int td_netlink_route_add(const struct td_prefix *to, const struct td_ip *via, int ifindex)
{
	char buffer[REQUEST_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body;

	message->nlmsg_type = RTM_NEWROUTE;
	message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
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
