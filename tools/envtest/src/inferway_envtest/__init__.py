"""A real API server for tests: kube-apiserver, etcd and kube-controller-manager as local processes.

In a test:

    def test_something(api_server: ApiServer, namespace: str) -> None:
        api_server.kubectl("apply", "-n", namespace, "-f", "-", input=manifests)
        config = api_server.kubeconfig()

Fixtures (conftest.py at the root; a session that uses none of them starts nothing):

- `api_server`: `ApiServer`, one for the whole session, with the definitions of crds/ established. Tests share it, so each
  test uses its own namespaces, and its own names for cluster-wide objects.
- `namespace`: the name of a fresh namespace, deleted afterwards (without waiting for it).
- `gateway_api`: installs the ReferenceGrant definition of the Gateway API (or skips, if it is not available).
  It stays until the session ends; `api_server.kubectl("delete", "crd", ...)` is for tests with a separate server.

`ApiServer` (module `server`; `with ApiServer.started(find()) as api` starts a separate server for one test):

- `url`, `port`, `ca_file`, `directory`, `admin` (a `User`, group system:masters), `admin_token`
- `kubeconfig(user=admin, server=url, namespace="default") -> Path`; `through(proxy, user=admin) -> Path`: by a `FaultyTcp`
- `http_faults()`: a proxy for `through` that answers some requests by itself (`Fault("PATCH", "/configmaps/", code=409)`)
- `user(name, group="testers") -> User`: by a client certificate
- `service_account(namespace, name, rules=[...], cluster_rules=[...], seconds=86400) -> User`: exists, has the rights of
  these RBAC rules, and a token of the TokenRequest API
- `kubectl(*arguments, input="", user=admin, check=True) -> Output(stdout, stderr, code)`; raises `KubectlError`
- `ask(method, path, body=None, content_type=...) -> Any`: one request as the admin, JSON in both directions; raises `Refused`
- `mark() -> Mark` and `requests(since=mark, user=..., resource=..., verb=...) -> list[Request]`, `writes(...)`: requests
  to the server, from its audit log
- `pod(namespace, name, labels, address="192.0.2.1", is_ready=True) -> dict`, `set_pod(...)`: a pod object with the
  status of a running one (the endpointslice controller needs a node and an address; slices never name loopback addresses)
- `apply(*paths)`: definitions, awaited until clients find them
- `etcd`, `server`, `controllers`: `Process(pid, log, ...)`; `stop_server()`, `start_server()`: an outage that keeps the data

The module `binaries` documents where the programs are searched and how they are built; see also docs/testing.md.
"""

from inferway_envtest.binaries import MissingProgramsError, find
from inferway_envtest.http_faults import Fault, HttpFaults
from inferway_envtest.server import ApiServer
from inferway_envtest.users import User

__all__ = ["ApiServer", "Fault", "HttpFaults", "MissingProgramsError", "User", "find"]
