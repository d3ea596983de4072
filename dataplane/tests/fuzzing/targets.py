"""Every parser with its check and its words: the one place that all runs use.

`words` are bytes that mean something to the parser: the engines mix them with noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fuzzing import checks
from inferway_dataplane.core.messages import field_kinds


@dataclass(frozen=True)
class Target:
    """One parser with its invariants."""

    name: str
    check: Callable[[bytes], None]
    words: tuple[bytes, ...]


_PATH: Final = (
    b"/",
    b".",
    b"..",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%00",
    b"%0a",
    b"%",
    b"%zz",
    b"%25",
    b"\\",
    b"a",
    b"//",
    b";",
)
_NAMES: Final = tuple(
    name + b": " for name in (*field_kinds._REQUEST_KINDS, b"X_Forwarded_For", b"x-a", b"transfer_encoding")
)
_VALUES: Final = (
    b"chunked",
    b"close",
    b"keep-alive",
    b"5",
    b"x-a",
    b", ",
    b"\n",
    b"100-continue",
    b"gzip",
    b"0x5",
    b"\t",
)
_CONTROLS: Final = (
    b"no-store", b"private", b"max-age=", b"s-maxage=", b'="', b'"', b"\\", b", ", b"1", b"99999999999999", b"public", b"no-cache",
)  # fmt: skip
_ANSWERED: Final = tuple(name + b": " for name in field_kinds._RESPONSE_KINDS)
_DATES: Final = (b"Mon, 01 Jan 2024 00:00:00 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"-0000", b"99999", b"0")

ALL: Final = (
    Target("match-path", checks.check_match_path, _PATH),
    Target("host", checks.check_host, (b"a.example", b".", b":", b"80", b"65536", b"[", b"]", b"::1", b"%", b"%2d", b"@", b"/", b"A")),
    Target("target", checks.check_target, (b"http://", b"HTTPS://", b"*", b"?", b"#", b"@", b":80", b"b.example", b"[::1]", *_PATH)),
    Target("forwarded-for", checks.check_forwarded_for, (b"10.0.0.2", b"6.6.6.7", b", ", b",", b"\n", b"[2001:db8::1]:80", b"::ffff:10.0.0.3", b'"', b":80", b"unknown", b"%eth0")),
    Target("network", checks.check_network, (b"1.2.3.4", b":80", b"[", b"]", b"::ffff:", b"2001:db8::", b'"', b"%1", b"/24")),
    Target("cache-control", checks.check_cache_control, _CONTROLS),
    Target("lifetime", checks.check_lifetime, (b"cache-control: ", b"expires: ", b"date: ", b"age: ", b"vary: ", b"*", b"\n", *_CONTROLS, *_DATES)),
    Target("request-fields", checks.check_request_fields, (*_NAMES, *_VALUES)),
    Target("response-fields", checks.check_response_fields, (*_ANSWERED, *_VALUES)),
    Target("coding", checks.check_coding, (b"chunked", b"gzip", b",", b" ", b"\t", b";", b"=", b"CHUNKED", b"\x0b")),
    Target("query", checks.check_query, (b"&", b"=", b"+", b"%", b"%3d", b"%26", b"v", b"v=2", b"%zz", b"\xff")),
    Target("origin", checks.check_origin, (b"https://", b"http://", b"a.example", b".example.com", b"b", b"/", b"@", b"#", b":3000", b"localhost", b"null")),
    Target("rewriting", checks.check_rewriting, (b"http://", b"b.example", b"?", b"%0d%0a", *_PATH)),
    Target("cache-key", checks.check_cache_key, (b" ", b"?", b"a", b"&", b"=", b"utm_source", b"+", b"%75", *_PATH)),
    Target("known-request", checks.check_known_request, (b"GET", b"POST", b" ", b"/", b"/a?b", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"\t", b"\x00", b"#", b"Host: b")),
    Target("retry-after", checks.check_retry_after, (b"0", b"120", b" ", b"-", b"1" * 12, b"GMT", b"Sun, ", *_DATES)),
    Target("chunked-extent", checks.check_chunked_extent, (b"0", b"5", b"a", b"10", b"hello", b";a=b", b";", b"\r\n", b"\r", b"\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"A: b\r\n", b"f" * 17)),
    Target("secret", checks.check_secret, (b"key", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\xff")),
    Target("trace-context", checks.check_trace_context, (b"00-", b"0" * 32, b"a" * 32, b"-", b"b" * 16, b"-01", b"A", b"\n")),
    Target("address-and-port", checks.check_address_and_port, (b"127.0.0.1", b":", b"80", b"[::1]", b"65536", b"\xb2")),
)  # fmt: skip


def by_name(name: str) -> Target:
    """A target by its name; `KeyError` when there is none."""
    return {target.name: target for target in ALL}[name]
