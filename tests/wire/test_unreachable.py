# SPDX-License-Identifier: BSD-3-Clause
"""Senders that are told that a packet goes nowhere: there is no route, or policy discards it."""

import unittest

from esp import forwarded
from gateway import (
    GATEWAY_INSIDE, GATEWAY_INSIDE6, HOST6, OWN_LINK, OWN_LINK6, Tunnel, gateway_config,
)
from test_mtu import ErrorTestCase, is_icmp_error

NOWHERE, NOWHERE6 = "203.0.113.5", "2001:db8:ffff::5"
FORBIDDEN, FORBIDDEN6 = "203.0.114.5", "2001:db8:eeee::5"
TUNNELS = (
    Tunnel("b", ["10.1.0.0/24"], ["10.2.0.0/24"]),
    Tunnel("lost", ["10.1.0.0/24"], ["10.3.0.0/24"], ("192.0.2.1", "203.0.115.1")),
)
POLICIES = (
    '{ action = "bypass"; direction = "out"; remote = "203.0.113.0/24"; }',
    '{ action = "bypass"; direction = "out"; remote = "2001:db8:ffff::/48"; }',
    '{ action = "discard"; remote = "203.0.114.0/24"; }',
    OWN_LINK, OWN_LINK6,
)
CONFIG = gateway_config(ipv6=True, tunnels=TUNNELS, policies=POLICIES)


class UnreachableTestCase(ErrorTestCase):
    tunnels = TUNNELS
    config_text = CONFIG

    def check_told(self, reason, packet, source, kind, code):
        before = self.gateway.drops()
        self.inside.send(packet)
        error = self.inside.expect(is_icmp_error)[14:]
        self.check_error(error, source, kind, code, 0, forwarded(packet))
        self.assert_drops(before, {reason: 1})

    def check_silent(self, reason, *packets):
        before = self.gateway.drops()
        for packet in packets:
            self.inside.send(packet)
        self.assert_drops(before, {reason: len(packets)})
        # An error would come in front of this one, which is about a TTL.
        last = self.inner_out(ttl=1)
        self.inside.send(last)
        error = self.inside.expect(is_icmp_error)[14:]
        self.check_error(error, GATEWAY_INSIDE, 11, 0, 0, last)


class DefaultTest(UnreachableTestCase):
    def test_no_route(self):
        self.check_told("no_route", self.inner_out(dst=NOWHERE), GATEWAY_INSIDE, 3, 0)
        self.check_told("no_route", self.inner_out(src=HOST6, dst=NOWHERE6), GATEWAY_INSIDE6, 1, 0)

    def test_no_route_for_what_the_gateway_sealed(self):
        self.gateway.add_out(tunnel="lost")
        punted = self.punted()
        self.check_silent("no_route", self.inner_out(dst="10.3.0.5"))
        self.assertEqual(self.punted(), punted, "the kernel is not told about packets that it did not send")

    def punted(self):
        return sum(row["punted"] for row in self.gateway.rpc.call("worker.list")["workers"])

    def test_policy_is_silent_by_default(self):
        self.check_silent("policy_discard", self.inner_out(dst=FORBIDDEN))
        self.check_silent("policy_none", self.inner_out(src=HOST6, dst=FORBIDDEN6))


class ConfiguredTest(UnreachableTestCase):
    config_text = CONFIG + "icmp: { unreachable = false; prohibited = true; };\n"

    def test_policy_tells_senders_inside(self):
        self.check_told("policy_discard", self.inner_out(dst=FORBIDDEN), GATEWAY_INSIDE, 3, 13)
        self.check_told("policy_none", self.inner_out(src=HOST6, dst=FORBIDDEN6), GATEWAY_INSIDE6, 1, 1)

    def test_policy_tells_nobody_outside(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        before = self.gateway.drops()
        self.gateway.namespace.ip("route", "replace", "10.1.0.128/32", "via", "192.0.2.2", "dev", "outside")
        self.addCleanup(self.gateway.namespace.ip, "route", "del", "10.1.0.128/32")
        # Out of the tunnel, and by its route outside again (a hub), for which no policy is.
        count = 0
        while self.gateway.drops()["policy_none"] == before["policy_none"]:
            self.outside.send(inbound.seal(self.inner_in(dst="10.1.0.128")))
            count += 1
            self.assertLess(count, 2000)
            self.pass_in(inbound)
        others = self.pass_out(outbound)
        self.assertEqual([packet.hex() for packet in others], [])

    def test_route_is_not_told_where_it_is_not_wanted(self):
        self.check_silent("no_route", self.inner_out(dst=NOWHERE))


if __name__ == "__main__":
    unittest.main()
