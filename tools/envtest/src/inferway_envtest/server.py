"""An API server for tests: users, kubectl, pods, the requests it received."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from inferway_envtest import audit_log, kubectl, pods, rbac, users
from inferway_envtest import crds as envtest_crds
from inferway_envtest.audit_log import Mark, Request
from inferway_envtest.binaries import Programs
from inferway_envtest.control_plane import ControlPlane
from inferway_envtest.http_faults import HttpFaults
from inferway_envtest.users import User
from inferway_testing.until import until

ESTABLISHED = 20.0  # seconds


class Proxy(Protocol):
    """A proxy from a port of 127.0.0.1 to the API server, such as `inferway_fakes.faulty_tcp.FaultyTcp`."""

    port: int


class ApiServer(ControlPlane):
    """An API server; see the package's documentation."""

    _applied = 0
    """Number of times that definitions were applied."""

    @classmethod
    @contextmanager
    def started(cls, programs: Programs, crds: Sequence[Path] = ()) -> Iterator[ApiServer]:
        """Run a server with these CRDs (files or folders) established, until the block ends."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="envtest-")))
            server = cls(programs, directory)
            stack.callback(server.close)
            server.start_store()
            server.start_server()
            if crds:
                server.apply(*crds)
            server.ask("POST", "/api/v1/nodes", pods.node())
            server.start_controllers(server.kubeconfig(server.user("system:kube-controller-manager", users.ADMINS)))
            yield server

    def user(self, name: str, group: str = "testers") -> User:
        """Return a user with a certificate, in one group."""
        certificate, key = self._authority.for_user(name, group)
        return User(name, certificate=certificate, key=key)

    def service_account(
        self,
        namespace: str,
        name: str,
        rules: Sequence[rbac.Rule] = (),
        cluster_rules: Sequence[rbac.Rule] = (),
        seconds: int = 86400,
    ) -> User:
        """Create a ServiceAccount with these RBAC rules and a token that is valid for `seconds` (>= 600)."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.ask("POST", accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        for path, manifest in rbac.objects(namespace, name, rules, cluster_rules):
            self.ask("POST", path, manifest)
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        granted = self.ask("POST", f"{accounts}/{name}/token", wanted)
        return User(f"system:serviceaccount:{namespace}:{name}", token=granted["status"]["token"])

    def kubeconfig(self, user: User | None = None, server: str = "", namespace: str = "default") -> Path:
        """Write a kubeconfig for this user (else the admin) and this address (else the server's own)."""
        text = users.kubeconfig(user or self.admin, server or self.url, self._authority.data, namespace)
        # kubectl caches the known kinds next to it for hours; `apply` adds kinds.
        folder = self.directory / f"kubeconfigs-{self._applied}"
        folder.mkdir(exist_ok=True)
        file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"
        if not file.exists():
            file.write_text(text)
        return file

    def through(self, proxy: Proxy, user: User | None = None) -> Path:
        """Write a kubeconfig that uses a proxy on 127.0.0.1; the server's certificate is valid for it too."""
        return self.kubeconfig(user, f"https://127.0.0.1:{proxy.port}")

    def http_faults(self) -> HttpFaults:
        """Return a proxy (a context manager) that answers some requests itself; for `through`, and users with a token."""
        keys = self._authority
        return HttpFaults(self.url, keys.file, keys.server_certificate, keys.server_key)

    def kubectl(self, *command: str, input: str = "", user: User | None = None, check: bool = True) -> kubectl.Said:  # noqa: A002
        """Run kubectl. Raises `KubectlError` if it fails, unless `check` is false."""
        return kubectl.run(command, self.kubeconfig(user), input, check=check)

    def apply(self, *paths: Path) -> None:
        """Apply definitions from files or folders (their YAML files), and wait until clients find them."""
        files = [argument for path in paths for argument in ("-f", str(path))]
        applied = json.loads(self.kubectl("apply", "--server-side", "-o", "json", *files).stdout)
        for item in applied["items"] if applied["kind"] == "List" else [applied]:
            if item["kind"] == "CustomResourceDefinition":
                name = item["metadata"]["name"]
                until(partial(envtest_crds.is_served, self._asker, name), f"{name} is established", ESTABLISHED)
        self._applied += 1

    def pod(
        self, namespace: str, name: str, labels: Mapping[str, str], address: str = "192.0.2.1", *, is_ready: bool = True
    ) -> dict[str, Any]:
        """Create a pod with the status of a running one; returns the object. Only the test starts processes for it."""
        folder = f"/api/v1/namespaces/{namespace}/pods"
        self.ask("POST", folder, pods.pod(name, labels))
        self.set_pod(namespace, name, address, is_ready=is_ready)
        return dict(self.ask("GET", f"{folder}/{name}"))

    def set_pod(self, namespace: str, name: str, address: str = "192.0.2.1", *, is_ready: bool = True) -> None:
        """Change a pod's status: its address, and whether it is ready."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.ask("PATCH", path, pods.status(address, is_ready=is_ready), "application/merge-patch+json")

    def mark(self) -> Mark:
        """Return the current end of the log, for `requests` and `writes`."""
        return Mark(self._audit_log.stat().st_size, datetime.now(UTC).isoformat(timespec="microseconds"))

    def requests(
        self, since: Mark = audit_log.BEGINNING, *, user: str | User = "", resource: str = "", verb: str = ""
    ) -> list[Request]:
        """Return the answered requests since a mark, by user, resource (`pods`, `gatewayroutes/status`), verb."""
        name = user.name if isinstance(user, User) else user
        return [
            request
            for request in audit_log.read(self._audit_log, since)
            if name in ("", request.user) and resource in ("", request.resource) and verb in ("", request.verb)
        ]

    def writes(self, since: Mark = audit_log.BEGINNING, *, user: str | User = "", resource: str = "") -> list[Request]:
        """Return the requests since a mark that may change something.

        Not those in flight at the mark: others may see their result before the line in the log.
        """
        return [
            request
            for request in self.requests(since, user=user, resource=resource)
            if request.verb in audit_log.WRITES and request.at >= since.at
        ]
