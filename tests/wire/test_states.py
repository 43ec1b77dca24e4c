# SPDX-License-Identifier: BSD-3-Clause
"""The life of an SA (docs/architecture.md: pending, active, draining, gone) and the events that tell of it."""

import time
import unittest

from esp import forwarded
from gateway import GATEWAY_OUTSIDE, HOST, PEER, GatewayTestCase, drops_between
from rpc import Rpc, RpcError

EVENT_TIMEOUT_S = 20.0  # generous: sanitizer builds on busy machines


class StateTestCase(GatewayTestCase):
    def setUp(self):
        super().setUp()
        self.events = Rpc(self.gateway.daemon.socket_path)
        self.addCleanup(self.events.close)
        self.events.subscribe()

    def wait_event(self, kind, **fields):
        return self.events.wait_event(kind, EVENT_TIMEOUT_S, **fields)

    def state_of(self, sa, direction="in"):
        row = self.gateway.sa_state(sa, direction)
        return row and row["state"]


class InboundStateTest(StateTestCase):
    def test_pending_becomes_active_by_the_first_packet(self):
        sa = self.gateway.add_in()
        self.wait_event("sa_added", spi=sa.spi, direction="in", tunnel="b")
        self.assertEqual(self.state_of(sa), "pending")
        # A packet that fails authentication is no first use.
        self.outside.send(sa.seal_bad_icv(self.inner_in()))
        self.eventually(lambda: self.gateway.sa_state(sa, "in")["auth_failed"], 1)
        self.assertEqual(self.state_of(sa), "pending")
        self.pass_in(sa)
        self.wait_event("sa_first_use", spi=sa.spi, direction="in", tunnel="b")
        self.assertEqual(self.state_of(sa), "active")

    def test_draining_sa_decrypts_until_its_end(self):
        sa = self.gateway.add_in()
        self.pass_in(sa)
        self.gateway.rpc.call("sa.drain", {"spi": sa.spi, "drain_ms": 600000})
        self.wait_event("sa_draining", spi=sa.spi, direction="in")
        self.assertEqual(self.state_of(sa), "draining")
        self.assertEqual(self.pass_in(sa), [])

    def test_packet_after_the_drain_is_late_not_unknown(self):
        old, new = self.gateway.add_in(), self.gateway.add_in()
        self.pass_in(old)
        self.gateway.rpc.call("sa.drain", {"spi": old.spi, "drain_ms": 50})
        self.wait_event("sa_removed", spi=old.spi, direction="in")
        self.assertIsNone(self.gateway.sa_state(old, "in"))
        before = self.gateway.drops()
        for _ in range(3):
            self.outside.send(old.seal(self.inner_in()))
        self.assertEqual(self.pass_in(new), [])
        self.assert_drops(before, {"esp_spi_late": 3})

    def test_packet_after_delete_is_late(self):
        old, new = self.gateway.add_in(), self.gateway.add_in()
        self.gateway.rpc.call("sa.delete", {"spi": old.spi, "direction": "in"})
        before = self.gateway.drops()
        self.outside.send(old.seal(self.inner_in()))
        self.assertEqual(self.pass_in(new), [])
        self.assert_drops(before, {"esp_spi_late": 1})

    def test_spi_can_be_used_again_with_a_new_key(self):
        old = self.gateway.add_in()
        self.pass_in(old)
        self.gateway.rpc.call("sa.delete", {"spi": old.spi, "direction": "in"})
        new = self.gateway.new_sa("in", spi=old.spi)
        self.gateway.add(new, "in")
        self.assertEqual(self.pass_in(new), [])
        self.assertEqual(self.gateway.sa_state(new, "in")["sequence"], 1)

    def test_burst_of_forgeries_raises_one_event(self):
        sa = self.gateway.add_in()
        for _ in range(32):
            self.outside.send(sa.seal_bad_icv(self.inner_in()))
        event = self.wait_event("sa_auth_failures", spi=sa.spi, direction="in", tunnel="b")
        self.assertGreaterEqual(event["count"], 8)
        self.assertEqual(event["source"], PEER)

    def test_unknown_spi_is_told_with_its_addresses(self):
        stranger = self.gateway.new_sa("in")
        # These events are rationed, and another test may just have used the ration up: keep sending.
        for _ in range(40):
            self.outside.send(stranger.seal(self.inner_in()))
            try:
                event = self.events.wait_event("unknown_spi", 0.5, spi=stranger.spi)
                break
            except TimeoutError:
                continue
        else:
            self.fail("no event told of the unknown SPI")
        self.assertEqual((event["source"], event["destination"]), (PEER, GATEWAY_OUTSIDE))

    def test_flood_of_unknown_spis_raises_few_events(self):
        sa, stranger = self.gateway.add_in(), self.gateway.new_sa("in")
        before, start = self.gateway.drops(), time.monotonic()
        for _ in range(300):
            self.outside.send(stranger.seal(self.inner_in()))
        self.pass_in(sa)
        self.assert_drops(before, {"esp_spi_unknown": 300})
        seconds = time.monotonic() - start
        # Ten a second, ten at once, and what trickles in while this reads.
        raised = 0
        while (event := self.events.next_event(0.3)) is not None:
            raised += event["event"] == "unknown_spi"
        self.assertLessEqual(raised, 10 * (seconds + 2))


