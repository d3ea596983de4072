"""Logging in: which kubeconfig is read, and what is wrong with one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from inferway_kube import login
from inferway_kube.errors import NoCluster


def kubeconfig(host: str, name: str = "here", namespace: str = "") -> str:
    """One with a context of this name."""
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    return json.dumps(
        {
            "clusters": [{"name": name, "cluster": {"server": f"https://{host}:6443"}}],
            "users": [{"name": name, "user": {"token": "secret"}}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        }
    )


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not in a pod, with a home of the test's own."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("host", "address"), [("192.0.2.1", "192.0.2.1"), ("[2001:db8::1]", "2001:db8::1"), ("api.example.com", "")]
)
def test_login_knows_the_address_and_the_namespace(tmp_path: Path, host: str, address: str) -> None:
    (tmp_path / "config").write_text(kubeconfig(host, namespace="team"))
    account = asyncio.run(login.with_kubeconfig(str(tmp_path / "config")))
    assert (account.address, account.namespace, account.server) == (address, "team", f"https://{host}:6443")


def test_login_prefers_the_files_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoCluster, match="does not exist"):
        asyncio.run(login.with_kubeconfig())
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(kubeconfig("192.0.2.1"))
    assert asyncio.run(login.from_environment()).address == "192.0.2.1"
    for number in (2, 3):
        (tmp_path / f"config-{number}").write_text(kubeconfig(f"192.0.2.{number}", f"c{number}"))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{tmp_path}/config-2:{tmp_path}/config-3")
    assert asyncio.run(login.with_kubeconfig(context="c2")).address == "192.0.2.2"
    assert asyncio.run(login.with_kubeconfig(context="c3")).address == "192.0.2.3"


def test_login_names_both_ways_where_none_works() -> None:
    assert not login.is_pod()
    with pytest.raises(NoCluster, match=r"not a pod with a token .*; there is no kubeconfig: "):
        asyncio.run(login.from_environment())
