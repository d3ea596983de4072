"""The three programs as processes: starts them in order, waits for them, stops them, reports crashes."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from inferway_envtest import audit_log, flags, users, webhook_client
from inferway_envtest.binaries import Programs
from inferway_envtest.certificates import Authority
from inferway_envtest.client import Asker, Refused
from inferway_envtest.process import Process
from inferway_envtest.users import User
from inferway_testing.until import until

READY = 60.0  # seconds; on two idle cores it takes two


class ControlPlane:
    """etcd, kube-apiserver and, later, kube-controller-manager in a directory, with their keys."""

    def __init__(self, programs: Programs, directory: Path) -> None:
        self.directory = directory
        self._programs = programs
        self._authority = Authority(directory)
        self.ca_file = self._authority.file
        self.admin_token = secrets.token_hex(16)
        self.admin = User("admin", token=self.admin_token)
        # This socket reserves the port while it is open; no client can connect to it, because it does not listen.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._asker = Asker(self.url, self.ca_file, self.admin_token)
        self._audit_log = directory / "audit.log"
        (directory / "audit-policy.yaml").write_text(audit_log.POLICY)
        (directory / "tokens.csv").write_text(f'{self.admin_token},admin,admin,"{users.ADMINS}"\n')
        self._admission = webhook_client.write_config(directory, self._authority)
        self._processes: dict[str, Process] = {}

    @property
    def etcd(self) -> Process:
        """Return the store's process."""
        return self._processes["etcd"]

    @property
    def server(self) -> Process:
        """Return the process of the API server itself."""
        return self._processes["kube-apiserver"]

    @property
    def controllers(self) -> Process:
        """Return the process that ends namespaces, collects garbage and writes EndpointSlices."""
        return self._processes["kube-controller-manager"]

    def start_server(self) -> None:
        """Start kube-apiserver and wait until it is ready. Raises `Crashed` or `TooLate`."""
        policy = self.directory / "audit-policy.yaml"
        tokens = self.directory / "tokens.csv"
        self._start(
            "kube-apiserver",
            flags.server(self.directory, self._authority, self.port, tokens, policy, self._audit_log, self._admission),
        )
        until(self._is_ready, lambda: f"kube-apiserver is ready. Its last words:\n{self.server.tail()}", READY)

    def stop_server(self) -> None:
        """Kill kube-apiserver: connections break, new ones are refused. `start_server` uses the same port and data."""
        self.server.stop()

    def _start(self, name: str, command_line: Sequence[str]) -> None:
        self._processes[name] = Process.started(self._programs[name], command_line, self.directory)

    def _is_ready(self) -> bool:
        self.etcd.check()
        self.server.check()
        try:
            return bool(self.ask("GET", "/readyz") == "ok")
        except (Refused, httpx.TransportError):
            return False

    def check(self) -> None:
        """Raise `Crashed` if one of the programs has ended."""
        for process in self._processes.values():
            process.check()

    def start_store(self) -> None:
        """Start etcd; its clients wait for it."""
        self._start("etcd", flags.etcd(self.directory))

    def start_controllers(self, kubeconfig: Path) -> None:
        """Start kube-controller-manager. Its garbage collector reads definitions now, and then every 30 s."""
        self._start("kube-controller-manager", flags.controllers(kubeconfig))

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send one request as the admin; JSON in both directions. Raises `Refused`."""
        return self._asker.ask(method, path, body, content_type)

    def close(self) -> None:
        self._asker.close()
        for process in reversed(self._processes.values()):
            process.stop()
        self._reserved.close()