class OutboundStateTest(StateTestCase):
    def test_outbound_waits_for_the_switch(self):
        old = self.gateway.add_out()
        new = self.gateway.add_out(activate=False)
        self.assertFalse(self.gateway.sa_state(new, "out")["current"])
        self.assertEqual(self.pass_out(old), [])
        self.gateway.rpc.call("sa.switch", {"spi": new.spi, "tunnel": "b"})
        self.wait_event("sa_switched", spi=new.spi, direction="out", tunnel="b")
        self.assertEqual(self.pass_out(new), [])
        self.assertTrue(self.gateway.sa_state(new, "out")["current"])
        self.assertFalse(self.gateway.sa_state(old, "out")["current"])

    def test_current_sa_is_not_deleted_without_force(self):
        sa = self.gateway.add_out()
        name = {"spi": sa.spi, "direction": "out", "tunnel": "b"}
        with self.assertRaises(RpcError) as raised:
            self.gateway.rpc.call("sa.delete", name)
        self.assertEqual(raised.exception.code, 3)
        self.assertEqual(self.pass_out(sa), [])
        self.gateway.rpc.call("sa.delete", {**name, "force": True})
        self.wait_event("sa_removed", spi=sa.spi, direction="out")

    def test_key_is_never_used_twice(self):
        first = self.gateway.add_out()
        second = self.gateway.new_sa("out")
        second.key = first.key
        for when in ("while the first lives", "after the first was deleted"):
            with self.subTest(when):
                with self.assertRaises(RpcError) as raised:
                    self.gateway.add(second, "out")
                self.assertEqual(raised.exception.data["field"], "key")
                self.assertNotIn(first.key.hex(), str(raised.exception))
                self.assertIsNone(self.gateway.sa_state(second, "out"))
            name = {"spi": first.spi, "direction": "out", "tunnel": "b", "force": True}
            if self.gateway.sa_state(first, "out"):
                self.gateway.rpc.call("sa.delete", name)

    def test_acquire_when_a_packet_needs_an_sa(self):
        waiting = self.inner_out(dst="10.3.0.9")
        self.inside.send(waiting)
        event = self.wait_event("acquire", tunnel="c")
        self.assertEqual((event["source"], event["destination"]), (HOST, "10.3.0.9"))
        self.assertIn(event["protocol"], (17, "udp"))
        sa = self.gateway.add_out(tunnel="c")
        self.assertEqual(sa.open(self.outside.expect_esp(sa.spi)), forwarded(waiting))
        self.assertEqual(self.pass_out(sa, dst="10.3.0.9"), [])


