"""How every response store behaves. A new store joins `STORES`."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.freshness import CacheEntry
from inferway_dataplane.core.messages import request_head
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.stores.memory_responses import MemoryResponses
from inferway_dataplane.stores.response_store import ResponseStore

StoreFactory = Callable[[], ResponseStore]
STORES: dict[str, StoreFactory] = {"memory": lambda: MemoryResponses(1 << 24)}
every_store = pytest.mark.parametrize("new_store", STORES.values(), ids=STORES)


def head(accept: bytes = b"", origin: bytes = b"") -> RequestHead:
    fields = [(b"Host", b"a"), *([(b"Accept", accept)] if accept else []), *([(b"Origin", origin)] if origin else [])]
    read = request_head.read_request(b"GET", fields, is_http_1_1=True)
    assert isinstance(read, RequestHead)
    return read


PEER = b"192.0.2.1"


def variant(names: tuple[bytes, ...], request: RequestHead) -> bytes:
    return cache_keys.variant(names, request, PEER)


def put(
    store: ResponseStore,
    key: bytes,
    body: bytes,
    names: tuple[bytes, ...] = (),
    request: RequestHead | None = None,
    expires: float = 100.0,
) -> None:
    entry = CacheEntry(200, b"head", body, 0.0, 0.0, expires)
    store.put(key, entry, names, variant(names, request or head()))


def body(store: ResponseStore, key: bytes, request: RequestHead | None = None, now: float = 0.0) -> bytes | None:
    entry = store.find(key, request or head(), PEER, now)
    return None if entry is None else entry.body


@every_store
def test_find_returns_the_entry_as_stored(new_store: StoreFactory) -> None:
    store = new_store()
    store.put(b"a", CacheEntry(203, b"head\r\n", b"\x00body\xff", 1.5, 2.5, 3.5), (), b"")
    entry = store.find(b"a", head(), PEER, 3.0)
    assert entry is not None
    assert (entry.status, entry.head, entry.body) == (203, b"head\r\n", b"\x00body\xff")
    assert (entry.age, entry.received, entry.expires, entry.size) == (1.5, 2.5, 3.5, 12)


@every_store
def test_stored_response_is_returned_until_it_expires(new_store: StoreFactory) -> None:
    store = new_store()
    assert body(store, b"a") is None
    put(store, b"a", b"body", expires=10.0)
    assert body(store, b"a", now=9.9) == b"body"
    assert body(store, b"b") is None
    assert body(store, b"a", now=10.0) is None


@every_store
def test_later_response_replaces_the_earlier_one(new_store: StoreFactory) -> None:
    store = new_store()
    put(store, b"a", b"first")
    put(store, b"a", b"second, and longer")
    assert body(store, b"a") == b"second, and longer"


@every_store
def test_variants_are_stored_separately(new_store: StoreFactory) -> None:
    store = new_store()
    put(store, b"a", b"x", (b"accept",), head(b"x"))
    put(store, b"a", b"y", (b"accept",), head(b"y"))
    assert [body(store, b"a", head(accept)) for accept in (b"x", b"y", b"z", b"")] == [b"x", b"y", None, None]


@every_store
def test_variants_by_address_are_stored_separately(new_store: StoreFactory) -> None:
    store = new_store()
    names = (b"x-forwarded-for",)
    entry = CacheEntry(200, b"head", b"body", 0.0, 0.0, 100.0)
    store.put(b"a", entry, names, cache_keys.variant(names, head(), b"192.0.2.1"))
    assert store.find(b"a", head(), b"192.0.2.1", 0.0) is entry
    assert store.find(b"a", head(), b"192.0.2.2", 0.0) is None


@every_store
def test_variant_expires_alone(new_store: StoreFactory) -> None:
    store = new_store()
    put(store, b"a", b"x", (b"accept",), head(b"x"), expires=1.0)
    put(store, b"a", b"y", (b"accept",), head(b"y"), expires=2.0)
    assert (body(store, b"a", head(b"x"), now=1.0), body(store, b"a", head(b"y"), now=1.0)) == (None, b"y")


@every_store
def test_other_vary_names_replace_all_variants(new_store: StoreFactory) -> None:
    store = new_store()
    put(store, b"a", b"x", (b"accept",), head(b"x"))
    put(store, b"a", b"y", (b"accept", b"origin"), head(b"y", b"o"))
    assert (body(store, b"a", head(b"x")), body(store, b"a", head(b"y", b"o"))) == (None, b"y")


@every_store
def test_response_without_vary_replaces_variants_and_vice_versa(new_store: StoreFactory) -> None:
    store = new_store()
    put(store, b"a", b"x", (b"accept",), head(b"x"))
    put(store, b"a", b"all")
    assert (body(store, b"a", head(b"x")), body(store, b"a", head(b"y"))) == (b"all", b"all")
    put(store, b"a", b"x", (b"accept",), head(b"x"))
    assert (body(store, b"a", head(b"x")), body(store, b"a", head(b"y"))) == (b"x", None)


KEYS = st.sampled_from([b"a", b"b", b"c"])
NAMES = st.sampled_from([(), (b"accept",), (b"accept", b"origin")])
HEADS = st.builds(head, st.sampled_from([b"", b"x", b"y"]), st.sampled_from([b"", b"o"]))


@every_store
@given(steps=st.lists(st.tuples(KEYS, NAMES, HEADS, st.integers(1, 9)), max_size=40), reads=st.lists(HEADS, max_size=4))
def test_store_agrees_with_a_model(
    new_store: StoreFactory, steps: list[tuple[bytes, tuple[bytes, ...], RequestHead, int]], reads: list[RequestHead]
) -> None:
    store = new_store()
    model: dict[bytes, tuple[tuple[bytes, ...], dict[bytes, tuple[bytes, float]]]] = {}
    for now, (key, names, request, lifetime) in enumerate(steps):
        if key not in model or model[key][0] != names:
            model[key] = (names, {})
        content = b"%d" % now
        model[key][1][variant(names, request)] = (content, now + lifetime)
        put(store, key, content, names, request, expires=now + lifetime)
        for read in (request, *reads):
            expected, expires = model[key][1].get(variant(names, read), (None, 0.0))
            assert body(store, key, read, now) == (expected if expires > now else None)
