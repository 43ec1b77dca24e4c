# SPDX-License-Identifier: BSD-3-Clause
"""SPIs that name their owner, and what a device without flow rules says. See docs/architecture.md."""

import json
import os
import subprocess
import unittest

from daemon import default_build_dir
from gateway import GatewayTestCase, gateway_config

OWNER_SHIFT = 26
WORKERS = 3


class Steering(GatewayTestCase):
    config_text = gateway_config(workers=WORKERS)

    def spi_for(self, worker):
        answer = self.gateway.rpc.call("sa.spi", {"tunnel": "b", "worker": worker})
        self.assertEqual(answer["worker"], worker)
        self.assertEqual(answer["spi"] >> OWNER_SHIFT, worker)
        self.assertGreaterEqual(answer["spi"], 256)
        return answer["spi"]

    def accepted(self):
        return [row["esp_in_packets"] for row in self.gateway.rpc.call("worker.list")["workers"]]

    def handed(self):
        return sum(row["handoff_out"] for row in self.gateway.rpc.call("worker.list")["workers"])

    @staticmethod
    def hops(owner):
        """One queue each: worker 1 receives from outside, worker 0 sends inside, the owner stands between them."""
        return 5 * ((owner != 1) + (owner != 0))

    def pass_owned(self, spi, owner):
        sa = self.gateway.new_sa("in", spi=spi)
        self.gateway.add(sa, "in", worker=owner)
        accepted, handed = self.accepted(), self.handed()
        for _ in range(5):
            self.pass_in(sa)
        expected = [count + 5 * (worker == owner) for worker, count in enumerate(accepted)]
        self.eventually(self.accepted, expected, "the owner alone accepts")
        return self.handed() - handed

    def test_every_worker_takes_packets_of_its_spis(self):
        hops = [self.pass_owned(self.spi_for(worker), worker) for worker in range(WORKERS)]
        self.assertEqual(hops, [self.hops(worker) for worker in range(WORKERS)])

    def test_an_spi_that_names_another_worker_or_none_works_as_well(self):
        for named in (0, 2, WORKERS, 63):
            for owner in range(WORKERS):
                with self.subTest(named=named, owner=owner):
                    hops = self.pass_owned(named << OWNER_SHIFT | 0x4000 + named * WORKERS + owner, owner)
                    self.assertEqual(hops, self.hops(owner))

    def test_unknown_spis_are_counted_once_whoever_they_name(self):
        before = self.gateway.drops()
        for named in range(WORKERS + 1):
            sa = self.gateway.new_sa("in", spi=named << OWNER_SHIFT | 0x5000)
            self.outside.send(sa.seal(self.inner_in()))
        self.assert_drops(before, {"esp_spi_unknown": WORKERS + 1})

    def test_ports_say_how_they_steer(self):
        rows = {row["name"]: row for row in self.gateway.rpc.call("port.list")["ports"]}
        self.assertEqual({name: row["steering"] for name, row in rows.items()}, {"inside": "none", "outside": "none"})
        self.assertRegex(
            self.gateway.daemon.stderr(), r"port outside: the device \(net_af_packet\) takes no flow rules by SPI"
        )
        self.assertNotIn("port inside: the device", self.gateway.daemon.stderr())

    def test_tandemctl_prints_an_spi(self):
        program = os.path.join(default_build_dir(), "tandemctl")
        command = [program, "-s", self.gateway.daemon.socket_path, "sa", "spi", "--tunnel", "b", "--worker", "2"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        self.assertRegex(text, r"\A0x0[89ab][0-9a-f]{6}\n\Z")
        text = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout
        self.assertEqual(json.loads(text)["worker"], 2)


if __name__ == "__main__":
    unittest.main()
