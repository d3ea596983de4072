"""Requests, responses and rules for tests of the cache."""

from collections.abc import Iterable
from typing import Any

from inferway_contract.document import (
    Cache,
)
from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.caching.keys import CacheRules
from inferway_dataplane.core.messages import request_head, request_target, response_head
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.messages.sender import Sender

Fields = tuple[tuple[bytes, bytes], ...]
SECRET = b"s" * 32
NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")


def make_request(*fields: tuple[bytes, bytes], target: bytes = b"/a", host: bytes = b"a.example") -> RequestHead:
    head = request_head.read_request(b"GET", [(b"Host", host), *fields], is_http_1_1=True)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, target) is None
    return head


def make_response(*fields: tuple[bytes, bytes], status: int = 200) -> ResponseHead:
    head = response_head.read_response(status, list(fields), keep_alive=True)
    assert head is not None
    return head


def rules(scope: bytes = b"a rule", **settings: Any) -> CacheRules:
    return CacheRules(Cache(**settings), scope)


def lifetime(
    *fields: tuple[bytes, bytes], head: RequestHead | None = None, status: int = 200, delay: float = 0, **settings: Any
) -> float:
    """The lifetime of a response to `head`, under a rule with these settings."""
    response = make_response(*fields, status=status)
    fresh = freshness.freshness_of(rules(**settings), head or make_request(), response, delay, lambda: NOW)
    return 0 if fresh is None else fresh.lifetime


PROXY = Sender(b"http", ClientClaims(), is_trusted=True)


def forwarded(*fields: tuple[bytes, bytes], host: bytes = b"a.example") -> RequestHead:
    head = request_head.read_request(b"GET", [(b"Host", host), *fields], is_http_1_1=True, sender=PROXY)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, b"/a") is None
    return head


def all_differ(keys: Iterable[bytes]) -> bool:
    keys = list(keys)
    return len(set(keys)) == len(keys)
