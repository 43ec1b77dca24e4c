# SPDX-License-Identifier: BSD-3-Clause
"""The packet trace: what it tells of each packet, which packets it takes, and that it costs none."""

import json
import os
import signal
import subprocess
import unittest

from daemon import default_build_dir
from esp import forwarded, ipv4
from gateway import BURST, GATEWAY_OUTSIDE, HOST, OWN_LINK, PEER, REMOTE_HOST, GatewayTestCase, gateway_config
from rpc import RpcError

DISCARDED = "10.2.0.66"
POLICIES = (f'{{ action = "discard"; direction = "out"; remote = "{DISCARDED}/32"; }}', OWN_LINK)


class TraceTestCase(GatewayTestCase):
    config_text = gateway_config(policies=POLICIES)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.gateway.rpc.call, "trace.stop")

    def start(self, filter_text="", **params):
        self.gateway.rpc.call("trace.start", {"filter": filter_text, **params})

    def packets(self, count):
        """Waits until so many packets are complete and returns their lists of steps."""

        def complete():
            shown = self.gateway.rpc.call("trace.show")["packets"]
            return sum(packet["complete"] for packet in shown)

        self.eventually(complete, count)
        return [packet["steps"] for packet in self.gateway.rpc.call("trace.show")["packets"]]

    @staticmethod
    def names(steps):
        return [step["step"] for step in steps]

    def step(self, steps, name):
        found = [step for step in steps if step["step"] == name]
        self.assertEqual(len(found), 1, f"{name} in {steps}")
        return found[0]

    def assert_fields(self, steps, name, **fields):
        step = self.step(steps, name)
        self.assertEqual({key: step.get(key) for key in fields}, fields, step)

    def ctl(self, *arguments):
        command = [os.path.join(default_build_dir(), "tandemctl"), "-s", self.gateway.daemon.socket_path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class StepsTest(TraceTestCase):
    """What each stage decided, in order."""

    def trace_one(self, filter_text, send):
        self.start(filter_text, count=1)
        send()
        return self.packets(1)[0]

    def test_plain_packet_that_is_sealed(self):
        sa = self.gateway.add_out()
        steps = self.trace_one("port=inside", lambda: self.pass_out(sa))
        self.assertEqual(self.names(steps), ["received", "classified", "policy", "esp_out", "route", "sent"])
        self.assert_fields(steps, "received", port="inside", source=HOST, destination=REMOTE_HOST, protocol="udp",
                           destination_port=5000, length=114)
        self.assert_fields(steps, "classified", **{"class": "from_inside"})
        self.assert_fields(steps, "policy", direction="out", action="protect", tunnel="b")
        self.assert_fields(steps, "esp_out", spi=sa.spi, sequence=1, tunnel="b")
        self.assert_fields(steps, "route", route="next_hop", next_hop=PEER, port="outside")
        self.assert_fields(steps, "sent", port="outside")
        times = [step["us"] for step in steps]
        self.assertEqual(times, sorted(times))

    def test_esp_packet_that_is_opened(self):
        sa = self.gateway.add_in()
        steps = self.trace_one("proto=esp", lambda: self.pass_in(sa))
        self.assertEqual(self.names(steps), ["received", "classified", "esp_in", "authenticated", "opened", "policy",
                                             "route", "sent"])
        self.assert_fields(steps, "received", port="outside", source=PEER, destination=GATEWAY_OUTSIDE, protocol="esp",
                           spi=sa.spi, sequence=1)
        self.assert_fields(steps, "esp_in", spi=sa.spi, sequence=1, tunnel="b", replay="ok")
        self.assert_fields(steps, "authenticated", icv="ok")
        self.assert_fields(steps, "opened", source=REMOTE_HOST, destination=HOST, protocol="udp", length=100)
        self.assert_fields(steps, "policy", direction="in", action="protect", tunnel="b")
        self.assert_fields(steps, "route", next_hop=HOST, port="inside")
        self.assert_fields(steps, "sent", port="inside", length=114)

    def test_discarded_by_policy(self):
        steps = self.trace_one("port=inside", lambda: self.inside.send(self.inner_out(dst=DISCARDED)))
        self.assertEqual(self.names(steps), ["received", "classified", "policy", "dropped"])
        self.assert_fields(steps, "policy", direction="out", action="discard")
        self.assert_fields(steps, "dropped", reason="policy_discard")

    def test_no_policy(self):
        steps = self.trace_one("port=inside", lambda: self.inside.send(self.inner_out(dst="10.77.0.1")))
        self.assert_fields(steps, "policy", action="none")
        self.assert_fields(steps, "dropped", reason="policy_none")

    def test_replayed(self):
        sa = self.gateway.add_in()
        self.pass_in(sa)
        steps = self.trace_one(f"spi={sa.spi:#x}", lambda: self.outside.send(sa.seal(self.inner_in(), 1)))
        self.assertEqual(self.names(steps), ["received", "classified", "esp_in", "dropped"])
        self.assert_fields(steps, "esp_in", spi=sa.spi, sequence=1, replay="seen")
        self.assert_fields(steps, "dropped", reason="esp_replay")

    def test_below_the_window(self):
        sa = self.gateway.add_in()
        self.pass_in(sa, 5000)
        steps = self.trace_one(f"spi={sa.spi}", lambda: self.outside.send(sa.seal(self.inner_in(), 7)))
        self.assert_fields(steps, "esp_in", sequence=7, replay="old")
        self.assert_fields(steps, "dropped", reason="esp_replay_old")

    def test_wrong_icv(self):
        sa = self.gateway.add_in()
        steps = self.trace_one("proto=esp", lambda: self.outside.send(sa.seal_bad_icv(self.inner_in())))
        self.assertEqual(self.names(steps), ["received", "classified", "esp_in", "authenticated", "dropped"])
        self.assert_fields(steps, "authenticated", icv="wrong")
        self.assert_fields(steps, "dropped", reason="esp_auth")

    def test_bad_padding_behind_a_right_icv(self):
        sa = self.gateway.add_in()
        packet = sa.seal(self.inner_in(), padding=b"\x02\x01")
        steps = self.trace_one("proto=esp", lambda: self.outside.send(packet))
        self.assert_fields(steps, "authenticated", icv="ok")
        self.assert_fields(steps, "dropped", reason="esp_pad")

    def test_unknown_spi(self):
        stranger = self.gateway.new_sa("in")
        steps = self.trace_one("proto=esp", lambda: self.outside.send(stranger.seal(self.inner_in())))
        self.assertEqual(self.names(steps), ["received", "classified", "dropped"])
        self.assert_fields(steps, "received", spi=stranger.spi)
        self.assert_fields(steps, "dropped", reason="esp_spi_unknown")

    def test_held_for_an_sa_that_comes(self):
        self.start("port=inside", count=1)
        self.inside.send(self.inner_out())
        self.eventually(lambda: "held" in str(self.gateway.rpc.call("trace.show")["packets"]), True)
        sa = self.gateway.add_out()
        self.outside.expect_esp(sa.spi)
        steps = self.packets(1)[0]
        self.assertEqual(self.names(steps), ["received", "classified", "policy", "held", "esp_out", "route", "sent"])
        self.assert_fields(steps, "held", **{"for": "outbound_sa"})

    def test_held_for_a_neighbour_that_never_comes(self):
        sa = self.gateway.add_in()
        inner = self.inner_in(dst="10.1.0.99")
        steps = self.trace_one("proto=esp", lambda: self.outside.send(sa.seal(inner)))
        self.assert_fields(steps, "held", **{"for": "neighbour"})
        self.assert_fields(steps, "dropped", reason="neighbour_timeout")

    def test_punted(self):
        packet = ipv4(HOST, "10.1.0.1", 1, b"\x08\0\xf7\xff" + bytes(4))
        steps = self.trace_one("proto=icmp", lambda: self.inside.send(packet))
        self.assertEqual(self.names(steps), ["received", "punted"])
        self.assert_fields(steps, "punted", port="inside")

    def test_injected_by_the_kernel(self):
        sa = self.gateway.add_out()

        def send():
            self.gateway.namespace.run("ping", "-nc1", "-W1", "-I", "10.1.0.1", REMOTE_HOST, check=False)

        self.gateway.namespace.ip("route", "replace", "10.2.0.0/24", "via", PEER, "dev", "outside")
        self.addCleanup(self.gateway.namespace.ip, "route", "del", "10.2.0.0/24", "via", PEER, "dev", "outside")
        steps = self.trace_one(f"dst={REMOTE_HOST}", send)
        self.assertEqual(self.names(steps), ["injected", "policy", "esp_out", "route", "sent"])
        self.assert_fields(steps, "injected", port="outside", source="10.1.0.1", protocol="icmp")
        self.assert_fields(steps, "esp_out", spi=sa.spi)

    def test_ttl_that_runs_out_is_answered(self):
        steps = self.trace_one("port=inside", lambda: self.inside.send(self.inner_out(ttl=1)))
        self.assertEqual(self.names(steps), ["received", "icmp_error", "dropped"])
        self.assert_fields(steps, "dropped", reason="ip_ttl")

    def test_cut_packet_is_sent_twice(self):
        sa = self.gateway.add_out()
        steps = self.trace_one("port=inside", lambda: self.inside.send(self.inner_out(1490)))
        self.assert_fields(steps, "cut", fragments=2)
        self.assertEqual([step["sequence"] for step in steps if step["step"] == "esp_out"], [1, 2])
        self.assertEqual(self.names(steps).count("sent"), 2)
        self.outside.expect_esp(sa.spi)

    def test_frames_that_are_no_ip_packets(self):
        self.start("port=inside", count=3)
        self.inside.send(b"\0" * 46, 0x88B5)
        self.inside.send(b"", 0x0800)
        self.inside.send_arp(1, HOST, "10.1.0.1")
        other, runt, arp = self.packets(3)
        self.assert_fields(other, "received", ethertype=0x88B5)
        self.assert_fields(other, "dropped", reason="rx_ethertype")
        self.assert_fields(runt, "dropped", reason="rx_runt")
        self.assert_fields(arp, "received", protocol="arp")
        self.assertEqual(self.names(arp), ["received", "punted"])


class SelectionTest(TraceTestCase):
    """Which packets are traced."""

    def test_count_ends_the_trace(self):
        sa = self.gateway.add_in()
        self.start("proto=esp", count=3)
        for _ in range(6):
            self.pass_in(sa)
        self.assertEqual(len(self.packets(3)), 3)
        self.eventually(lambda: self.gateway.rpc.call("trace.show")["running"], False)
        self.pass_in(sa)
        shown = self.gateway.rpc.call("trace.show")
        self.assertEqual((shown["traced"], shown["wanted"], len(shown["packets"])), (3, 3, 3))
        sequences = [self.step(packet["steps"], "esp_in")["sequence"] for packet in shown["packets"]]
        self.assertEqual(sequences, [1, 2, 3])

    def test_filter_excludes_others(self):
        one, other = self.gateway.add_in(), self.gateway.add_in()
        out = self.gateway.add_out()
        for filter_text, expected in (
            (f"spi={one.spi}", {"outside"}),
            (f"src={PEER} dst=192.0.2.0/24 proto=50 spi={one.spi:#x}", {"outside"}),
            ("proto=udp", {"inside"}),
            (f"dst={REMOTE_HOST}", {"inside"}),
            ("port=inside src=10.1.0.0/24", {"inside"}),
        ):
            with self.subTest(filter_text):
                self.start(filter_text, count=100)
                self.pass_in(one)
                self.pass_in(other)
                self.pass_out(out)
                self.pass_in(other)
                packets = self.packets(1)
                self.assertEqual({self.step(steps, "received")["port"] for steps in packets}, expected)

    def test_filter_that_nothing_fits(self):
        sa = self.gateway.add_in()
        for filter_text in ("src=10.77.0.0/16", "proto=gre", "spi=1", "dst=fd00::/16", "proto=esp port=inside"):
            with self.subTest(filter_text):
                self.start(filter_text, count=100)
                self.pass_in(sa)
                self.assertEqual(self.gateway.rpc.call("trace.show")["traced"], 0)

    def test_filter_by_the_end(self):
        sa = self.gateway.add_in()
        self.start("drop=esp_auth", count=2)
        for _ in range(2):
            self.pass_in(sa)
            self.outside.send(sa.seal(self.inner_in(), 1))
            self.outside.send(sa.seal_bad_icv(self.inner_in()))
        packets = self.packets(2)
        for steps in packets:
            self.assert_fields(steps, "received", spi=sa.spi)
            self.assert_fields(steps, "dropped", reason="esp_auth")
        self.eventually(lambda: self.gateway.rpc.call("trace.show")["running"], False)

    def test_stop_and_start_again(self):
        sa = self.gateway.add_in()
        self.start("proto=esp", count=100)
        self.pass_in(sa)
        self.packets(1)
        self.assertEqual(self.gateway.rpc.call("trace.stop"), {"traced": 1})
        self.pass_in(sa)
        shown = self.gateway.rpc.call("trace.show")
        self.assertEqual((shown["running"], shown["traced"]), (False, 1))
        self.start("proto=esp", count=100)
        self.pass_in(sa)
        self.assertEqual(self.step(self.packets(1)[0], "esp_in")["sequence"], 3)

    def test_bad_parameters_are_refused(self):
        for params, field in (
            ({"count": 0}, "count"),
            ({"count": 1001}, "count"),
            ({"worker": 1}, "worker"),
            ({"filter": "colour=red"}, "filter"),
            ({"filter": "proto"}, "filter"),
            ({"filter": "proto=nonsense"}, "filter"),
            ({"filter": "spi=0"}, "filter"),
            ({"filter": "port=nowhere"}, "filter"),
            ({"filter": "drop=none"}, "filter"),
            ({"filter": "src=10.0.0.0/33"}, "filter"),
            ({"filter": "src=1.2.3.4 src=1.2.3.4"}, "filter"),
        ):
            with self.subTest(params), self.assertRaises(RpcError) as raised:
                self.gateway.rpc.call("trace.start", params)
            self.assertEqual((raised.exception.code, raised.exception.data.get("field")), (-32602, field))

    def test_more_than_one_page(self):
        sa = self.gateway.add_in()
        self.start("proto=esp", count=120)
        for _ in range(120):
            self.pass_in(sa)
        self.eventually(lambda: self.gateway.rpc.call("trace.show")["traced"], 120)
        shown = json.loads(self.ctl("--json", "trace", "show").stdout)
        self.assertEqual([packet["number"] for packet in shown["packets"]], list(range(1, 121)))


class ClientTest(TraceTestCase):
    """tandemctl's side."""

    def test_a_block_of_lines_for_each_packet(self):
        sa = self.gateway.add_in()
        started = self.ctl("trace", "start", "--count", "2", "--filter", "proto=esp")
        self.assertEqual((started.returncode, started.stdout), (0, "tracing 2\n"), started.stderr)
        self.pass_in(sa)
        self.outside.send(sa.seal_bad_icv(self.inner_in()))
        self.packets(2)
        text = self.ctl("trace", "show").stdout
        self.assertIn("packet 1\n", text)
        self.assertRegex(text, rf"worker 0 +received +{PEER} > {GATEWAY_OUTSIDE} esp port=outside spi=0x{sa.spi:08x}")
        self.assertRegex(text, rf"esp_in +tunnel=b spi=0x{sa.spi:08x} sequence=1 replay=ok")
        self.assertRegex(text, rf"opened +{REMOTE_HOST} port \d+ > {HOST} port 5000 udp length=100")
        self.assertRegex(text, r"authenticated +icv=wrong\n.*dropped +reason=esp_auth\n")
        self.assertIn("2 of 2 packets traced", text)

    def test_follow_ends_with_the_trace(self):
        sa = self.gateway.add_in()
        self.start("proto=esp", count=3)
        command = [os.path.join(default_build_dir(), "tandemctl"), "-s", self.gateway.daemon.socket_path, "--json"]
        follower = subprocess.Popen([*command, "trace", "show", "--follow"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(follower.stdout.close)
        for _ in range(3):
            self.pass_in(sa)
        output, _ = follower.communicate(timeout=60)
        packets = [json.loads(line) for line in output.splitlines()]
        self.assertEqual([packet["number"] for packet in packets], [1, 2, 3])
        self.assertEqual(self.names(packets[2]["steps"])[-1], "sent")

    def test_nothing_of_the_payload_is_shown(self):
        sa = self.gateway.add_in()
        self.start("proto=esp", count=1)
        inner = self.inner_in(1000)
        self.outside.send(sa.seal(inner))
        self.inside.expect_packet(forwarded(inner))
        self.packets(1)
        text = self.ctl("--json", "trace", "show").stdout
        self.assertNotIn(inner[40:48].hex(), text)
        self.assertNotIn(sa.key.hex(), text)


class WorkersTest(TraceTestCase):
    """A packet keeps its trace when another worker goes on with it."""

    config_text = gateway_config(workers=2, policies=POLICIES)

    def test_inbound_handoff(self):
        for owner in (0, 1):
            with self.subTest(owner=owner):
                sa = self.gateway.add_in(worker=owner)
                self.start("proto=esp", count=1)
                self.pass_in(sa)
                steps = self.packets(1)[0]
                self.assertEqual(self.step(steps, "esp_in")["worker"], owner)
                receiver = self.step(steps, "received")["worker"]
                handoffs = [(step["worker"], step["to_worker"]) for step in steps if step["step"] == "handoff"]
                # The port has one transmit queue, that of worker 0.
                wanted = [(receiver, owner)] * (receiver != owner) + [(owner, 0)] * (owner != 0)
                self.assertEqual(handoffs, wanted)
                self.assert_fields(steps, "sent", port="inside", worker=0)

    def test_outbound_handoff(self):
        handoffs = 0
        for owner in (0, 1):
            sa = self.gateway.add_out(worker=owner)
            self.start("port=inside", count=1)
            self.pass_out(sa)
            steps = self.packets(1)[0]
            self.assertEqual(self.step(steps, "esp_out")["worker"], owner)
            handoffs += "handoff" in self.names(steps)
        self.assertGreater(handoffs, 0)

    def test_one_worker_only(self):
        inside, outside = self.gateway.add_out(), self.gateway.add_in()
        receivers = set()
        for worker in (0, 1):
            self.start("", count=100, worker=worker)
            self.pass_out(inside)
            self.pass_in(outside)
            steps = self.packets(1)[0]
            self.assertEqual(self.step(steps, "received")["worker"], worker)
            receivers.add(self.step(steps, "received")["port"])
        self.assertEqual(receivers, {"inside", "outside"})


class FloodTest(TraceTestCase):
    def test_no_packet_is_lost_for_a_trace(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        # Every packet is a candidate, and none ends so.
        self.start("drop=ip_checksum", count=1000)
        for _ in range(20):
            inner = [self.inner_in() for _ in range(BURST)]
            # They meet the gateway as full bursts.
            os.kill(self.gateway.daemon.pid, signal.SIGSTOP)
            for packet in inner:
                self.outside.send(sa.seal(packet))
            os.kill(self.gateway.daemon.pid, signal.SIGCONT)
            self.inside.expect_packets([forwarded(packet) for packet in inner])
        self.assert_drops(before, {})
        shown = self.gateway.rpc.call("trace.show")
        self.assertEqual((shown["running"], shown["traced"]), (True, 0))


if __name__ == "__main__":
    unittest.main()
