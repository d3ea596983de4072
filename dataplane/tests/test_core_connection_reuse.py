"""What messages show about their connection: Keep-Alive, NTLM and Negotiate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.messages import connection_reuse
from inferway_dataplane.core.messages.request_head import FieldBlock, read_fields
from inferway_dataplane.core.messages.response_head import ResponseHead, read_response


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b'max=1 , Timeout = "30"', 29.0),
        (b"timeout=2", 1.0),
        (b"timeout=1", 0.0),
        (b"timeout=0", 0.0),
        (b"timeout=301", 300.0),
        (b"timeout=" + b"9" * 5000, 300.0),
        (b"timeout=60, timeout=5", 4.0),
        (b"timeout=-1", None),
        (b"timeout=1e9", None),
        (b"timeout=1.5", None),
        (b"timeout=\xb2", None),
        (b"timeout", None),
        (b"max=5", None),
        (b"", None),
    ],
)
def test_keep_alive_timeout_is_read_with_a_margin(value: bytes, seconds: float | None) -> None:
    assert connection_reuse.keep_idle(value) == seconds


@given(st.binary(max_size=60) | st.integers(-5, 10**12).map(lambda number: b"timeout=%d" % number))
def test_any_keep_alive_timeout_is_bounded(value: bytes) -> None:
    seconds = connection_reuse.keep_idle(value)
    assert seconds is None or 0.0 <= seconds <= 300.0


def response(status: int, *fields: tuple[bytes, bytes]) -> ResponseHead:
    head = read_response(status, list(fields), True)
    assert head is not None
    return head


def test_shortest_of_several_keep_alive_fields_counts() -> None:
    assert response(200, (b"Keep-Alive", b"timeout=60"), (b"keep-alive", b"timeout=10")).keep_idle == 9.0


def test_connection_that_is_kept_no_time_is_not_reusable() -> None:
    assert not response(200, (b"Keep-Alive", b"timeout=1")).keep_alive
    assert response(200, (b"Keep-Alive", b"timeout=2")).keep_alive


def test_keep_alive_never_reaches_the_client() -> None:
    assert response(200, (b"Keep-Alive", b"timeout=5"), (b"X-A", b"1")).passed == [(b"X-A", b"1")]


@pytest.mark.parametrize(
    ("status", "name", "value", "is_negotiating"),
    [
        (401, b"WWW-Authenticate", b"NTLM", True),
        (401, b"www-authenticate", b"negotiate", True),
        (401, b"WWW-Authenticate", b"Negotiate oYGeMIGb", True),
        (401, b"WWW-Authenticate", b'Basic realm="x", NTLM', True),
        (407, b"Proxy-Authenticate", b"NTLM TlRMTVNT", True),
        (401, b"WWW-Authenticate", b'Basic realm="x"', False),
        (401, b"WWW-Authenticate", b"Bearer", False),
        (401, b"X-Authenticate", b"NTLM", False),
    ],
)
def test_challenge_for_a_connection_is_recognised(status: int, name: bytes, value: bytes, is_negotiating: bool) -> None:
    assert response(status, (name, value)).is_negotiating is is_negotiating


@pytest.mark.parametrize(
    ("value", "is_negotiated"),
    [
        (b"NTLM TlRMTVNT", True),
        (b"ntlm x", True),
        (b"Negotiate YII", True),
        (b"NEGOTIATE\tYII", True),
        (b"Bearer ntlm", False),
        (b"Basic bnRsbQ==", False),
    ],
)
def test_credentials_of_a_connection_are_recognised(value: bytes, is_negotiated: bool) -> None:
    block = read_fields([(b"Host", b"a"), (b"Authorization", value)], True)
    assert isinstance(block, FieldBlock)
    assert block.is_negotiated is is_negotiated
