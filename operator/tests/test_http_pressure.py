"""Idle connections, slow clients and hostile reviews do not keep probes, metrics and valid reviews from their answers."""

import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import operator_http
import pytest
import trustme
from admission_reviews import ANSWER, answering, review, route
from operator_http import RunningServer, write_pair

from inferway_operator.admission import review as admission_review
from inferway_operator.http_server import review_pool, webhook
from inferway_operator.http_server.listener import LIMITS
from inferway_testing.until import DEADLINE, until

pytestmark = pytest.mark.outside

IDLE = 300
SECONDS = float(os.environ.get("PRESSURE_SECONDS", "7"))
"""More than the 5 s of a head. By hand: 80."""
ROUND = 4.0
"""Seconds after which idle connections are opened again: the port closes those without a whole head."""
WITHIN = 1.0 if "PRESSURE_SECONDS" in os.environ else 3.0
"""Seconds. All clients of this test and the server share one interpreter, and the suite's machine may be busy."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def running(authority: trustme.CA, tmp_path: Path) -> Iterator[RunningServer]:
    with operator_http.running(write_pair(authority, tmp_path)) as made:
        yield made


def hostile_route(number: int) -> dict[str, Any]:
    """Nearly 256 KiB of patterns at the bound of one pattern, each of them new."""
    rules = [
        {
            "matches": [
                {
                    "path": {
                        "type": "RegularExpression",
                        "value": rf"/{number}/{rule}/{match}(?:\pL[a-z0-9]{{1,50}}){{1,2}}" + "x" * 120,
                    }
                }
                for match in range(16)
            ],
            "filters": [ANSWER],
        }
        for rule in range(64)
    ]
    return route(f"hostile-{number}", *rules)


@contextmanager
def idle_connections(running: RunningServer) -> Iterator[None]:
    """On both ports: silent ones, ones in the middle of a head, ones in the middle of a TLS handshake or of a body."""
    beginnings = {
        running.server.probes.address: b"GET /hea",
        running.webhook: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }
    with ExitStack() as stack:
        for address, beginning in beginnings.items():
            for number in range(IDLE):
                connection = stack.enter_context(socket.create_connection(address, DEADLINE))
                if number % 2:
                    with suppress(ConnectionError):  # evicted already
                        connection.sendall(beginning)
        yield


@contextmanager
def repeating(*acts: Callable[[], None]) -> Iterator[None]:
    """Repeat each act in a thread of its own until the block ends."""
    has_ended = threading.Event()

    def repeat(act: Callable[[], None]) -> None:
        while not has_ended.is_set():
            act()

    threads = [threading.Thread(target=repeat, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        has_ended.set()
        for thread in threads:
            thread.join(DEADLINE)


def test_probes_and_reviews_answer_under_pressure(running: RunningServer, client_tls: ssl.SSLContext) -> None:
    numbers = iter(range(1_000_000))

    def send_hostile_review() -> None:
        with httpx.Client(verify=client_tls, timeout=DEADLINE) as client:
            assert client.post(running.webhook_url, json=review(hostile_route(next(numbers)))).status_code == 200

    slowest: dict[str, float] = {}

    def check(name: str, ask: Callable[[httpx.Client], httpx.Response]) -> None:
        began = monotonic()
        with httpx.Client(verify=client_tls, timeout=DEADLINE) as client:
            assert ask(client).status_code == 200
        slowest[name] = max(slowest.get(name, 0.0), monotonic() - began)

    valid = review(route("valid", answering("/valid")))
    with repeating(send_hostile_review):
        end = monotonic() + SECONDS
        while monotonic() < end:
            with idle_connections(running):
                next_round = monotonic() + ROUND
                while monotonic() < next_round:
                    for page in ("/healthz", "/readyz", "/metrics"):
                        check(page, lambda client, page=page: client.get(f"{running.url}{page}"))
                    check("review", lambda client: client.post(running.webhook_url, json=valid))
    print({name: round(seconds, 3) for name, seconds in slowest.items()})
    assert max(slowest.values()) < WITHIN
    assert running.metric("connections_closed_total", port="probes", reason="evicted") >= IDLE - LIMITS.connections
    assert running.metric("connections_closed_total", port="reviews", reason="evicted") >= IDLE - LIMITS.connections


def connected(running: RunningServer, client_tls: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(running.webhook, DEADLINE)
    return client_tls.wrap_socket(raw, server_hostname="127.0.0.1")


def test_oldest_incomplete_body_gives_way_to_newer_ones(
    running: RunningServer, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = b" " * (webhook.MOST_BYTES - 1)
    head = b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % webhook.MOST_BYTES
    number = webhook.MOST_BYTES_TOGETHER // webhook.MOST_BYTES
    with ExitStack() as stack:
        stalled = [stack.enter_context(connected(running, client_tls)) for _ in range(number)]
        for connection in stalled:
            connection.sendall(head + piece)
        with httpx.Client(verify=client_tls, timeout=DEADLINE) as client:
            body = json.dumps(review(route())).encode() + b" " * (3 << 20)
            for _ in range(3):
                assert client.post(running.webhook_url, content=body).json()["response"]["allowed"] is True
        assert stalled[0].recv(1) == b"", "the oldest was closed"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[str]]]:
    """Reviews of routes called `slow...` take until the event is set. The list has the names of those that have begun."""
    may_end, begun, answer = threading.Event(), list[str](), admission_review.answer

    def slow(asked: Any, world: Any) -> Any:
        name = asked["request"]["object"]["metadata"]["name"]
        begun.append(name)
        if name.startswith("slow"):
            assert may_end.wait(DEADLINE)
        return answer(asked, world)

    monkeypatch.setattr(admission_review, "answer", slow)
    yield may_end, begun
    may_end.set()


def in_namespace(namespace: str, name: str) -> dict[str, Any]:
    return review(route(name), namespace=namespace)


def test_reviews_of_one_namespace_leave_threads_to_others(
    running: RunningServer, client_tls: ssl.SSLContext, held: tuple[threading.Event, list[str]]
) -> None:
    may_end, begun = held
    statuses: list[tuple[int, str]] = []

    def send(name: str) -> None:
        with httpx.Client(verify=client_tls, timeout=DEADLINE) as client:
            answer = client.post(running.webhook_url, json=in_namespace("hostile", name))
            statuses.append((answer.status_code, answer.text))

    most = review_pool.MOST_OF_A_NAMESPACE
    threads = [threading.Thread(target=send, args=(f"slow-{number}",)) for number in range(most + 1)]
    for thread in threads:
        thread.start()
    until(lambda: len(begun) == review_pool.THREADS_OF_A_NAMESPACE and statuses, "two run, the others wait")
    assert statuses == [(503, "too many reviews of namespace hostile at once: try again\n")]
    with httpx.Client(verify=client_tls, timeout=DEADLINE) as client:
        assert client.post(running.webhook_url, json=in_namespace("demo", "quick")).status_code == 200
        assert httpx.get(f"{running.url}/healthz").status_code == 200
    may_end.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert sorted(status for status, _ in statuses) == [200] * most + [503]
    assert running.metric("admission_reviews_total", kind="other", decision="overloaded") == 1


def test_review_is_answered_at_its_deadline_and_recovers(
    running: RunningServer,
    client_tls: ssl.SSLContext,
    held: tuple[threading.Event, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, _ = held
    monkeypatch.setattr(running.server.webhook.pool, "seconds", 0.05)
    with httpx.Client(verify=client_tls, timeout=DEADLINE) as client:
        answers = [client.post(running.webhook_url, json=in_namespace("demo", f"slow-{n}")) for n in range(6)]
        assert {(answer.status_code, answer.text) for answer in answers} == {
            (503, "no review within 0.05 s: try again\n")
        }
        assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
        may_end.set()
        monkeypatch.setattr(running.server.webhook.pool, "seconds", DEADLINE)
        assert client.post(running.webhook_url, json=in_namespace("demo", "quick")).status_code == 200
    until(lambda: not running.server.webhook.pool.waiting, "all is given back")


def test_malformed_requests_are_answered_and_not_logged(
    running: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    for request in (b"\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n"):
        with socket.create_connection(running.server.probes.address, DEADLINE) as connection:
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.")
    assert caplog.text == ""
