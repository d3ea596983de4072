"""How long a review's body may stop the event loop: any accepted one is read in 40 ms of CPU time. Bodies at the bounds."""

import gc
import json
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any, Final

import admission_reviews
import pytest

from inferway_operator.admission.review import Answer
from inferway_operator.http_server import webhook

LONGEST: Final = 0.060
"""CPU seconds of the fastest of five attempts. Leaves room for slower machines; each case takes longer without its defence."""


def largest(piece: Callable[[int], bytes], brackets: bytes = b"[]") -> bytes:
    """Return as many of the pieces as a body may have."""

    def body(number: int) -> bytes:
        return brackets[:1] + b",".join(map(piece, range(number))) + brackets[1:]

    low = 1
    high = min(webhook.MOST_BYTES // len(piece(1)), webhook.MOST_VALUES) + 1
    while high - low > low // 100 + 1:
        middle = (low + high) // 2
        content = body(middle)
        if len(content) > webhook.MOST_BYTES or webhook.has_too_many_values(content):
            high = middle
        else:
            low = middle
    return body(low)


def seconds(body: bytes) -> float:
    """Return the CPU time of reading the body."""
    fastest = 1.0
    for _ in range(5):
        gc.collect()
        began = thread_time()
        review = webhook.read_review(body)
        fastest = min(fastest, thread_time() - began)
        del review
    return fastest


PIECES: dict[str, tuple[Callable[[int], bytes], bytes]] = {
    "floats": (lambda number: b"1.2345678901234567e-300", b"[]"),
    "long integers": (lambda number: b"7" * 4300, b"[]"),
    "keys": (lambda number: b'"%d":0' % number, b"{}"),
    "keys with floats": (lambda number: b'"%030d":1.2345678901234567e-300' % number, b"{}"),
    "keys that end in a backslash": (lambda number: b'"%d\\\\":0' % number, b"{}"),
    "objects": (lambda number: b'{"%d":{}}' % number, b"[]"),
    "deep objects": (lambda number: b'{"%d":' % number * 190 + b"0" + b"}" * 190, b"[]"),
    "deep lists": (lambda number: b"[" * 190 + b"]" * 190, b"[]"),
    "strings": (lambda number: b'"\\u00e9%d"' % number, b"[]"),
    "quoted JSON": (lambda number: b'"{\\"a\\":1,\\"b\\":2}"', b"[]"),
}


@pytest.mark.parametrize("name", PIECES)
def test_worst_accepted_body_is_read_in_milliseconds(name: str) -> None:
    body = largest(*PIECES[name])
    assert len(body) <= webhook.MOST_BYTES
    assert not isinstance(webhook.read_review(body), Answer)
    assert seconds(body) < LONGEST


@pytest.mark.parametrize("name", ["keys", "keys that end in a backslash", "objects", "deep objects", "deep lists"])
def test_bound_counts_keys_like_values(name: str) -> None:
    """Whatever a body is made of: for each of its keys and values of any kind it counts at least one."""
    body = largest(*PIECES[name])
    assert sum(_parts(json.loads(body))) <= webhook.MOST_VALUES + 1


def _parts(value: Any) -> Iterator[int]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield len(item)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        yield isinstance(item, dict | list)


def test_densest_valid_spec_applied_by_kubectl_is_read() -> None:
    """Conditions of 25 bytes fill 256 KiB; the annotation of `kubectl apply` has them again; the old object has both too."""
    conditions = [{"name": f"{number:x}"[-1], "value": "b"} for number in range(16)]
    rules = [{"matches": [{"headers": conditions}] * 16}] * 39
    spec = json.dumps({"rules": rules}, separators=(",", ":"))
    assert 250_000 < len(spec) < 256 << 10
    manifest = admission_reviews.route("dense", *rules)
    manifest["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": spec}
    review = admission_reviews.review(manifest, "UPDATE", oldObject=manifest)
    body = json.dumps(review, separators=(",", ":")).encode()
    assert webhook.read_review(body) == review


def test_collector_is_on_after_any_body() -> None:
    for body in (b"{}", b"{", b"[" * 1000):
        webhook.read_review(body)
        assert gc.isenabled()
