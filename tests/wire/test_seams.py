# SPDX-License-Identifier: BSD-3-Clause
"""Where parts of the data plane meet: AH with traces, captures, padding and fragments; dummy packets with policy
counters and with packets that wait."""

import itertools
import unittest

from esp import PROTO_DSTOPTS, PROTO_ESP, extension, forwarded, ip
from gateway import HOST, Tunnel, fragment_config, gateway_config
from test_ah import ENDS6, HOSTS, MUTABLE_OPTION, OWN_POLICIES, TUNNELS, AhTestCase
from test_capture import CaptureFile, CaptureTestCase
from test_mtu import cut
from test_trace import TraceTestCase

PROTO_NONE = 59
LENGTH = 500
SILENT_PEER = "192.0.2.77"


class AhTraced(AhTestCase, TraceTestCase):
    config_text = gateway_config(workers=2, ipv6=True, tunnels=TUNNELS, policies=OWN_POLICIES)

    def test_trace_names_the_sa_that_seals(self):
        for tunnel, worker, suite in itertools.product(("4in4", "6in6"), (0, 1), ("sha256", "aes128gmac")):
            with self.subTest(tunnel=tunnel, worker=worker, suite=suite):
                sa = self.add_ah("out", suite, tunnel, worker=worker)
                self.start("port=inside", count=1)
                inner = self.inner_out(100, *HOSTS[tunnel])
                self.inside.send(inner)
                self.assertEqual(sa.open(self.expect_ah(sa)), forwarded(inner))
                steps = self.packets(1)[0]
                self.assert_fields(steps, "esp_out", spi=sa.spi, sequence=1, tunnel=tunnel, worker=worker)

    def test_trace_of_a_packet_that_waited(self):
        self.start("port=inside", count=1)
        inner = self.inner_out()
        self.inside.send(inner)
        self.eventually(lambda: "held" in str(self.gateway.rpc.call("trace.show")), True)
        sa = self.add_ah("out")
        self.assertEqual(sa.open(self.expect_ah(sa)), forwarded(inner))
        self.assert_fields(self.packets(1)[0], "esp_out", spi=sa.spi, sequence=1)

    def test_filter_by_spi(self):
        for tunnel, worker in itertools.product(("4in4", "6in6"), (0, 1)):
            with self.subTest(tunnel=tunnel, worker=worker):
                sa, other = self.add_ah("in", "sha384", tunnel, worker=worker), self.add_ah("in", "sha384", tunnel)
                self.start(f"spi={sa.spi:#x}", count=1)
                inner = self.inner_in(100, *reversed(HOSTS[tunnel]))
                self.passes(other, other.seal(inner), inner)
                inner = self.inner_in(100, *reversed(HOSTS[tunnel]))
                self.passes(sa, sa.seal(inner), inner)
                steps = self.packets(1)[0]
                self.assert_fields(steps, "received", spi=sa.spi, sequence=1, protocol="ah")
                self.assert_fields(steps, "esp_in", spi=sa.spi, sequence=1, replay="ok")
                self.assert_fields(steps, "authenticated", icv="ok")


class AhCaptured(AhTestCase, CaptureTestCase):
    config_text = gateway_config(ipv6=True, tunnels=TUNNELS, policies=OWN_POLICIES)

    def test_filter_by_spi(self):
        sa, other = self.add_ah("in"), self.add_ah("in")
        self.start("--filter", f"spi={sa.spi}", "--count", "1")
        inner = self.inner_in()
        self.passes(other, other.seal(inner), inner)
        inner = self.inner_in()
        outer = sa.seal(inner)
        self.passes(sa, outer, inner)
        self.eventually(lambda: self.show()["state"], "idle")
        self.assertEqual([packet for _, _, packet in CaptureFile(self.path).packets()], [outer])


