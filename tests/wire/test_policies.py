# SPDX-License-Identifier: BSD-3-Clause
"""Policies that change while the gateway runs: what they let through, what they count, what a change costs others."""

import json
import os
import random
import subprocess
import unittest

from daemon import default_build_dir
from esp import forwarded, udp
from gateway import HOST, GatewayTestCase, is_ip
from lab import SLOW
from rpc import Rpc, RpcError
from scenario import Scenario
from test_rollover import TwoGateways

CHANGES = 100 if SLOW else 300
MANY = 10_000  # policies, as many as fit one request
OUTSIDE_HOST = "198.51.100.7"
BYPASS = {"action": "bypass", "direction": "out", "local": "10.1.0.0/24", "remote": "198.51.100.0/24"}


class PolicyTest(GatewayTestCase):
    def setUp(self):
        super().setUp()
        self.before = self.policies()
        self.addCleanup(self.restore)

    def restore(self):
        """Takes away what a test has added."""
        kept = {row["id"] for row in self.before}
        for row in self.policies():
            if row["id"] not in kept:
                self.gateway.rpc.call("policy.remove", {"id": row["id"]})

    def policies(self):
        return self.gateway.rpc.call("policy.list")["policies"]

    def policy(self, number):
        return next(row for row in self.policies() if row["id"] == number)

    def add(self, **fields):
        return self.gateway.rpc.call("policy.add", fields)["id"]

    def send_plain(self, port=9999):
        inner = udp(HOST, OUTSIDE_HOST, 4000, port, os.urandom(8))
        self.inside.send(inner)
        return inner

    def expect_plain(self, port=9999):
        inner = self.send_plain(port)
        self.outside.expect(lambda frame: is_ip(frame) and frame[14:] == forwarded(inner))

    def test_added_policy_works_and_removed_one_no_more(self):
        before = self.gateway.drops()
        self.send_plain()
        self.assert_drops(before, {"policy_none": 1})
        number = self.add(**BYPASS)
        self.expect_plain()
        self.gateway.rpc.call("policy.remove", {"id": number})
        before = self.gateway.drops()
        self.send_plain()
        self.assert_drops(before, {"policy_none": 1})

    def test_order_counts(self):
        first = self.add(**BYPASS)
        discard = self.add(**BYPASS | {"action": "discard", "protocol": "udp", "remote_port": "9000-9999"}, before=first)
        before = self.gateway.drops()
        self.send_plain(9500)
        self.assert_drops(before, {"policy_discard": 1})
        self.expect_plain(8999)
        self.assertEqual([self.policy(discard)["packets"], self.policy(first)["packets"]], [1, 1])

    def test_counters_stay_with_their_policies(self):
        number = self.add(**BYPASS)
        for _ in range(3):
            self.expect_plain()
        others = [self.add(**BYPASS, before=number) for _ in range(2)]
        self.assertEqual(self.policy(number)["packets"], 3)
        for other in others:
            self.gateway.rpc.call("policy.remove", {"id": other})
        self.expect_plain()
        self.assertEqual(self.policy(number)["packets"], 4)
        self.assertEqual(sum(self.policy(number)["workers"]), 4)
        # The counter of a policy that went is used again, from zero.
        self.gateway.rpc.call("policy.remove", {"id": number})
        self.expect_after_new_policies()

    def expect_after_new_policies(self):
        for _ in range(4):
            number = self.add(**BYPASS)
            self.assertEqual(self.policy(number)["packets"], 0)
            self.expect_plain()
            self.assertEqual(self.policy(number)["packets"], 1)
            self.gateway.rpc.call("policy.remove", {"id": number})

    def test_tunnel_and_default_rows_count_both_directions(self):
        def counts():
            rows = self.policies()
            return rows[-1]["packets"], next(row["packets"] for row in rows if row["tunnel"] == "b")

        default, tunnel = counts()
        outbound, inbound = self.gateway.add_out(), self.gateway.add_in()
        self.pass_out(outbound)
        self.pass_in(inbound)
        self.send_plain()
        self.eventually(counts, (default + 1, tunnel + 2))

    def test_set_replaces_all_or_nothing(self):
        own = {"action": "bypass", "local": "192.0.2.1/32", "remote": "192.0.2.0/24"}
        self.add(**BYPASS)
        with self.assertRaises(RpcError) as refused:
            self.gateway.rpc.call("policy.set", {"policies": [own, BYPASS | {"action": "protect", "tunnel": "none"}]})
        error = refused.exception
        self.assertEqual((error.code, error.data["index"], error.data["field"]), (-32602, 1, "tunnel"))
        self.expect_plain()
        self.gateway.rpc.call("policy.set", {"policies": [own]})
        before = self.gateway.drops()
        self.send_plain()
        self.assert_drops(before, {"policy_none": 1})
        self.before = self.policies()

    def test_a_change_that_takes_long_stops_nobody_else(self):
        pick = random.Random(1)
        many = [
            BYPASS | {"remote": f"{pick.randrange(1, 200)}.{pick.randrange(256)}.{i & 255}.0/24", "protocol": "tcp", "remote_port": 1 + i}
            for i in range(MANY)
        ]
        request = {"jsonrpc": "2.0", "id": 1, "method": "policy.set", "params": {"policies": many}}
        kept = [{key: row[key] for key in ("action", "direction", "local", "remote")} for row in self.before if row["origin"] == "config"]
        others = 0
        with Rpc(self.gateway.daemon.socket_path) as changing:
            changing.send_raw(json.dumps(request).encode() + b"\n")
            while True:
                try:
                    answer = changing.read_answer(1, timeout=0.001)
                    break
                except TimeoutError:
                    self.gateway.rpc.call("version")
                    others += 1
        self.gateway.rpc.call("policy.set", {"policies": kept})
        self.before = self.policies()
        self.assertEqual(answer["result"], {"policies": MANY})
        # Done at once it answers two or three, those that come while it reads the request.
        self.assertGreater(others, 10)

    def tandemctl(self, *arguments):
        program = os.path.join(default_build_dir(), "tandemctl")
        command = [program, "-s", self.gateway.daemon.socket_path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def test_tandemctl(self):
        options = ("--action=bypass", "--direction=out", "--local=10.1.0.0/24", "--remote", "198.51.100.0/24")
        done = self.tandemctl("--json", "policy", "add", *options, "--protocol", "17", "--remote-port", "9999")
        self.assertEqual(done.returncode, 0, done.stderr)
        number = json.loads(done.stdout)["id"]
        self.expect_plain()
        table = self.tandemctl("policy", "list").stdout.splitlines()
        self.assertEqual(table[0].split()[0] + table[0].split()[-1], "IDPACKETS")
        row = next(line.split() for line in table if line.split()[0] == str(number))
        self.assertEqual(row[1:] , ["bypass", "out", "10.1.0.0/24", "198.51.100.0/24", "17", "any", "9999", "config", "1"])
        refused = self.tandemctl("policy", "add", "--action=bypass", "--local=10.1.0.1/24")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("host bits", refused.stderr)
        self.assertEqual(self.tandemctl("policy", "add", "--action=drop").returncode, 2)
        self.assertEqual(self.tandemctl("policy", "remove", str(number)).returncode, 0)
        self.assertEqual(self.tandemctl("policy", "remove", str(number)).returncode, 1)


class UnderLoad(TwoGateways):
    def test_changes_lose_nothing_of_other_traffic(self):
        # A worker that a busy machine leaves alone for a second must not hold up the packets of the other.
        self.start(workers=2, queue_pairs=2, sa_workers=(0, 1))
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            for number in range(CHANGES // 6):
                for gateway in self.lab.gateways:
                    self.change(gateway, number)
            traffic.wait_packets(100)
            self.assert_clean(traffic)
        counted = [row for row in self.lab.gw_a.rpc.call("policy.list")["policies"] if row["origin"] == "tunnel"]
        self.assertGreaterEqual(counted[0]["packets"], sum(udp["sent"] for udp in traffic.results["udp"].values()))
        self.stop()

    @staticmethod
    def change(gateway, number):
        """One policy comes in front and goes, one at the end, and the list is replaced by itself once."""
        rpc, other = gateway.rpc, f"10.{number % 200 + 10}.0.0/16"
        first = next(row["id"] for row in rpc.call("policy.list")["policies"])
        discard = {"action": "discard", "remote": other, "protocol": "udp", "remote_port": "1-1000"}
        front = rpc.call("policy.add", {**discard, "before": first})["id"]
        back = rpc.call("policy.add", {"action": "protect", "tunnel": gateway.tunnel, "remote": other})["id"]
        rpc.call("policy.remove", {"id": front})
        rpc.call("policy.remove", {"id": back})
        if number % 3 == 0:
            rows = [row for row in rpc.call("policy.list")["policies"] if row["origin"] == "config"]
            rpc.call("policy.set", {"policies": [{key: row[key] for key in ("action", "direction", "local", "remote")} for row in rows]})


if __name__ == "__main__":
    unittest.main()
