"""The webhook over real sockets with TLS: reviews, hostile bodies, certificates that come and change."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import operator_http
import pytest
import trustme
from admission_reviews import answering, policy, review, route
from cryptography.hazmat.primitives import serialization
from operator_http import RunningServer, write_pair

from inferway_operator.http_server import webhook
from inferway_operator.http_server.serving_certificate import ServingCertificate
from inferway_operator.world.world import World, from_manifests
from inferway_testing.until import DEADLINE, until

pytestmark = pytest.mark.outside


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


@pytest.fixture
def client(client_tls: ssl.SSLContext) -> Iterator[httpx.Client]:
    with httpx.Client(verify=client_tls, timeout=DEADLINE) as made:
        yield made


@pytest.fixture
def post(running: RunningServer, client: httpx.Client) -> Callable[[bytes], httpx.Response]:
    return lambda body: client.post(running.webhook_url, content=body)


def test_review_is_answered_and_counted(running: RunningServer, client: httpx.Client) -> None:
    answer = client.post(running.webhook_url, json=review(route("shop", {"typo": 1})))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    response = answer.json()["response"]
    assert response["allowed"] is False
    assert response["status"]["message"] == "spec.rules[0].typo: unknown field; remove it or correct its spelling"
    running.operator.newest_world = from_manifests([route("older", answering("/a"), created="")], standalone=False)
    told = client.post(running.webhook_url, json=review(route("shop", answering("/a")))).json()["response"]
    assert told["warnings"] == ["rule rule-0: PathPrefix /a on any host belongs to the older demo/older rule rule-0"]
    running.operator.newest_world = None
    assert client.post(running.webhook_url, json=review(policy(limits=[]))).json()["response"]["allowed"] is True
    assert running.metric("admission_reviews_total", kind="GatewayRoute", decision="denied") == 1
    assert running.metric("admission_reviews_total", kind="GatewayRoute", decision="warned") == 1
    assert running.metric("admission_reviews_total", kind="RateLimitPolicy", decision="warned") == 1
    assert running.metric("admission_review_seconds_count") == 3


def test_webhook_serves_only_post_on_validate(running: RunningServer, client: httpx.Client) -> None:
    assert client.get(running.webhook_url).status_code == 405
    assert client.post(running.webhook_url + "/more", json={}).status_code == 404
    assert client.get(running.webhook_url.replace("/validate", "/metrics")).status_code == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe\xfd", "the body is not JSON"),
        (b'{"a": ' + b"7" * 5000 + b"}", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON: recursion limit exceeded"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", "the body has too many values"),
        (b"null", "the body is not an AdmissionReview with a request"),
        (b'"review"', "the body is not an AdmissionReview with a request"),
        (b'{"request": {"uid": "1"}}', "the body is not an AdmissionReview of admission.k8s.io/v1"),
        (b"NaN", "the body is not an AdmissionReview with a request"),
    ],
)
def test_malformed_review_body_is_answered_400(post: Callable[[bytes], httpx.Response], body: bytes, told: str) -> None:
    answer = post(body)
    assert answer.status_code == 400
    assert answer.json()["kind"] == "Status"
    assert answer.json()["message"].startswith(told)
    assert len(answer.content) < 1000


def test_review_of_the_largest_object_is_read(running: RunningServer, client: httpx.Client) -> None:
    large = route("shop", {"typo": "x" * (3 << 20)})
    answer = client.post(
        running.webhook_url, json=review(large, "UPDATE", oldObject=route("shop", {"typo": "y" * (3 << 19)}))
    )
    assert answer.status_code == 200
    response = answer.json()["response"]
    assert response["allowed"] is False
    assert "the limit is 262144; split it" in response["status"]["message"]
    assert len(answer.content) < 10_000


def test_body_over_the_limit_is_answered_413(running: RunningServer, client: httpx.Client) -> None:
    size = webhook.MOST_BYTES + 1
    pieces = (b" " * 65536 for _ in range(size // 65536 + 1))
    for content in (b" " * size, pieces):
        with suppress(httpx.TransportError):  # it closed while we were still sending: as good an answer
            assert client.post(running.webhook_url, content=content).status_code == 413
    assert client.post(running.webhook_url, json=review(route())).json()["response"]["allowed"] is True


def test_endless_body_is_answered_408(
    running: RunningServer, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.server.webhook.bodies, "seconds", 0.05)
    with (
        socket.create_connection(running.webhook, DEADLINE) as raw,
        client_tls.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 408 ")


def test_unexpected_error_is_answered_500_logged_and_counted(
    running: RunningServer, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(review: object, world: World | None) -> Any:
        raise KeyError("surprise")

    monkeypatch.setattr(webhook.admission_review, "answer", fail)
    assert client.post(running.webhook_url, json=review(route())).status_code == 500
    assert "unexpected error in a review" in caplog.text
    assert running.metric("admission_reviews_total", kind="other", decision="failed") == 1


# --- certificates


def served_certificate(running: RunningServer, trusting: ssl.SSLContext) -> bytes | None:
    try:
        with (
            socket.create_connection(running.webhook, DEADLINE) as raw,
            trusting.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            return connection.getpeercert(binary_form=True)
    except (ssl.SSLError, ConnectionError):
        return None


def test_renewed_certificate_is_served_without_disconnects(
    running: RunningServer, authority: trustme.CA, client_tls: ssl.SSLContext, client: httpx.Client, tmp_path: Path
) -> None:
    before = served_certificate(running, client_tls)
    assert before is not None
    assert client.post(running.webhook_url, json=review(route())).status_code == 200
    write_pair(authority, tmp_path)
    until(lambda: served_certificate(running, client_tls) not in (before, None), "the new certificate is served")
    assert client.post(running.webhook_url, json=review(route())).status_code == 200
    assert running.metric("webhook_certificate_usable") == 1


def test_certificate_without_its_key_is_ignored_and_logged_once(
    running: RunningServer,
    authority: trustme.CA,
    client_tls: ssl.SSLContext,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = served_certificate(running, client_tls)
    old_key = (tmp_path / "tls.key").read_bytes()
    write_pair(authority, tmp_path)
    (tmp_path / "tls.key").write_bytes(old_key)
    until(lambda: running.metric("webhook_certificate_usable") == 0, "the pair is seen to be none")
    assert served_certificate(running, client_tls) == before
    write_pair(authority, tmp_path)
    until(lambda: running.metric("webhook_certificate_usable") == 1, "the pair is one again")
    assert served_certificate(running, client_tls) not in (before, None)
    assert caplog.text.count("webhook certificate unusable") == 1


def test_missing_certificate_is_awaited(
    authority: trustme.CA, client_tls: ssl.SSLContext, client: httpx.Client, tmp_path: Path
) -> None:
    with operator_http.running((tmp_path / "tls.crt", tmp_path / "tls.key")) as running:
        assert httpx.get(f"{running.url}/readyz").status_code == 200
        assert served_certificate(running, client_tls) is None
        write_pair(authority, tmp_path)
        until(lambda: served_certificate(running, client_tls), "the certificate is served")
        assert client.post(running.webhook_url, json=review(route())).json()["response"]["allowed"] is True


def test_key_with_a_passphrase_is_rejected_with_a_message(authority: trustme.CA, tmp_path: Path) -> None:
    certificate, key = write_pair(authority, tmp_path)
    key.write_bytes(_locked(key.read_bytes()))
    with pytest.raises(ValueError, match="has a passphrase"):
        ServingCertificate(certificate, key).refresh()


def _locked(key: bytes) -> bytes:
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def test_tls_below_1_2_is_rejected(running: RunningServer, authority: trustme.CA) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert served_certificate(running, context) is not None
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match=r"TLSv1\b"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    assert served_certificate(running, context) is None
