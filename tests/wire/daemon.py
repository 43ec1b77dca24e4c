# SPDX-License-Identifier: BSD-3-Clause
"""One tandemd process in a network namespace."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from priority import prefer
from rpc import Rpc

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANITIZER_REPORT = re.compile(r"ERROR: \w*Sanitizer|LeakSanitizer|runtime error:")
READY_TIMEOUT_S = 60.0  # a sanitizer build on a loaded machine starts slowly
STOP_TIMEOUT_S = 30.0


def default_build_dir():
    return os.environ.get("TANDEM_BUILD", os.path.join(REPOSITORY, "build"))


class DaemonError(Exception):
    pass


class Daemon:
    """The configuration text may hold @SOCKET@ (path of the control socket), @PREFIX@ (a name that no other
    process has, for EAL's file prefix) and @DIR@ (the daemon's own directory, where files are written: a
    dictionary of names and contents)."""

    def __init__(self, namespace, config_text, name="gw", build_dir=None, files=None):
        self.namespace = namespace
        self.name = name
        self.program = os.path.join(build_dir or default_build_dir(), "tandemd")
        self.directory = tempfile.mkdtemp(prefix=f"tandem-{name}-")
        # Clients of other users must reach the socket to be refused by it.
        os.chmod(self.directory, 0o755)
        self.config_path = os.path.join(self.directory, f"{name}.conf")
        self.stderr_path = os.path.join(self.directory, f"{name}.stderr")
        prefix = os.path.basename(self.directory)
        config_text = config_text.replace("@SOCKET@", os.path.join(self.directory, f"{name}.sock"))
        self.config_text = config_text.replace("@PREFIX@", prefix).replace("@DIR@", self.directory)
        found = re.search(r'\bsocket\s*=\s*"([^"]+)"', self.config_text)
        self.socket_path = found.group(1) if found else None
        self._write(self.config_path, self.config_text)
        for file_name, text in (files or {}).items():
            self._write(os.path.join(self.directory, file_name), text)
        self.process = None
        self._rpc = None
        self._kept_stderr = None

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)

    @property
    def pid(self):
        return self.process.pid

    @property
    def rpc(self):
        """The standing connection, made on first use."""
        if self._rpc is None:
            self._rpc = Rpc(self.socket_path)
        return self._rpc

    def command(self):
        # Both replace themselves by the program, so the pid is the daemon's. It dies with the test program,
        # however that ends.
        prefix = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        return ["setpriv", "--pdeathsig", "KILL", *prefix, self.program, "-c", self.config_path]

    def start(self):
        """Starts the process without waiting for it."""
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True
            )
        prefer(self.process)
        return self

    def wait_ready(self, timeout=READY_TIMEOUT_S):
        """Waits until the control socket answers."""
        deadline = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                raise DaemonError(f"{self.name} ended with status {self.process.returncode}:\n{self.stderr()}")
            try:
                self.rpc.call("version")
                return self
            except (FileNotFoundError, ConnectionError):
                self.close_rpc()
            if time.monotonic() > deadline:
                raise DaemonError(f"{self.name} is not ready after {timeout} s:\n{self.stderr()}")
            time.sleep(0.02)

    def wait_exit(self, timeout=STOP_TIMEOUT_S):
        """The exit status of a process that ends by itself."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DaemonError(f"{self.name} still runs after {timeout} s:\n{self.stderr()}") from None

    def close_rpc(self):
        if self._rpc is not None:
            self._rpc.close()
            self._rpc = None

    def stop(self, stop_signal=signal.SIGTERM, timeout=STOP_TIMEOUT_S):
        """Ends the process and returns its exit status (negative: a signal). Kills it if it hangs."""
        self.close_rpc()
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def stderr(self):
        if self._kept_stderr is not None:
            return self._kept_stderr
        try:
            with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def sanitizer_report(self):
        """The part of the standard error that starts with a sanitizer's report, or ""."""
        text = self.stderr()
        found = SANITIZER_REPORT.search(text)
        return text[found.start() :] if found else ""

    def cleanup(self):
        """Stops the process if it runs and removes its files; stderr() stays readable."""
        self.stop()
        self._kept_stderr = self.stderr()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop_checked(self):
        """Stops the daemon; raises DaemonError when it did not end cleanly. Removes its files."""
        status = self.stop()
        report = self.sanitizer_report()
        self.cleanup()
        if report:
            raise DaemonError(f"{self.name}: sanitizer report:\n{report}")
        if status not in (0, None):
            raise DaemonError(f"{self.name} ended with status {status}:\n{self.stderr()}")
