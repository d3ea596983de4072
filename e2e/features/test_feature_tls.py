"""TLS towards clients: certificates by name, versions, ALPN, a change of files under open connections."""

import socket
import ssl
from pathlib import Path

import pytest
import trustme

from inferway_dataplane.system.tls import Certificates
from inferway_testing.gateway import DirectoryGateway
from inferway_testing.until import DEADLINE, until

ROUTE = """
    apiVersion: inferway.dev/v1alpha1
    kind: GatewayRoute
    metadata: {name: all}
    spec:
      rules:
      - backendRefs: [{url: "http://127.0.0.1:%d"}]
"""


def issue(authority: trustme.CA, directory: Path, name: str, *names: str) -> tuple[str, str]:
    """Write a certificate and its key to files."""
    issued = authority.issue_cert(*names)
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    part = directory / f"{name}.part"
    for target, blobs in ((certificate, issued.cert_chain_pems), (key, [issued.private_key_pem])):
        part.write_bytes(b"".join(blob.bytes() for blob in blobs))
        part.rename(target)
    return str(certificate), str(key)


class Client:
    """A TLS client that trusts one authority."""

    def __init__(self, authority: trustme.CA, port: int, name: str | None, **options: object) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.check_hostname = name is not None
        for option, value in options.items():
            setattr(context, option, value)
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), DEADLINE), server_hostname=name)

    def names(self) -> set[str]:
        return {value for _, value in self.socket.getpeercert()["subjectAltName"]}  # type: ignore[index, misc]

    def get(self) -> bytes:
        self.socket.sendall(b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n")
        received = b""
        while not received.endswith(b"ok"):
            piece = self.socket.recv(65536)
            assert piece, received
            received += piece
        return received


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def gateway(serve, upstream, tmp_path: Path, authority: trustme.CA) -> DirectoryGateway:
    pairs = [
        issue(authority, tmp_path, "first", "a.example"),
        issue(authority, tmp_path, "second", "b.example", "*.models.example"),
    ]
    return serve(
        ROUTE % upstream.port, tls_cert=",".join(c for c, _ in pairs), tls_key=",".join(key for _, key in pairs)
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.example", {"a.example"}),
        ("b.example", {"b.example", "*.models.example"}),
        ("x.models.example", {"b.example", "*.models.example"}),
        ("X.Models.Example", {"b.example", "*.models.example"}),
    ],
)
def test_certificate_is_selected_by_server_name(gateway, authority, name: str, shown: set[str]) -> None:
    client = Client(authority, gateway.port, name)
    assert client.names() == shown
    assert client.socket.selected_alpn_protocol() == "http/1.1"
    assert client.get().startswith(b"HTTP/1.1 200")
    client.socket.close()


@pytest.mark.parametrize("name", [None, "elsewhere.example"])
def test_unknown_server_name_gets_the_first_certificate(gateway, authority, name: str | None) -> None:
    if name is not None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            Client(authority, gateway.port, name)
        return
    client = Client(authority, gateway.port, None)
    assert client.names() == {"a.example"}
    client.socket.close()


def test_older_tls_versions_are_rejected(gateway, authority) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)), pytest.warns(DeprecationWarning, match="TLSv1_1"):
        Client(authority, gateway.port, "a.example", maximum_version=ssl.TLSVersion.TLSv1_1)


def test_plain_text_request_is_not_answered(gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert not plain.recv(65536).startswith(b"HTTP")


def test_upstream_gets_x_forwarded_proto_https(gateway, upstream, authority) -> None:
    client = Client(authority, gateway.port, "a.example")
    client.get()
    assert upstream.seen[-1].header("x-forwarded-proto") == "https"
    client.socket.close()


def test_renewed_certificate_is_served_without_disconnects(gateway, authority, tmp_path: Path) -> None:
    before = Client(authority, gateway.port, "a.example")
    before.get()
    issue(authority, tmp_path, "first", "a.example", "new.example")
    until(lambda: "new.example" in _names_of(authority, gateway.port), "the new certificate")
    assert "new.example" in _names_of(authority, gateway.port, None)
    assert before.get().startswith(b"HTTP/1.1 200")
    before.socket.close()


def _names_of(authority: trustme.CA, port: int, name: str | None = "a.example") -> set[str]:
    client = Client(authority, port, name)
    names = client.names()
    client.socket.close()
    return names


def test_broken_renewal_keeps_the_old_certificate(gateway, authority, tmp_path: Path, caplog) -> None:
    (tmp_path / "first.pem").write_text("not a certificate")
    until(lambda: "reload failed" in caplog.text, "the refusal")
    client = Client(authority, gateway.port, "a.example")
    assert client.get().startswith(b"HTTP/1.1 200")
    client.socket.close()


@pytest.mark.parametrize("broken", ["missing", "empty", "other key"])
def test_broken_certificate_at_the_start_is_named(authority, tmp_path: Path, broken: str) -> None:
    certificate, key = (Path(path) for path in issue(authority, tmp_path, "first", "a.example"))
    if broken == "missing":
        certificate.unlink()
    elif broken == "empty":
        certificate.write_text("")
    else:
        key.write_bytes(Path(issue(authority, tmp_path, "second", "b.example")[1]).read_bytes())
    with pytest.raises((OSError, ValueError), match=r"first\.pem"):
        Certificates([(certificate, key)])


def test_l6_silent_handshakes_do_not_block_new_clients(serve, upstream, authority, tmp_path: Path) -> None:
    certificate, key = issue(authority, tmp_path, "first", "a.example")
    gateway = serve(ROUTE % upstream.port, tls_cert=certificate, tls_key=key, max_connections=5)
    silent = [socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) for _ in range(10)]
    until(lambda: gateway.metric("connections_cut_total", reason="evicted_head") >= 5, "evicted handshakes")
    client = Client(authority, gateway.port, "a.example")
    assert client.get().startswith(b"HTTP/1.1 200")
    client.socket.close()
    for one in silent:
        one.close()
