"""CORS: allowed origins, responses to preflights, fields of other responses."""

from typing import Any

import pytest

from inferway_contract.document import Cors
from inferway_dataplane.core.messages import request_head
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.cors import CorsRules, preflight_method

APP = "https://app.example"


def make_request(
    method: bytes, origin: str | None, wants: str | None = None, headers: str | None = None
) -> RequestHead:
    fields = [(b"Host", b"a.example")]
    for name, value in (
        (b"Origin", origin), (b"Access-Control-Request-Method", wants), (b"Access-Control-Request-Headers", headers),
    ):  # fmt: skip
        if value is not None:
            fields.append((name, value.encode()))
    head = request_head.read_request(method, fields, is_http_1_1=True)
    assert isinstance(head, RequestHead)
    return head


def rules(*origins: str, **settings: Any) -> CorsRules:
    return CorsRules(Cors(allow_origins=origins, **settings))


ORIGINS = {
    "the one": ((APP,), APP, True),
    "in other case": ((APP,), "https://APP.example", True),
    "another": ((APP,), "https://evil.example", False),
    "another scheme": ((APP,), "http://app.example", False),
    "another port": ((APP,), "https://app.example:8443", False),
    "longer": ((APP,), "https://app.example.evil.example", False),
    "any": (("*",), "https://whatever.example", True),
    "null for any": (("*",), "null", True),
    "null for one": ((APP,), "null", False),
    "a wildcard": (("https://*.example",), "https://a.example", True),
    "a wildcard, deeper": (("https://*.example",), "https://a.b.example", True),
    "a wildcard's own domain": (("https://*.app.example",), "https://app.example", False),
    "a wildcard with nothing before the dot": (("https://*.example",), "https://.example", False),
    "a wildcard, another scheme": (("https://*.example",), "http://a.example", False),
    "a wildcard, ends so": (("https://*.example",), "https://a.notexample", False),
    "a wildcard, goes on": (("https://*.example",), "https://a.example.evil", False),
    "a wildcard, a path before it": (("https://*.example",), "https://evil.com/.example", False),
    "a wildcard, a user before it": (("https://*.example",), "https://me@evil.com:1.example", False),
    "a wildcard, another origin before it": (("https://*.example",), "https://https://a.example", False),
    "a wildcard, a port": (("https://*.example:8443",), "https://a.example:8443", True),
    "a wildcard, no port": (("https://*.example:8443",), "https://a.example", False),
    "a wildcard in upper case": (("HTTPS://*.Example",), "https://a.example", True),
    "any of a scheme": (("https://*",), "https://a.b.c", True),
    "any of another scheme": (("https://*",), "http://a", False),
    "several": (("https://x.example", "https://*.y.example"), "https://a.y.example", True),
    "nobody": ((), APP, False),
}


@pytest.mark.parametrize(("origins", "origin", "allowed"), ORIGINS.values(), ids=ORIGINS)
def test_cors_allows_the_configured_origins(origins: tuple[str, ...], origin: str, allowed: bool) -> None:
    names = [name for name, _ in rules(*origins).response_fields(make_request(b"GET", origin))]
    assert (b"access-control-allow-origin" in names) is allowed
    names = [name for name, _ in rules(*origins).preflight_fields(make_request(b"OPTIONS", origin, "PUT"))]
    assert (b"access-control-allow-origin" in names) is allowed


NO_PREFLIGHT = {
    "no origin": make_request(b"OPTIONS", None, "PUT"),
    "no method asked for": make_request(b"OPTIONS", APP),
    "an empty method": make_request(b"OPTIONS", APP, ""),
    "two methods": make_request(b"OPTIONS", APP, "PUT, GET"),
}


@pytest.mark.parametrize("head", NO_PREFLIGHT.values(), ids=NO_PREFLIGHT)
def test_options_request_that_announces_nothing_is_no_preflight(head: RequestHead) -> None:
    assert preflight_method(head) is None


def test_preflight_announces_its_method() -> None:
    assert preflight_method(make_request(b"OPTIONS", APP, "PUT")) == b"PUT"


def test_cors_preflight_of_a_foreign_origin_gets_no_fields() -> None:
    head = make_request(b"OPTIONS", "https://evil.example", "PUT")
    assert rules(APP).preflight_fields(head) == [(b"vary", b"Origin")]


def preflight(cors: CorsRules, headers: str | None = "x-a") -> dict[bytes, bytes]:
    return dict(cors.preflight_fields(make_request(b"OPTIONS", APP, "PUT", headers)))


def test_cors_preflight_returns_the_allowed_values() -> None:
    cors = rules(APP, allow_methods=("GET", "PUT"), allow_headers=("x-a", "x-b"), max_age_seconds=60)
    assert preflight(cors) == {
        b"access-control-allow-origin": APP.encode(),
        b"vary": b"Origin",
        b"access-control-allow-methods": b"GET, PUT",
        b"access-control-allow-headers": b"x-a, x-b",
        b"access-control-max-age": b"60",
    }


def test_cors_any_origin_without_credentials_is_a_star() -> None:
    assert preflight(rules("*")) == {b"access-control-allow-origin": b"*", b"access-control-max-age": b"5"}


def test_cors_with_credentials_names_the_origin_not_a_star() -> None:
    cors = rules("*", allow_methods=("*",), allow_headers=("*",), allow_credentials=True)
    assert preflight(cors, "x-a, x-b") == {
        b"access-control-allow-origin": APP.encode(),
        b"vary": b"Origin",
        b"access-control-allow-credentials": b"true",
        b"access-control-allow-methods": b"PUT",
        b"access-control-allow-headers": b"x-a, x-b",
        b"access-control-max-age": b"5",
    }
    assert b"access-control-allow-headers" not in preflight(cors, None)


def test_cors_without_credentials_keeps_stars() -> None:
    response_fields = preflight(rules("*", allow_methods=("*",), allow_headers=("*",)))
    assert (response_fields[b"access-control-allow-methods"], response_fields[b"access-control-allow-headers"]) == (
        b"*",
        b"*",
    )


ANSWERS: dict[str, tuple[CorsRules, str | None, list[tuple[bytes, bytes]]]] = {
    "any": (rules("*"), APP, [(b"access-control-allow-origin", b"*")]),
    "any, no origin": (rules("*"), None, []),
    "one": (rules(APP), APP, [(b"access-control-allow-origin", APP.encode()), (b"vary", b"Origin")]),
    "one, no origin": (rules(APP), None, [(b"vary", b"Origin")]),
    "one, a stranger": (rules(APP), "https://evil.example", [(b"vary", b"Origin")]),
    "exposed": (
        rules("*", expose_headers=("x-a", "x-b")),
        APP,
        [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"x-a, x-b")],
    ),
    "credentials": (
        rules("*", allow_credentials=True),
        APP,
        [
            (b"access-control-allow-origin", APP.encode()),
            (b"vary", b"Origin"),
            (b"access-control-allow-credentials", b"true"),
        ],
    ),
    "credentials, no origin": (rules("*", allow_credentials=True), None, [(b"vary", b"Origin")]),
}


@pytest.mark.parametrize(("cors", "origin", "fields"), ANSWERS.values(), ids=ANSWERS)
def test_cors_response_carries_the_fields_of_its_origin(
    cors: CorsRules, origin: str | None, fields: list[tuple[bytes, bytes]]
) -> None:
    assert cors.response_fields(make_request(b"GET", origin)) == fields
