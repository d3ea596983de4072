"""`retry`: bodies are kept and sent again byte for byte, as long as all of them fit into `retry_body_bytes`."""

from __future__ import annotations

import random
import socket

import pytest

from inferway_fakes.upstream import Close
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service, to
from inferway_testing.until import DEADLINE, until

LONG = 300_000
RETRY = "retry: {attempts: 2, backoff: 1ms, methods: [POST]}"
NO_EJECTION = "circuitBreaker: {maxEjectedPercent: 0}"
BAD = {
    "is busy": lambda seen: reply(b"no", "503 Service Unavailable"),
    "closes": lambda seen: [Close()],
}


def body(size):
    """Return bytes without repetition."""
    return random.Random(size).randbytes(size)  # noqa: S311 - not secrecy


def with_content_length(content):
    """Return a request with a Content-Length."""
    return b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)


def chunked(content, size=1000):
    """Return a request with its body in chunks."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(
        [
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
            *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces),
            b"0\r\n\r\n",
        ]
    )


def failing_once(upstream, bad):
    """Return a script that fails the first request only."""
    return lambda seen: bad(seen) if len(upstream.seen) == 1 else reply(b"well")


@pytest.mark.parametrize("framed", [with_content_length, chunked])
@pytest.mark.parametrize("size", [0, 1, 5000, 64 << 10, LONG])
@pytest.mark.parametrize("what", BAD)
def test_body_is_resent_byte_for_byte(serve, upstream, framed, size, what):
    upstream.script = failing_once(upstream, BAD[what])
    gateway = serve(route(rule(NO_EJECTION, RETRY, to(upstream.port))))
    received = gateway.raw(framed(body(size)), half_close=False)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"well")
    assert [seen.body for seen in upstream.seen] == [body(size)] * 2
    assert gateway.metric("retry_body_bytes") == 0
    # Each try has the framing of the original request.
    assert len({seen.header("transfer-encoding") for seen in upstream.seen}) == 1


@pytest.mark.parametrize("framed", [with_content_length, chunked])
@pytest.mark.parametrize("what", BAD)
def test_body_over_the_cap_has_one_attempt(serve, upstream, framed, what):
    upstream.script = BAD[what]
    gateway = serve(route(rule(NO_EJECTION, RETRY, to(upstream.port))), retry_body_bytes=LONG)
    received = gateway.raw(framed(body(LONG)), half_close=False)
    assert received.startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 503 "))
    assert [seen.body for seen in upstream.seen] == [body(LONG)]
    assert gateway.metric("retries_total", reason="body_not_kept") == 1
    assert gateway.metric("retries_total") == 1
    assert gateway.metric("retry_body_bytes") == 0


def test_every_endpoint_gets_the_whole_body(serve, upstreams):
    endpoints = upstreams(3)
    for endpoint in endpoints:
        endpoint.script = BAD["is busy"]
    by_name = route(rule(NO_EJECTION, RETRY, "backendRefs: [{name: model, port: 80}]"))
    gateway = serve(resources(by_name, service("model", *(endpoint.port for endpoint in endpoints))))
    assert gateway.raw(with_content_length(body(9000)), half_close=False).startswith(b"HTTP/1.1 503 ")
    assert [[seen.body for seen in endpoint.seen] for endpoint in endpoints] == [[body(9000)]] * 3


def test_rest_of_an_unfinished_body_follows_in_the_retry(serve, upstreams):
    """The first endpoint answers before it has the body, as a busy one does."""
    [good] = upstreams(1)
    hasty = socket.create_server(("127.0.0.1", 0))
    backends = f"""
        backendRefs:
        - {{url: "http://127.0.0.1:{hasty.getsockname()[1]}"}}
        - {{url: "http://127.0.0.1:{good.port}", priority: 1}}
        """
    gateway = serve(route(rule(NO_EJECTION, RETRY, backends)))
    with hasty, socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        content = body(3000)
        sent = with_content_length(content)
        client.sendall(sent[:-2000])
        first, _ = hasty.accept()
        with first:
            assert first.recv(65536).startswith(b"POST ")
            first.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
            until(lambda: gateway.active_requests()[2] == 1, "the further try")
            until(lambda: good.open_connections == 1, "its connection")
            client.sendall(sent[-2000:])
            received = b""
            while piece := client.recv(65536):
                received += piece
    assert received.startswith(b"HTTP/1.1 200 ")
    assert [seen.body for seen in good.seen] == [content]
