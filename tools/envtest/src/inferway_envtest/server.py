"""The three programs together: an API server that tests can use."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx

from inferway_envtest import arguments, audit, grants, kubectl, pods, users
from inferway_envtest.asking import Asker, Refused
from inferway_envtest.audit import Mark, Request
from inferway_envtest.authority import Authority
from inferway_envtest.http_faults import HttpFaults
from inferway_envtest.process import Process
from inferway_envtest.programs import Programs
from inferway_envtest.users import User
from inferway_envtest.waiting import until

READY = 60.0  # seconds; on two idle cores it takes four
ESTABLISHED = 20.0  # seconds


class Proxy(Protocol):
    """What forwards a port of 127.0.0.1 to the API server's: `inferway_fakes.faulty_tcp.FaultyTcp` is one."""

    port: int


class ApiServer:
    """See the package's documentation for what it gives."""

    def __init__(self, programs: Programs, directory: Path) -> None:
        self.directory = directory
        self._programs = programs
        self._authority = Authority(directory)
        self.ca_file = self._authority.file
        self.admin_token = secrets.token_hex(16)
        self.admin = User("admin", token=self.admin_token)
        # The port is ours for as long as this socket is open, which nobody can connect to: it does not listen.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._asker = Asker(self.url, self.ca_file, self.admin_token)
        self._audit_log = directory / "audit.log"
        (directory / "audit-policy.yaml").write_text(audit.POLICY)
        (directory / "tokens.csv").write_text(f'{self.admin_token},admin,admin,"{users.ADMINS}"\n')
        self._processes: dict[str, Process] = {}

    @classmethod
    @contextmanager
    def started(cls, programs: Programs, definitions: Sequence[Path] = ()) -> Iterator[ApiServer]:
        """A running one, ready, with definitions (files or folders of CRDs) established, until the block ends."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="envtest-")))
            server = cls(programs, directory)
            stack.callback(server._close)
            server._start("etcd", arguments.etcd(directory))
            server.start_server()
            if definitions:
                server.apply(*definitions)
            server.ask("POST", "/api/v1/nodes", pods.node())
            # Last, so that the garbage collector finds the definitions when it looks for the first time.
            manager = server.user("system:kube-controller-manager", users.ADMINS)
            server._start("kube-controller-manager", arguments.controllers(server.kubeconfig(manager)))
            yield server

    @property
    def etcd(self) -> Process:
        """The store."""
        return self._processes["etcd"]

    @property
    def server(self) -> Process:
        """The API server itself."""
        return self._processes["kube-apiserver"]

    @property
    def controllers(self) -> Process:
        """Ends namespaces, collects garbage, writes EndpointSlices."""
        return self._processes["kube-controller-manager"]

    # --- processes ---------------------------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start kube-apiserver and wait until it is ready. Raises `Crashed` or `TooLate`."""
        policy = self.directory / "audit-policy.yaml"
        tokens = self.directory / "tokens.csv"
        self._start(
            "kube-apiserver",
            arguments.server(self.directory, self._authority, self.port, tokens, policy, self._audit_log),
        )
        until(self._is_ready, lambda: f"kube-apiserver is ready. Its last words:\n{self.server.tail()}", READY)

    def stop_server(self) -> None:
        """Kill kube-apiserver: connections break, new ones are refused. `start_server` has the same port and data."""
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
        """Raise `Crashed` when one of the programs runs no more."""
        for process in self._processes.values():
            process.check()

    def _close(self) -> None:
        self._asker.close()
        for process in reversed(self._processes.values()):
            process.stop()
        self._reserved.close()

    # --- users -------------------------------------------------------------------------------------------------------

    def user(self, name: str, group: str = "testers") -> User:
        """A user with a certificate, in one group."""
        certificate, key = self._authority.for_user(name, group)
        return User(name, certificate=certificate, key=key)

    def service_account(
        self,
        namespace: str,
        name: str,
        rules: Sequence[grants.Rule] = (),
        cluster_rules: Sequence[grants.Rule] = (),
        seconds: int = 86400,
    ) -> User:
        """A new ServiceAccount that may do what the RBAC rules say, with a token that holds for so many seconds (>= 600)."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.ask("POST", accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        for path, manifest in grants.objects(namespace, name, rules, cluster_rules):
            self.ask("POST", path, manifest)
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        granted = self.ask("POST", f"{accounts}/{name}/token", wanted)
        return User(f"system:serviceaccount:{namespace}:{name}", token=granted["status"]["token"])

    def kubeconfig(self, user: User | None = None, server: str = "", namespace: str = "default") -> Path:
        """A file that says: this user (else the admin) asks this address (else the server's own)."""
        text = users.kubeconfig(user or self.admin, server or self.url, self._authority.data, namespace)
        folder = self.directory / "kubeconfigs"
        folder.mkdir(exist_ok=True)
        file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"
        if not file.exists():
            file.write_text(text)
        return file

    def through(self, proxy: Proxy, user: User | None = None) -> Path:
        """A kubeconfig that goes by a proxy on 127.0.0.1; the server's certificate holds for it too."""
        return self.kubeconfig(user, f"https://127.0.0.1:{proxy.port}")

    def http_faults(self) -> HttpFaults:
        """A proxy, to be entered, that answers some requests by itself; for `through`, and users with a token."""
        keys = self._authority
        return HttpFaults(self.url, keys.file, keys.server_certificate, keys.server_key)

    # --- requests ----------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One request as the admin; JSON both ways. Raises `Refused`."""
        return self._asker.ask(method, path, body, content_type)

    def kubectl(self, *command: str, input: str = "", user: User | None = None, check: bool = True) -> kubectl.Said:  # noqa: A002
        """Run kubectl. Raises `KubectlError` when it fails, unless `check` is false."""
        return kubectl.run(command, self.kubeconfig(user), input, check=check)

    def apply(self, *paths: Path) -> None:
        """Apply definitions, from files or folders (of which the YAML files count), and wait until they are established."""
        files = [argument for path in paths for argument in ("-f", str(path))]
        said = self.kubectl("apply", "--server-side", "-o", "json", *files)
        applied = json.loads(said.stdout)
        items = applied["items"] if applied["kind"] == "List" else [applied]
        for name in [item["metadata"]["name"] for item in items if item["kind"] == "CustomResourceDefinition"]:
            until(partial(self._is_established, name), f"{name} is established", ESTABLISHED)

    def pod(
        self, namespace: str, name: str, labels: Mapping[str, str], address: str = "192.0.2.1", *, is_ready: bool = True
    ) -> dict[str, Any]:
        """A pod that looks as if it ran; returns the object. No process belongs to it but those the test starts."""
        folder = f"/api/v1/namespaces/{namespace}/pods"
        self.ask("POST", folder, pods.pod(name, labels))
        self.set_pod(namespace, name, address, is_ready=is_ready)
        return dict(self.ask("GET", f"{folder}/{name}"))

    def set_pod(self, namespace: str, name: str, address: str = "192.0.2.1", *, is_ready: bool = True) -> None:
        """Change a pod's status: its address, and whether it is ready."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.ask("PATCH", path, pods.status(address, is_ready=is_ready), "application/merge-patch+json")

    def _is_established(self, definition: str) -> bool:
        found = self.ask("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition}")
        conditions = found.get("status", {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    # --- what was asked ----------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """Now, for `requests` and `writes`."""
        return Mark(self._audit_log.stat().st_size)

    def requests(
        self, since: Mark = audit.BEGINNING, *, user: str | User = "", resource: str = "", verb: str = ""
    ) -> list[Request]:
        """What the server was asked and has answered since; by user, resource (`pods`, `gatewayroutes/status`), verb."""
        name = user.name if isinstance(user, User) else user
        return [
            request
            for request in audit.read(self._audit_log, since)
            if name in ("", request.user) and resource in ("", request.resource) and verb in ("", request.verb)
        ]

    def writes(self, since: Mark = audit.BEGINNING, *, user: str | User = "", resource: str = "") -> list[Request]:
        """Of these, those that may change something."""
        return [
            request for request in self.requests(since, user=user, resource=resource) if request.verb in audit.WRITES
        ]
