"""Orders, modes and the pattern: the pure parts of the scripted upstream."""

import json

import pytest

from inferway_fakes.scripted import directives, heads, modes


def test_headers_parse_into_directives() -> None:
    order = directives.read(
        [
            (b"Host", b"a"),
            (b"X-Fake-Status", b"503"),
            (b"x-fake-delay", b"0.5"),
            (b"x-fake-close", b"mid-body"),
            (b"x-fake-reset", b"1"),
            (b"x-fake-header", b"retry-after: 3"),
            (b"x-fake-header", b"X-A: b: c"),
        ]
    )
    assert (order.status, order.delay, order.close, order.reset) == (503, 0.5, directives.Where.MID_BODY, True)
    assert order.headers == (("retry-after", "3"), ("X-A", "b: c"))


def test_request_without_directives_gets_the_default() -> None:
    assert directives.read([(b"host", b"a"), (b"x-fakes", b"1")]) is directives.DEFAULT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-fake-stauts", "200"),
        ("x-fake-status", "199"),
        ("x-fake-status", "600"),
        ("x-fake-status", "ok"),
        ("x-fake-delay", "-1"),
        ("x-fake-delay", "61"),
        ("x-fake-delay", "nan"),
        ("x-fake-body-size", str(directives.MAX_BODY + 1)),
        ("x-fake-chunks", "10001"),
        ("x-fake-sse", "100001"),
        ("x-fake-pause", "inf"),
        ("x-fake-close", "somewhere"),
        ("x-fake-hang", "yes"),
        ("x-fake-informational", "11"),
        ("x-fake-header", "no colon"),
        ("x-fake-header", ": no name"),
        ("x-fake-reset", "1"),
    ],
)
def test_unknown_or_out_of_range_directive_is_rejected(name: str, value: str) -> None:
    with pytest.raises(directives.UnreadableOrderError, match=name):
        directives.read([(name.encode(), value.encode())])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-fake-sse", b"2"), (b"x-fake-echo", b"1")],
        [(b"x-fake-two-lengths", b"1"), (b"x-fake-chunks", b"2")],
        [(b"x-fake-status", b"200"), (b"X-Fake-Status", b"500")],
    ],
)
def test_contradictory_directives_are_rejected(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(directives.UnreadableOrderError):
        directives.read(headers)


def test_mode_is_parsed_from_json() -> None:
    mode = modes.read(json.dumps({"failShare": 0.25, "latency": 1, "healthStatus": 503}).encode())
    assert mode == modes.Mode(fail_share=0.25, latency=1.0, health_status=503)
    assert modes.read(b"{}") == modes.Mode()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"failShare": 2}', b'{"latency": 61}', b'{"healthStatus": 0}', b'{"typo": 1}']
)
def test_invalid_mode_is_rejected(body: bytes) -> None:
    with pytest.raises(modes.UnreadableModeError):
        modes.read(body)


@pytest.mark.parametrize(
    ("share", "of", "expected"), [(0.0, 100, 0), (1.0, 100, 100), (0.1, 1000, 100), (0.25, 8, 2), (0.3, 10, 3)]
)
def test_share_is_spread_evenly(share: float, of: int, expected: int) -> None:
    even = modes.EvenShare()
    assert sum(even.takes(share) for _ in range(of)) == expected


@pytest.mark.parametrize("size", [0, 1, 16, 65535, 65536, 65537, 200_000])
def test_body_pattern_repeats(size: int) -> None:
    body = heads.pattern(size)
    assert len(body) == size
    assert body == (b"0123456789abcde\n" * (size // 16 + 1))[:size]


@pytest.mark.parametrize(
    ("size", "count", "expected"), [(10, 3, [4, 3, 3]), (2, 4, [1, 1]), (0, 3, []), (5, 1, [5]), (6, 3, [2, 2, 2])]
)
def test_body_pieces_are_even_and_never_empty(size: int, count: int, expected: list[int]) -> None:
    assert heads.pieces(size, count) == expected