PADDED = (
    Tunnel("padded", ["10.1.0.0/24"], ["10.2.0.0/24"], tfc=LENGTH, dummy_rate=1000),
    Tunnel("silent", ["10.1.0.0/24"], ["10.3.0.0/24"], (TUNNELS[0].ends[0], SILENT_PEER), dummy_rate=1000),
)


class AhPadded(AhTestCase):
    """Padding and dummy packets are ESP's: an AH SA of the same tunnel has neither."""

    tunnels = PADDED
    config_text = gateway_config(tunnels=PADDED)

    def test_ah_follows_esp_and_esp_follows_ah(self):
        esp = self.gateway.add_out(tunnel="padded")
        self.outside.expect_esp(esp.spi)
        sa = self.add_ah("out", tunnel="padded")
        for sequence in range(1, 21):
            inner = self.inner_out(100, HOST, "10.2.0.5")
            self.inside.send(inner)
            outer = self.expect_ah(sa)
            self.assertEqual(sa.open(outer), forwarded(inner))
        state = self.gateway.sa_state(sa, "out")
        self.assertEqual((state["packets"], state["dummies"]), (sequence, 0))
        again = self.gateway.add_out(tunnel="padded")
        self.outside.expect_esp(again.spi)


class Dummies(TraceTestCase):
    tunnels = PADDED
    config_text = gateway_config(tunnels=PADDED)

    def test_dummies_meet_no_policy(self):
        """What a dummy packet is thrown away with is no packet that a policy decided on."""
        sa = self.gateway.add_in(tunnel="padded")
        hits = [row["packets"] for row in self.gateway.rpc.call("policy.list")["policies"]]
        before = self.gateway.drops()
        # In a burst with a true one, in front of it and behind it.
        inner = self.inner_in()
        for packet in (sa.seal(b"\0" * 64, next_header=PROTO_NONE), sa.seal(inner),
                       sa.seal(b"\0" * 64, next_header=PROTO_NONE)):
            self.outside.send(packet)
        self.inside.expect_packet(forwarded(inner))
        self.assert_drops(before, {"esp_dummy": 2})
        after = [row["packets"] for row in self.gateway.rpc.call("policy.list")["policies"]]
        self.assertEqual(sum(after) - sum(hits), 1)

    def test_dummies_leave_true_packets_a_place_to_wait(self):
        """A neighbour is not there yet: what waits for it is what somebody sent."""
        self.gateway.add_out(tunnel="silent")
        self.eventually(lambda: self.gateway.drops()["neighbour_full"] > 0, True)
        self.start("port=inside", count=1)
        self.inside.send(self.inner_out(100, HOST, "10.3.0.5"))
        steps = self.packets(1)[0]
        self.assert_fields(steps, "held", **{"for": "neighbour"})
        self.assert_fields(steps, "dropped", reason="neighbour_timeout")


class Fragments(AhTestCase):
    """Destination options behind the fragment header: later fragments name these, the first one lets see what is behind."""

    config_text = fragment_config(ipv6=True, tunnels=TUNNELS, policies=OWN_POLICIES)

    def test_options_between_fragment_header_and_ah(self):
        sa = self.add_ah("in", tunnel="6in6")
        inner = self.inner_in(1000, *reversed(HOSTS["6in6"]))
        for headers in (b"", bytes((51, 0)) + MUTABLE_OPTION):
            with self.subTest(headers.hex()):
                outer = sa.seal(inner, headers=headers, protocol=PROTO_DSTOPTS if headers else 51)
                for piece in cut(outer, 400, 800):
                    self.outside.send(piece)
                self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_options_between_fragment_header_and_esp(self):
        sa = self.gateway.add_in(tunnel="6in6")
        inner = self.inner_in(1000, *reversed(HOSTS["6in6"]))
        outer = ip(*reversed(ENDS6), PROTO_DSTOPTS, extension(PROTO_ESP) + sa.seal_esp(inner, next_header=41))
        for piece in cut(outer, 400, 800):
            self.outside.send(piece)
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])


if __name__ == "__main__":
    unittest.main()
