"""Vary: which requests may use a stored response that names request fields."""

import pytest
from cache_messages import Fields, all_differ, forwarded, make_request, make_response

from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.messages.request_head import RequestHead


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((), ()),
        ((b"Accept",), (b"accept",)),
        ((b"Accept, Accept-Language",), (b"accept", b"accept-language")),
        ((b"Accept-Language ,\tACCEPT",), (b"accept", b"accept-language")),
        ((b"Accept", b"accept, Origin"), (b"accept", b"origin")),
        ((b",, ,",), ()),
    ],
)
def test_vary_names_are_parsed(values: tuple[bytes, ...], names: tuple[bytes, ...]) -> None:
    assert cache_keys.vary_names(make_response(*((b"Vary", value) for value in values))) == names


def variant(names: tuple[bytes, ...], head: RequestHead, peer: bytes = b"192.0.2.1") -> bytes:
    return cache_keys.variant(names, head, peer)


def test_variant_separates_absent_and_empty_fields() -> None:
    names = (b"a", b"b")
    requests: list[Fields] = [
        (), ((b"A", b""),), ((b"A", b"x"),), ((b"B", b"x"),), ((b"A", b"x"), (b"B", b"x")), ((b"A", b"x, x"),),
        ((b"A", b"1:x"),), ((b"A", b"-"),),
    ]  # fmt: skip
    assert all_differ(variant(names, make_request(*fields)) for fields in requests)
    assert variant(names, make_request((b"C", b"1"))) == variant(names, make_request())


def test_variant_by_address_is_the_one_that_is_forwarded() -> None:
    names = (b"x-forwarded-for",)
    assert variant(names, make_request(), b"192.0.2.1") != variant(names, make_request(), b"192.0.2.2")
    # What another peer claims is not forwarded.
    claiming = make_request((b"X-Forwarded-For", b"192.0.2.9"))
    assert variant(names, claiming) == variant(names, make_request())
    chains = [forwarded((b"X-Forwarded-For", value)) for value in (b"192.0.2.8", b"192.0.2.9")]
    assert all_differ([variant(names, forwarded()), *(variant(names, head) for head in chains)])


@pytest.mark.parametrize(
    "name", [b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"forwarded"]
)
def test_variant_by_what_the_gateway_writes_follows_the_client(name: bytes) -> None:
    heads = [
        make_request(), make_request(host=b"b.example"), forwarded((b"X-Forwarded-Proto", b"https")),
        forwarded((b"X-Forwarded-Host", b"c.example")),
    ]  # fmt: skip
    assert all_differ(variant((name,), head) for head in heads)
    assert variant((name,), make_request(host=b"A.example")) == variant((name,), make_request())
