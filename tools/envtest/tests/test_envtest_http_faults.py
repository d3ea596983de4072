"""The proxy answers requests with a fault, and forwards all others, watches too."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx
import pytest

from inferway_envtest import ApiServer, Fault, HttpFaults
from inferway_envtest.kubectl import run


@pytest.fixture
def faults(api_server: ApiServer) -> Iterator[HttpFaults]:
    with api_server.http_faults() as running:
        yield running


@pytest.fixture
def client(api_server: ApiServer, faults: HttpFaults) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"https://127.0.0.1:{faults.port}",
        verify=ssl.create_default_context(cafile=str(api_server.ca_file)),
        headers={"authorization": f"Bearer {api_server.admin_token}"},
        trust_env=False,
    ) as running:
        yield running


def test_proxy_without_faults_forwards_requests(api_server: ApiServer, faults: HttpFaults, namespace: str) -> None:
    config = api_server.through(faults)
    output = run(["create", "configmap", "a", "-n", namespace, "--from-literal=a=b"], config, "", check=True)
    assert output.stdout == "configmap/a created\n"
    assert run(["get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data.a}"], config, "", check=True).stdout == "b"


def test_fault_answers_the_nth_matching_requests(client: httpx.Client, faults: HttpFaults, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    fault = faults.add(Fault("POST", "/configmaps", code=429, skip=1, times=2, headers={"retry-after": "1"}))
    answers = [client.post(path, json={"metadata": {"name": name}}) for name in "abcd"]
    assert [answer.status_code for answer in answers] == [201, 429, 429, 201]
    assert answers[1].headers["retry-after"] == "1"
    assert answers[1].json()["reason"] == "TooManyRequests"
    assert fault.hits == 2
    names = [item["metadata"]["name"] for item in client.get(path).json()["items"]]
    assert sorted(names) == ["a", "d"]


def test_fault_with_is_done_hides_a_performed_write(client: httpx.Client, faults: HttpFaults, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    faults.add(Fault("POST", "/configmaps", code=500, is_done=True))
    assert client.post(path, json={"metadata": {"name": "a"}}).status_code == 500
    assert client.get(f"{path}/a").status_code == 200


def test_fault_callback_runs_between_two_writes(client: httpx.Client, faults: HttpFaults, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    statuses: list[int] = []
    faults.add(Fault("POST", skip=1, call=lambda: statuses.append(client.get(f"{path}/a").status_code)))
    assert [client.post(path, json={"metadata": {"name": name}}).status_code for name in "abc"] == [201, 201, 201]
    assert statuses == [200]


def test_heal_removes_every_fault(client: httpx.Client, faults: HttpFaults) -> None:
    faults.add(Fault(code=503, times=100))
    assert client.get("/readyz").status_code == 503
    faults.heal()
    assert client.get("/readyz").text == "ok"


def test_watch_is_forwarded_piece_by_piece(client: httpx.Client, api_server: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with client.stream("GET", f"{path}?watch=true") as watch:
        lines = watch.iter_lines()
        api_server.ask("POST", path, {"metadata": {"name": "seen"}})
        assert '"ADDED"' in next(line for line in lines if '"seen"' in line)


def test_fault_with_is_event_sends_an_error_event(client: httpx.Client, faults: HttpFaults, namespace: str) -> None:
    faults.add(Fault("GET", "watch=true", code=410, is_event=True))
    answer = client.get(f"/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=1")
    assert answer.status_code == 200
    assert (answer.json()["type"], answer.json()["object"]["code"]) == ("ERROR", 410)
