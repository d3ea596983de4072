"""Upstreams that answer before they have read the request, and close: the answer wins over the failed write."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
import trustme

from inferway_fakes.fake_dns import resolving
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import DEADLINE

NAME = "models.test"
REFUSAL = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
PIECE = b"x" * 65_536
LARGE = "limits: {maxRequestBody: 100Mi}"


@contextmanager
def refusing(answer, after=1, context=None):
    """Serve an upstream that reads this number of bytes, answers, and closes; yield its port."""

    def serve(connection):
        # As servers do; else the answer may wait in the kernel for an acknowledgement, and the reset discards it.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError), connection:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            data = b""
            while b"\r\n\r\n" not in data or len(data) < after:
                data += connection.recv(4096)
            connection.sendall(answer)
            connection.close()

    def accept():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def upload(port, *, chunked, end=b""):
    """Send 3 MB as fast as they are taken; return what comes back until this end, or until the connection closes."""
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % (46 * len(PIECE))
    piece = b"10000\r\n%b\r\n" % PIECE if chunked else PIECE
    received = b""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        with suppress(OSError):
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
            for _ in range(46):
                client.sendall(piece)
        with suppress(OSError):
            while not (end and received.endswith(end)) and (data := client.recv(65_536)):
                received += data
    return received


def check_uploads(gateway, body, chunked):
    """Ten uploads get the whole answer each, and the endpoint is not at fault."""
    for _ in range(10):
        received = upload(gateway.port, chunked=chunked, end=b"\r\n\r\n" + body)
        assert received.startswith(b"HTTP/1.1 401 ")
        assert received.endswith(b"\r\n\r\n" + body)
    assert gateway.metric("upstream_errors_total") == 0
    assert gateway.metric("backend_healthy") == 1
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "after"), [(6, 1), (6, 1_000_000), (30_000, 1)])
def test_early_answer_is_forwarded_whole(serve, chunked, size, after):
    body = b"n" * size
    with refusing(REFUSAL % (size, body), after) as port:
        check_uploads(serve(route(rule(LARGE, to(port)))), body, chunked)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_early_answer_of_a_tls_upstream_is_forwarded_whole(serve, tmp_path, version):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority.issue_cert(NAME).configure_cert(context)
    with resolving() as names, refusing(REFUSAL % (6, b"no key"), context=context) as port:
        names.resolve(NAME, "127.0.0.1")
        backend = f'backendRefs: [{{url: "https://{NAME}:{port}"}}]'
        check_uploads(serve(route(rule(LARGE, backend)), upstream_ca=str(tmp_path / "ca.pem")), b"no key", False)


def test_reset_without_an_answer_is_answered_502(serve):
    with refusing(b"", after=1_000_000) as port:
        gateway = serve(route(rule(LARGE, to(port))))
        received = upload(gateway.port, chunked=False, end=b"}")
    assert received.startswith(b"HTTP/1.1 502 ")
    assert gateway.metric("upstream_errors_total", reason="upstream_closed") == 1


def test_answer_cut_by_a_reset_is_cut_for_the_client(serve):
    with refusing(REFUSAL % (100, b"half"), after=1_000_000) as port:
        received = upload(serve(route(rule(LARGE, to(port)))).port, chunked=False)
    assert received == b"" or (received.startswith(b"HTTP/1.1 401 ") and received.endswith(b"\r\n\r\nhalf"))
