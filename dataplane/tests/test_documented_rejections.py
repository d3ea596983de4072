"""The table of rejected requests in docs/http.md is true for examples of each row, whole and byte by byte."""

import json
import re
from pathlib import Path

import pytest
from fake_transport import BACKEND, Wire, answer

from inferway_contract.document import Rule

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("| request | status, `code` |\n|---|---|\n")[2].partition("\n\n")[0]
ROWS = dict(re.findall(r"^\| (.+?) \| (.+) \|$", TABLE, re.MULTILINE))
HOST = b"Host: a\r\n"


def post(*lines: bytes, version: bytes = b"1.1", body: bytes = b"") -> bytes:
    return b"POST / HTTP/" + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def get(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
EXAMPLES: dict[str, list[bytes]] = {
    "malformed lines": [
        get(b"no colon"),
        b"GET / HTTP/1.1\nHost: a\n\n",
        get(b"X: a\rb"),
        get(b"X: a\x00b"),
        get(b"X: a\r\n b"),
        get(b"X : a"),
        get(b"X: a\x01b"),
        get(start=b"GET  / HTTP/1.1"),
        get(start=b"GET / HTTP/1.2"),
    ],
    "Host missing": [
        get(host=b""),
        get(host=HOST * 2),
        get(host=b"Host: a b\r\n"),
        get(host=b"Host: a:b\r\n"),
    ],
    "Content-Length repeated": [
        post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
        post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
        *(
            post(b"Content-Length: " + value, body=b"hello")
            for value in (b"+5", b"-1", b"0x5", b"5, 5", b"5 5", b"", b"9" * 30)
        ),
    ],
    "Content-Length with": [
        post(b"Content-Length: 5", CHUNKED, body=END),
        post(CHUNKED, b"Content-Length: 5", body=END),
        post(b"Content-Length: 5", b"Transfer-Encoding: gzip", body=END),
    ],
    "Transfer-Encoding repeated": [
        post(CHUNKED, CHUNKED, body=END),
        post(b"Transfer-Encoding: chunked, chunked", body=END),
        post(b"Transfer-Encoding: ", body=END),
        post(b"Transfer-Encoding: ,chunked", body=END),
        post(CHUNKED, version=b"1.0", body=END),
    ],
    "well-formed codings": [
        post(b"Transfer-Encoding: gzip, chunked", body=END),
        post(b"Transfer-Encoding: gzip", body=END),
        post(b"Transfer-Encoding: identity", body=END),
    ],
    "bad chunk sizes": [
        post(CHUNKED, body=b"x\r\n"),
        post(CHUNKED, body=b"5;" + b"e" * 9000 + b"\r\nhello\r\n"),
        post(CHUNKED, body=b"0\r\nT: " + b"t" * 9000 + b"\r\n\r\n"),
    ],
    "HTTP/0.9 and HTTP/2.0": [
        get(start=b"GET / HTTP/0.9"),
        get(start=b"GET / HTTP/2.0"),
        get(start=b"OPTIONS rtsp://a/ RTSP/1.0"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    "CONNECT, TRACE": [get(start=b"CONNECT a:443 HTTP/1.1"), get(start=b"TRACE / HTTP/1.1")],
    "unknown methods": [get(start=b"BREW / HTTP/1.1"), get(start=b"get / HTTP/1.1")],
    "`Upgrade: websocket`": [
        get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        get(b"Connection: upgrade", b"Upgrade: WebSocket"),
    ],
    "Content-Type repeated": [post(b"Content-Type: text/plain", b"Content-Type: text/html", b"Content-Length: 0")],
    "an expectation": [post(b"Expect: x", b"Content-Length: 0")],
    "request line over": [get(start=b"GET /" + b"x" * 9000 + b" HTTP/1.1")],
    "fields over 32 KiB": [get(b"X: " + b"y" * 40_000), get(*[b"X: y"] * 101)],
    "a body over": [post(b"Content-Length: 101"), post(CHUNKED, body=b"65\r\n" + b"b" * 101 + b"\r\n" + END)],
}
CASES = [
    pytest.param(row, raw, id=f"{start} {number}")
    for row in ROWS
    for start, examples in EXAMPLES.items()
    if row.startswith(start)
    for number, raw in enumerate(examples)
]


def test_every_documented_rejection_has_examples() -> None:
    assert len(ROWS) == len(EXAMPLES) > 10
    assert [start for start in EXAMPLES if sum(row.startswith(start) for row in ROWS) != 1] == []


@pytest.mark.parametrize("step", [1 << 20, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize(("row", "raw"), CASES)
def test_rejected_request_has_the_documented_status_and_code(row: str, raw: bytes, step: int) -> None:
    if step == 1 and len(raw) > 8000:
        pytest.skip("long examples come whole")
    status, code = re.findall(r"^(\d+) `(\w+)`", ROWS[row])[0]
    wire = Wire(Rule(name="all", backends=(BACKEND,), max_request_body=100))
    for at in range(0, len(raw), step):
        wire.send(raw[at : at + step])
    refusal = answer(wire.client_received())
    assert (refusal.status, json.loads(refusal.body)["code"]) == (int(status), code)
    assert refusal["connection"] == "close"
    assert ("allow" in refusal) is ("with Allow" in ROWS[row])