class LimitTest(StateTestCase):
    def test_hard_packets_stop_an_inbound_sa(self):
        other = self.gateway.add_in()
        sa = self.gateway.add_in(hard_packets=3)
        for _ in range(3):
            self.assertEqual(self.pass_in(sa), [])
        before = self.gateway.drops()
        for _ in range(2):
            self.outside.send(sa.seal(self.inner_in()))
        self.assertEqual(self.pass_in(other), [])
        self.assert_drops(before, {"esp_in_expired": 2})
        event = self.wait_event("sa_hard_limit", spi=sa.spi, direction="in")
        self.assertEqual(event["limit"], "packets")
        self.assertEqual(self.state_of(sa), "expired")

    def test_hard_packets_stop_an_outbound_sa(self):
        other = self.gateway.add_out(tunnel="c")
        sa = self.gateway.add_out(hard_packets=3)
        for _ in range(3):
            self.assertEqual(self.pass_out(sa), [])
        before = self.gateway.drops()
        for _ in range(2):
            self.inside.send(self.inner_out())
        self.assertEqual(self.pass_out(other, dst="10.3.0.9"), [], "neither ESP nor plaintext")
        self.assert_drops(before, {"esp_out_expired": 2})
        event = self.wait_event("sa_hard_limit", spi=sa.spi, direction="out")
        self.assertEqual(event["limit"], "packets")
        self.assertEqual(self.state_of(sa, "out"), "expired")
        successor = self.gateway.add_out()
        self.assertEqual(self.pass_out(successor), [])

    def test_hard_bytes_stop_an_outbound_sa(self):
        other = self.gateway.add_out(tunnel="c")
        sa = self.gateway.add_out(hard_bytes=300)
        for _ in range(3):
            self.assertEqual(self.pass_out(sa), [])
        self.inside.send(self.inner_out())
        self.assertEqual(self.pass_out(other, dst="10.3.0.9"), [])
        event = self.wait_event("sa_hard_limit", spi=sa.spi, direction="out")
        self.assertEqual(event["limit"], "bytes")

    def test_soft_limits_tell_once_and_stop_nothing(self):
        for name, value in (("packets", 3), ("bytes", 250)):
            with self.subTest(name):
                sa = self.gateway.add_out(**{f"soft_{name}": value})
                for _ in range(8):
                    self.assertEqual(self.pass_out(sa), [])
                event = self.wait_event("sa_soft_limit", spi=sa.spi, direction="out", tunnel="b")
                self.assertEqual(event["limit"], name)
                with self.assertRaises(TimeoutError):
                    self.events.wait_event("sa_soft_limit", 0.2, spi=sa.spi)

    def test_soft_limit_of_an_inbound_sa(self):
        sa = self.gateway.add_in(soft_packets=2)
        for _ in range(4):
            self.assertEqual(self.pass_in(sa), [])
        event = self.wait_event("sa_soft_limit", spi=sa.spi, direction="in", tunnel="b")
        self.assertEqual(event["limit"], "packets")

    def test_time_limits(self):
        sa = self.gateway.add_in(soft_ms=100, hard_ms=300)
        other = self.gateway.add_in()
        self.assertEqual(self.wait_event("sa_soft_limit", spi=sa.spi)["limit"], "time")
        self.assertEqual(self.wait_event("sa_hard_limit", spi=sa.spi)["limit"], "time")
        before = self.gateway.drops()
        self.outside.send(sa.seal(self.inner_in()))
        self.assertEqual(self.pass_in(other), [])
        self.assertEqual(set(drops_between(before, self.gateway.drops())), {"esp_in_expired"})

    def test_sequence_space_is_never_reused(self):
        # An inbound SA shows the upper end: the last number passes once, and nothing wraps to the start.
        sa = self.gateway.add_in()
        self.pass_in(sa, 0xFFFFFFFE)
        self.assertEqual(self.pass_in(sa, 0xFFFFFFFF), [])
        other = self.gateway.add_in()
        before = self.gateway.drops()
        for sequence in (0, 1, 2):
            self.outside.send(sa.seal(self.inner_in(), sequence))
        self.assertEqual(self.pass_in(other), [])
        self.eventually(lambda: sum(drops_between(before, self.gateway.drops()).values()), 3)
        self.assertLessEqual(set(drops_between(before, self.gateway.drops())), {"esp_replay", "esp_replay_old"})


class ForwardedStatisticsTest(StateTestCase):
    def test_tunnel_counts_both_directions(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        self.pass_in(inbound)
        self.pass_out(outbound, length=200)

        def counted():
            row = next(t for t in self.gateway.rpc.call("tunnel.list")["tunnels"] if t["name"] == "b")
            return {
                key: row[key]
                for key in ("established", "packets_in", "bytes_in", "packets_out", "bytes_out", "outbound_spi", "inbound_spis")
            }

        self.eventually(
            counted,
            {
                "established": True, "packets_in": 1, "bytes_in": 100, "packets_out": 1, "bytes_out": 200,
                "outbound_spi": [outbound.spi], "inbound_spis": [inbound.spi],
            },
        )

    def test_worker_and_port_counters_move(self):
        before = self.gateway.rpc.call("worker.list")["workers"][0]
        inbound = self.gateway.add_in()
        inner = self.inner_in()
        self.outside.send(inbound.seal(inner))
        self.inside.expect_packet(forwarded(inner))
        self.eventually(
            lambda: self.gateway.rpc.call("worker.list")["workers"][0]["esp_in_packets"] - before["esp_in_packets"], 1
        )
        ports = {row["name"]: row for row in self.gateway.rpc.call("port.list")["ports"]}
        self.assertEqual(set(ports), {"inside", "outside"})
        self.assertGreater(ports["outside"]["rx_packets"], 0)


if __name__ == "__main__":
    unittest.main()
