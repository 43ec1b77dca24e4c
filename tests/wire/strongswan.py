# SPDX-License-Identifier: BSD-3-Clause
"""One strongSwan in a network namespace, as an independent IKEv2 and ESP peer. Its ESP is userland code, too (the
plugin kernel-libipsec), which always goes in UDP: strongSwan then says that there is a NAT."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from priority import prefer
from traffic import RECEIVE_BUFFER, SO_RCVBUFFORCE
from vici import Vici

SYS_PIDFD_GETFD = 438
PROGRAM = "/usr/sbin/charon-systemd"
TUN = "ipsec0"  # the plugin's interface: what is routed there is sealed
# kernel-libipsec comes before kernel-netlink, which would otherwise take the kernel's ESP.
PLUGINS = (
    "random nonce openssl x509 revocation constraints pubkey pkcs1 pkcs8 pem kdf curve25519 chapoly ctr gcm aes sha2 hmac "
    "kernel-libipsec kernel-netlink socket-default vici"
)
READY_TIMEOUT_S = 60.0


class StrongSwan:
    """settings: more lines for the section charon of strongswan.conf; log_levels: of parts of it in its log."""

    def __init__(self, namespace, settings="", log_levels=""):
        self.namespace = namespace
        self.directory = tempfile.mkdtemp(prefix="tandem-charon-")
        self.log_path = os.path.join(self.directory, "charon.log")
        self.socket_path = os.path.join(self.directory, "charon.vici")
        self.config_path = os.path.join(self.directory, "strongswan.conf")
        self.process = None
        self._vici = None
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(self._config(settings, log_levels))

    def _config(self, settings, log_levels):
        return f"""charon-systemd {{
  load = {PLUGINS}
  # The lab routes to the interface itself.
  install_routes = no
  install_virtual_ip = no
  retransmit_timeout = 0.5
  retransmit_base = 1.5
  retransmit_tries = 5
  {settings}
  plugins {{ vici {{ socket = unix://{self.socket_path} }} }}
  filelog {{ log {{ path = {self.log_path}
    default = 1
    {log_levels}
    flush_line = yes }} }}
  journal {{ default = -1 }}
}}
"""

    @property
    def pid(self):
        return self.process.pid

    @property
    def vici(self):
        """The standing connection, made on first use."""
        if self._vici is None:
            self._vici = Vici(self.socket_path)
        return self._vici

    def start(self):
        """Starts the process and waits until its control socket answers."""
        # What this process mounts is its own affair: the plugins find an empty /run.
        script = 'mount --bind "$1" /run && exec env STRONGSWAN_CONF="$2" "$3"'
        run_directory = os.path.join(self.directory, "run")
        os.makedirs(run_directory, exist_ok=True)
        command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.namespace.name, "unshare", "-m"]
        command += ["sh", "-c", script, "sh", run_directory, self.config_path, PROGRAM]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket_path)  # of one that was killed
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        prefer(self.process)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                self.vici.call("version")
                self._enlarge_buffers()
                return self
            except (FileNotFoundError, ConnectionError):
                self.close_vici()
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"strongSwan does not start:\n{self.log()}")
            time.sleep(0.05)

    def _enlarge_buffers(self):
        """ESP comes in by its UDP sockets. They hold about 100 packets unless told otherwise, which there is no setting for:
        a machine that leaves the process alone for a moment would lose some."""
        process = os.pidfd_open(self.pid)
        try:
            for name in os.listdir(f"/proc/{self.pid}/fd"):
                if not os.readlink(f"/proc/{self.pid}/fd/{name}").startswith("socket:"):
                    continue
                descriptor = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, process, int(name), 0)
                if descriptor < 0:
                    raise OSError(ctypes.get_errno(), "pidfd_getfd")
                with socket.socket(fileno=descriptor) as one:
                    if one.type == socket.SOCK_DGRAM and one.family in (socket.AF_INET, socket.AF_INET6):
                        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        finally:
            os.close(process)

    def overflows(self):
        """Packets that its UDP sockets had no room for since the namespace was made."""
        names, values = (
            line.split() for line in self.namespace.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Udp:")
        )
        return int(values[names.index("RcvbufErrors")])

    def route(self, *networks):
        """Sends packets for the networks to the userland ESP."""
        for network in networks:
            self.namespace.ip("route", "replace", network, "dev", TUN)

    def close_vici(self):
        if self._vici is not None:
            self._vici.close()
            self._vici = None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """Without a word to anybody, as a crash."""
        self.close_vici()
        self.process.kill()
        self.process.wait()

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def close(self):
        self.close_vici()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- what it is told ----------------------------------------------------------------------------

    def load(self, message):
        """One connection, as in a connections section of swanctl.conf."""
        self.vici.call("load-conn", message)

    def load_psk(self, name, secret, owners):
        self.vici.call("load-shared", {"id": name, "type": "IKE", "data": secret, "owners": owners})

    def load_key(self, pem):
        self.vici.call("load-key", {"type": "any", "data": pem})

    def load_authority(self, pem):
        self.vici.call("load-cert", {"type": "X509", "flag": "CA", "data": pem})

    def load_certificate(self, pem):
        self.vici.call("load-cert", {"type": "X509", "flag": "NONE", "data": pem})

    def initiate(self, name):
        """Starts, without waiting for what comes of it."""
        self.vici.call("initiate", {"child": name, "ike": name, "timeout": "-1"})

    def rekey_child(self, name):
        self.vici.call("rekey", {"child": name, "ike": name})

    def rekey_ike(self, name):
        self.vici.call("rekey", {"ike": name})

    def terminate_child(self, name):
        self.vici.call("terminate", {"child": name, "ike": name, "timeout": "-1"})

    def terminate(self, name):
        self.vici.call("terminate", {"ike": name, "timeout": "-1"})

    # ---- what it has --------------------------------------------------------------------------------

    def sas(self):
        """[(name of the connection, IKE SA)]; its children are in "child-sas"."""
        return [pair for event in self.vici.stream("list-sas", "list-sa") for pair in event.items()]
