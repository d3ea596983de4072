"""The webhook's port with an authority of clients: only their certificates are let in, and the file may change."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import operator_http
import pytest
import trustme
from admission_reviews import review, route
from operator_http import RunningServer, write_pair
from pydantic import ValidationError

from inferway_operator.http_server.serving_certificate import ServingCertificate
from inferway_operator.settings import HttpSettings
from inferway_testing.until import DEADLINE, until

pytestmark = pytest.mark.outside


@pytest.fixture(scope="module")
def server_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def client_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def authority_file(client_authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    client_authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def running(server_authority: trustme.CA, tmp_path: Path, authority_file: Path) -> Iterator[RunningServer]:
    pair = write_pair(server_authority, tmp_path)
    with operator_http.running(pair, webhook_client_ca=authority_file) as made:
        yield made


def status(
    running: RunningServer, server_authority: trustme.CA, issuer: trustme.CA | None, **options: object
) -> int | None:
    """The status of a review; None = the connection was refused."""
    context = ssl.create_default_context()
    server_authority.configure_trust(context)
    for name, value in options.items():
        setattr(context, name, value)
    if issuer is not None:
        issuer.issue_cert("apiserver").configure_cert(context)
    try:
        with httpx.Client(verify=context, timeout=DEADLINE) as client:
            return client.post(running.webhook_url, json=review(route())).status_code
    except httpx.TransportError:
        return None


def test_only_certificates_by_the_authority_are_let_in(
    running: RunningServer, server_authority: trustme.CA, client_authority: trustme.CA
) -> None:
    assert status(running, server_authority, client_authority) == 200
    assert status(running, server_authority, None) is None
    assert status(running, server_authority, server_authority) is None
    assert status(running, server_authority, None, maximum_version=ssl.TLSVersion.TLSv1_2) is None
    assert httpx.get(f"{running.url}/healthz").status_code == 200  # the probes' port needs none


def test_changed_authority_is_loaded_and_a_broken_one_ignored(
    running: RunningServer, server_authority: trustme.CA, client_authority: trustme.CA, authority_file: Path
) -> None:
    authority_file.write_text("none")
    until(lambda: running.metric("webhook_certificate_usable") == 0, "the file is seen to be broken")
    assert status(running, server_authority, client_authority) == 200
    newer = trustme.CA()
    newer.cert_pem.write_to_path(authority_file)
    until(lambda: status(running, server_authority, newer) == 200, "the newer authority is loaded")
    assert status(running, server_authority, client_authority) is None


def test_missing_authority_lets_no_client_in(
    server_authority: trustme.CA, client_authority: trustme.CA, tmp_path: Path
) -> None:
    missing = tmp_path / "ca.crt"
    with operator_http.running(write_pair(server_authority, tmp_path), webhook_client_ca=missing) as running:
        assert status(running, server_authority, client_authority) is None
        client_authority.cert_pem.write_to_path(missing)
        until(lambda: status(running, server_authority, client_authority) == 200, "the authority is loaded")


def test_unusable_authority_is_named(server_authority: trustme.CA, tmp_path: Path) -> None:
    pair = write_pair(server_authority, tmp_path)
    with pytest.raises(OSError, match=r"cannot read .*ca\.crt: No such file"):
        ServingCertificate(*pair, tmp_path / "ca.crt").refresh()
    (tmp_path / "ca.crt").write_text("none")
    with pytest.raises(ValueError, match=r"ca\.crt has no certificates of an authority"):
        ServingCertificate(*pair, tmp_path / "ca.crt").refresh()


def test_authority_without_tls_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="webhook_client_ca needs webhook_cert"):
        HttpSettings(webhook_client_ca=tmp_path / "ca.crt")
    assert HttpSettings(webhook_client_ca="").webhook_client_ca is None
