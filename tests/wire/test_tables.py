# SPDX-License-Identifier: BSD-3-Clause
"""What tandemctl makes of the daemon's lists."""

import os
import tempfile
import unittest

from scripted import tandemctl

PORT = {"name": "outside", "role": "outside", "link_up": True, "mtu": 1500, "rx_missed": 5, "rx_errors": 6, "tx_errors": 7}


def policy(protocol, low, high):
    both = {f"{side}_port_{end}": port for side in ("local", "remote") for end, port in (("low", low), ("high", high))}
    return {"id": 1, "action": "bypass", "protocol": protocol, **both}


# Protocol, range, how it is shown.
RANGES = (
    (6, 500, 500, "500"),
    (6, 500, 510, "500-510"),
    (6, 0, 65535, "any"),
    (0, 0, 65535, "any"),
    (17, 2048, 2303, "2048-2303"),
    (1, 0, 65535, "any"),
    (58, 0, 65535, "any"),
    (1, 8 << 8, 8 << 8 | 255, "8"),
    (1, 3 << 8 | 4, 3 << 8 | 4, "3/4"),
    (1, 8 << 8, 8 << 8, "8/0"),
    (1, 0, 255, "0"),
    (58, 133 << 8, 137 << 8 | 255, "133-137"),
    (58, 255 << 8, 65535, "255"),
)


class Tables(unittest.TestCase):
    def cells(self, result, *arguments):
        """Rows as dictionaries by heading."""
        with tempfile.TemporaryDirectory() as directory:
            method = (".".join(arguments), {})
            done = tandemctl(os.path.join(directory, "sock"), [("answer", method, {"result": result})], *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        heading, *rows = (line.split() for line in done.stdout.splitlines())
        return [dict(zip(heading, row, strict=True)) for row in rows]

    def test_ports_have_all_their_columns(self):
        (row,) = self.cells({"ports": [PORT]}, "port", "list")
        self.assertEqual((row["LINK"], row["RX-MISSED"], row["RX-ERRORS"], row["TX-ERRORS"]), ("up", "5", "6", "7"))

    def test_policies_show_ports_and_icmp_messages(self):
        rows = self.cells({"policies": [policy(*of) for *of, _ in RANGES]}, "policy", "list")
        for row, (*of, shown) in zip(rows, RANGES, strict=True):
            with self.subTest(of=of):
                self.assertEqual((row["LOCAL-PORT"], row["REMOTE-PORT"]), (shown, shown))


if __name__ == "__main__":
    unittest.main()
