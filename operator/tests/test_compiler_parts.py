"""The compiler's small parts, as tables."""

import pytest

from inferway_contract import patterns
from inferway_contract.document import Url
from inferway_operator.compiler import urls
from inferway_operator.world.resources import parse


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("http://a", "a", 80, ""),
        ("https://A.Example.com", "a.example.com", 443, ""),
        ("http://a:8080/", "a", 8080, ""),
        ("http://a/v1//", "a", 80, "/v1"),
        ("http://1.2.3.4", "1.2.3.4", 80, ""),
        ("http://[2001:DB8:0:0::1]:81/x", "2001:db8::1", 81, "/x"),
        ("http://1.2.3.4.example", "1.2.3.4.example", 80, ""),
        ("http://a/%2F", "a", 80, "/%2F"),
    ],
)
def test_url_parses_into_its_parts(text: str, host: str, port: int, path: str) -> None:
    scheme = "https" if text.startswith("https") else "http"
    assert urls.parse(text) == Url(scheme=scheme, host=host, port=port, path=path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://a", "not a url"),
        ("http://a?b", "not a valid DNS name"),
        ("http://u@a", "not a valid DNS name"),
        ("http://01.2.3.4", "ends in a number"),
        ("http://0x7f000001", "ends in a number"),
        ("http://a.1", "ends in a number"),
        ("http://a..b", "not a valid DNS name"),
        ("http://-a", "not a valid DNS name"),
        (f"http://{'a' * 64}", "not a valid DNS name"),
        (f"http://{'.'.join(['a' * 60] * 5)}", "not a valid DNS name"),
        ("http://[::g]", "not an IPv6 address"),
        ("http://[1.2.3.4]", "not an IPv6 address"),
        ("http://a/..", "dot segment"),
        ("http://a/%2e", "dot segment"),
    ],
)
def test_invalid_url_is_rejected(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        urls.parse(text)


@pytest.mark.parametrize(
    ("host", "allowed", "is_allowed"),
    [
        ("a.example.com", ("a.example.com",), True),
        ("a.example.com", ("A.Example.com",), True),
        ("a.example.com", ("*.example.com",), True),
        ("b.a.example.com", ("*.example.com",), True),
        ("example.com", ("*.example.com",), False),
        ("evilexample.com", ("*.example.com",), False),
        ("a.example.com.evil.net", ("*.example.com", "a.example.com"), False),
        ("a.example.com", (), False),
    ],
)
def test_host_is_matched_against_the_allowed_hosts(host: str, allowed: tuple[str, ...], is_allowed: bool) -> None:
    assert urls.is_allowed(host, allowed) is is_allowed


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/v[0-9]+", None),
        ("ü+", None),
        ("/(", "missing )"),
        (r"(a)\1", "invalid escape sequence"),
        (r"\pL{1000}", "pattern too large"),
        ("((a{100}){100}){100}", "bad repetition operator|invalid repetition size"),
    ],
)
def test_regular_expression_is_accepted_or_rejected(
    pattern: str, reason: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    mistake = patterns.error_of(pattern)
    assert mistake is None if reason is None else any(part in (mistake or "") for part in reason.split("|"))
    assert capfd.readouterr() == ("", "")  # RE2 would write to stderr by itself


@pytest.mark.parametrize("kind", ["Service", None, 5, ["GatewayRoute"], "gatewayroute"])
def test_foreign_kind_is_rejected_by_the_parser(kind: object) -> None:
    with pytest.raises(ValueError, match="neither a GatewayRoute nor a RateLimitPolicy"):
        parse({"kind": kind})
