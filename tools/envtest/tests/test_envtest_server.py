"""The API server for tests is a real one, and its helpers behave as documented."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from inferway_envtest import ApiServer
from inferway_envtest.client import Refused
from inferway_envtest.kubectl import KubectlError
from inferway_envtest.process import Crashed, Process
from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_testing.until import until

CONFIG_MAP = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "value"}}'


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_kubectl_apply_stores_an_object(api_server: ApiServer, namespace: str) -> None:
    output = api_server.kubectl("apply", "-n", namespace, "-f", "-", input=CONFIG_MAP)
    assert output.stdout == "configmap/a created\n"
    assert api_server.ask("GET", f"{config_maps(namespace)}/a")["data"] == {"key": "value"}


def test_kubectl_failure_carries_its_message(api_server: ApiServer, namespace: str) -> None:
    with pytest.raises(KubectlError, match='configmaps "b" not found'):
        api_server.kubectl("get", "configmap", "b", "-n", namespace)
    assert api_server.kubectl("get", "configmap", "b", "-n", namespace, check=False).code == 1


def test_service_account_has_the_rights_of_its_rules_only(api_server: ApiServer, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}
    everywhere = {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}
    user = api_server.service_account(namespace, "reader", [rule], [everywhere])
    api_server.kubectl("create", "configmap", "a", "-n", namespace, user=user)
    assert api_server.kubectl("get", "configmap", "a", "-n", namespace, user=user).code == 0
    assert api_server.kubectl("get", "services", "-A", user=user).code == 0
    with pytest.raises(KubectlError, match=f'User "system:serviceaccount:{namespace}:reader" cannot delete'):
        api_server.kubectl("delete", "configmap", "a", "-n", namespace, user=user)
    with pytest.raises(KubectlError, match='cannot get resource "configmaps"'):
        api_server.kubectl("get", "configmap", "a", "-n", "default", user=user)


def test_user_certificate_carries_name_and_group(api_server: ApiServer) -> None:
    output = api_server.kubectl("auth", "whoami", user=api_server.user("some-user", "some-group"))
    assert "some-user" in output.stdout
    assert "some-group" in output.stdout


def test_requests_are_counted_by_user_verb_and_resource(api_server: ApiServer, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch", "list"]}
    user = api_server.service_account(namespace, "writer", [rule])
    mark = api_server.mark()
    api_server.kubectl("create", "configmap", "a", "-n", namespace, user=user)
    api_server.kubectl("create", "configmap", "other", "-n", namespace)
    api_server.kubectl("patch", "configmap", "a", "-n", namespace, "-p", '{"data": {"a": "b"}}', user=user, check=False)
    api_server.kubectl("get", "configmaps", "-n", namespace, user=user)
    seen = api_server.writes(mark, user=user)
    # kubectl gets before it patches; this account has no right to get, so the patch is never sent
    assert [(one.verb, one.resource, one.name, one.code) for one in seen] == [("create", "configmaps", "a", 201)]
    assert [one.code for one in api_server.requests(mark, user=user, verb="get")] == [403]
    assert len(api_server.requests(mark, user=user, resource="configmaps", verb="list")) == 1
    assert [one.name for one in api_server.writes(mark, user="admin", resource="configmaps")] == ["other"]
    assert api_server.requests(api_server.mark()) == []


@pytest.mark.slow
def test_deleted_namespace_is_removed_with_its_objects(api_server: ApiServer, namespace: str) -> None:
    api_server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": f"{namespace}-gone"}})
    api_server.kubectl("create", "configmap", "a", "-n", f"{namespace}-gone")
    api_server.kubectl("delete", "namespace", f"{namespace}-gone", "--timeout=40s")
    with pytest.raises(Refused, match="404"):
        api_server.ask("GET", f"/api/v1/namespaces/{namespace}-gone")


def test_owned_object_is_deleted_with_its_owner(api_server: ApiServer, namespace: str) -> None:
    owner = api_server.ask("POST", config_maps(namespace), {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    api_server.ask("POST", config_maps(namespace), owned)
    api_server.ask("DELETE", f"{config_maps(namespace)}/owner")

    def names() -> list[str]:
        return [item["metadata"]["name"] for item in api_server.ask("GET", config_maps(namespace))["items"]]

    until(lambda: names() == [], "the owned object is collected", 30)


def test_service_with_pods_gets_endpoint_slices(api_server: ApiServer, namespace: str) -> None:
    api_server.pod(namespace, "a", {"app": "a"}, "192.0.2.1")
    service = {"metadata": {"name": "a"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}}
    api_server.ask("POST", f"/api/v1/namespaces/{namespace}/services", service)

    def addresses() -> list[str]:
        slices = api_server.ask("GET", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
        return [address for one in slices for endpoint in one["endpoints"] or () for address in endpoint["addresses"]]

    until(lambda: addresses() == ["192.0.2.1"], "an endpoint slice with the pod", 20)
    api_server.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/a")
    until(lambda: addresses() == [], "an endpoint slice without the pod", 20)


def test_reference_grants_are_installed_on_request(api_server: ApiServer, namespace: str, gateway_api: None) -> None:
    output = api_server.kubectl("get", "referencegrants", "-n", namespace)
    assert output.stderr.startswith("No resources found")


def test_kubeconfig_through_a_proxy_uses_the_proxy(api_server: ApiServer) -> None:
    with FaultyTcp(api_server.port) as proxy:
        environment = {"KUBECONFIG": str(api_server.through(proxy))}
        kubectl = [str(Path(sys.executable).with_name("kubectl")), "get", "--raw", "/readyz"]
        assert subprocess.run(kubectl, env=environment, capture_output=True, check=True).stdout == b"ok"
        proxy.change(accepting=Accepting.REFUSE)
        proxy.cut_all()
        assert b"refused" in subprocess.run(kubectl, env=environment, capture_output=True, check=False).stderr
        proxy.heal()
        assert subprocess.run(kubectl, env=environment, capture_output=True, check=True).stdout == b"ok"


# --- a separate server -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_data_port_and_users_survive_a_restart(api_server_programs: dict[str, Path]) -> None:
    with ApiServer.started(api_server_programs) as api:
        api.ask("POST", config_maps("default"), {"metadata": {"name": "a"}})
        user = api.service_account("default", "a")
        api.stop_server()
        with pytest.raises(httpx.ConnectError):
            api.ask("GET", "/readyz")
        api.start_server()
        assert api.ask("GET", f"{config_maps('default')}/a")["metadata"]["name"] == "a"
        assert user.name in api.kubectl("auth", "whoami", user=user).stdout


@pytest.mark.slow
def test_crashed_program_is_reported_with_its_last_output(api_server_programs: dict[str, Path]) -> None:
    with ApiServer.started(api_server_programs) as api:
        until(lambda: "Starting" in api.controllers.tail(), "the controllers' first words")
        api.check()
        os.kill(api.controllers.pid, signal.SIGKILL)
        api.controllers.running.wait()
        with pytest.raises(Crashed, match=r"(?s)kube-controller-manager ended with -9. Its last words:.*Starting"):
            api.check()


def test_wrong_flag_is_reported_with_the_output(api_server_programs: dict[str, Path], tmp_path: Path) -> None:
    process = Process.started(api_server_programs["kube-controller-manager"], ["--no-such-flag"], tmp_path)
    process.running.wait(20)
    with pytest.raises(Crashed, match="unknown flag: --no-such-flag"):
        process.check()
    process.stop()
