# SPDX-License-Identifier: BSD-3-Clause
"""The programs that are compared. Each seals what comes in by its first port in one tunnel with AES-128-GCM, on one core,
and sends it by the second port."""

import json
import os
import shlex
import signal
import subprocess
import time

import wires

KEY = "00112233445566778899aabbccddeeff" "01020304"  # and salt. No secret: what it seals is dropped
START_TIMEOUT_S = 60.0

TANDEM = """# One worker; packets come from a file and are dropped behind the gateway.
worker: {{ count = 1; cores = [{core}]; idle = "spin"; }};
memory: {{ hugepages = false; size_mb = 768; packet_buffers = 16384; file_prefix = "{prefix}"; }};
control: {{ socket = "{folder}/tandem.sock"; state_dir = "{folder}"; }};
ports = (
	{{ name = "inside"; device = "{inside}"; role = "inside"; addresses = ["10.1.0.254/24"]; }},
	{{ name = "outside"; device = "{outside}"; role = "outside"; addresses = ["{gateway}/24"]; }}
);
routes = ( {{ to = "{remote}"; via = "{peer}"; }} );
tunnels = (
	{{
		name = "b";
		local_address = "{gateway}";
		remote_address = "{peer}";
		local = ["{local}"];
		remote = ["{remote}"];
	}}
);
"""

SECGW = """# DPDK's examples/ipsec-secgw
sp ipv4 out esp protect 1 pri 1 src {local} dst {remote} sport 0:65535 dport 0:65535
sa out 1 aead_algo aes-128-gcm aead_key {key} mode ipv4-tunnel src {gateway} dst {peer} type cpu-crypto
sp ipv4 in esp protect 2 pri 1 src {remote} dst {local} sport 0:65535 dport 0:65535
sa in 2 aead_algo aes-128-gcm aead_key {key} mode ipv4-tunnel src {peer} dst {gateway} type cpu-crypto
rt ipv4 dst {peer}/32 port 1
neigh port 1 {mac}
"""


class Program:
    """Runs only between resume and pause: the others shall have the core to themselves."""

    def __init__(self, folder, size, core):
        self.folder, self.core = folder, core
        self.prefix = f"{self.name}-{os.getpid()}-{size}"
        self.pcap = os.path.join(folder, f"{size}.pcap")
        self.log = os.path.join(folder, f"{self.name}-{size}.log")
        self.config = os.path.join(folder, f"{self.name}-{size}.conf")
        inside, outside = wires.devices(self.pcap)
        with open(self.config, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(self.template.format(
                core=core, prefix=self.prefix, folder=folder, inside=inside, outside=outside, gateway=wires.GATEWAY,
                peer=wires.PEER, local=wires.PREFIX_LOCAL, remote=wires.PREFIX_REMOTE, mac=wires.PEER_MAC,
                key=":".join(KEY[i : i + 2] for i in range(0, len(KEY), 2)),
            ))
        self.process = None

    def start(self, namespace=None):
        command = ["setpriv", "--pdeathsig", "KILL", *(["ip", "netns", "exec", namespace] if namespace else []), *self.command()]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_sending():
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise SystemExit(f"{self.name} sends nothing: {shlex.join(command)}\n{log.read()[-3000:]}")
            time.sleep(0.1)
        self.pause()

    def is_sending(self):
        try:
            return self.sent() > 0
        except (OSError, ValueError, LookupError, TypeError, subprocess.CalledProcessError):  # it has only begun
            return False

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Tandem(Program):
    name = "tandem"
    template = TANDEM

    def __init__(self, folder, size, core, build_dir, namespace):
        super().__init__(folder, size, core)
        self.build_dir, self.namespace, self.has_sa = build_dir, namespace, False
        self.key = os.path.join(folder, "tandem.key")
        with open(self.key, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(KEY)

    def command(self):
        return [os.path.join(self.build_dir, "tandemd"), "-c", self.config]

    def control(self, *arguments):
        done = subprocess.run(
            [os.path.join(self.build_dir, "tandemctl"), "-s", f"{self.folder}/tandem.sock", "--json", *arguments],
            capture_output=True, text=True, check=True, timeout=30,
        )
        return json.loads(done.stdout or "null")

    def start(self, namespace=None):
        super().start(self.namespace)

    def sent(self):
        if not self.has_sa:
            # Kernel's neighbours stand for the data plane's.
            subprocess.run(["ip", "-n", self.namespace, "neighbour", "replace", wires.PEER, "lladdr", wires.PEER_MAC, "dev",
                            "outside"], check=True, capture_output=True)
            self.control("sa", "add", "--spi", "0x1001", "--direction", "out", "--tunnel", "b", "--suite", "aes128gcm16",
                         "--esn", "--key-file", self.key, "--activate")
            self.has_sa = True
        ports = self.control("port", "list")["ports"]
        return next(port["tx_packets"] for port in ports if port["name"] == "outside")


class Secgw(Program):
    name = "ipsec-secgw"
    template = SECGW

    def __init__(self, folder, size, core, path):
        super().__init__(folder, size, core)
        self.path = path

    def command(self):
        inside, outside = wires.devices(self.pcap)
        return [
            self.path, "--no-huge", "-m", "768", "--file-prefix", self.prefix, "--no-pci", "-l", str(self.core),
            "--vdev", inside, "--vdev", outside, "--vdev", "crypto_aesni_gcm0", "--",
            "-p", "0x3", "-P", "-u", "0x2", "-l", "-e", "--config", f"(0,0,{self.core}),(1,0,{self.core})", "-f", self.config,
        ]

    def sent(self):
        return wires.telemetry_sent(self.prefix, 1)
