"""The memory store is bounded by bytes and evicts the least recently used; a model does the same with a list."""

from hypothesis import given
from hypothesis import strategies as st
from test_store_responses import PEER, body, head, put

from inferway_dataplane.stores.memory_responses import MemoryResponses

COST = 701  # bytes of an entry with a key of one byte, in addition to its content
BODY = b"body"
ACCEPT = (b"accept",)


def put_variant(store: MemoryResponses, key: bytes, accept: bytes) -> None:
    put(store, key, accept, ACCEPT, head(accept))


def test_bytes_are_counted_with_key_head_body_and_overhead() -> None:
    store = MemoryResponses(1 << 20)
    put(store, b"a" * 10, BODY)
    assert store.bytes == 700 + 10 + 4 + 4
    put(store, b"a" * 10, b"second, and longer")
    assert (len(store), store.bytes) == (1, 700 + 10 + 4 + 18)


def test_an_expired_response_is_removed_when_it_is_looked_up() -> None:
    store = MemoryResponses(1 << 20)
    put(store, b"a", BODY, expires=10.0)
    assert body(store, b"a", now=10.0) is None
    assert (len(store), store.bytes) == (0, 0)


def test_least_recently_used_response_is_evicted() -> None:
    store = MemoryResponses(3 * (COST + 8))
    for key in (b"a", b"b", b"c"):
        put(store, key, BODY)
    assert body(store, b"a") == b"body"
    put(store, b"d", BODY)  # b goes
    assert [body(store, key) for key in (b"a", b"b", b"c", b"d")] == [b"body", None, b"body", b"body"]


def test_c9_oversized_response_evicts_no_other() -> None:
    store = MemoryResponses(10_000)
    put(store, b"a", BODY)
    put(store, b"b", b"x" * 20_000)
    assert body(store, b"b") is None
    assert body(store, b"a") == b"body"
    put(store, b"a", b"x" * 20_000)  # replaces the stored response, and does not fit
    assert (body(store, b"a"), store.bytes) == (None, 0)


def test_store_of_0_bytes_stores_no_response() -> None:
    store = MemoryResponses(0)
    put(store, b"a", BODY)
    put_variant(store, b"b", b"x")
    assert (len(store), store.bytes) == (0, 0)


def test_c9_store_stays_bounded_for_many_urls() -> None:
    store = MemoryResponses(100_000)
    for number in range(5_000):
        put(store, b"%d" % number, BODY)
    assert store.bytes <= 100_000
    assert body(store, b"4999") == b"body"


# --- variants ---------------------------------------------------------------------------------------------------------


def test_c10_key_has_at_most_32_variants() -> None:
    store = MemoryResponses(1 << 20)
    for number in range(1_000):
        put_variant(store, b"a", b"%d" % number)
    assert len(store) == 32 + 1
    assert body(store, b"a", head(b"999")) == b"999"
    assert body(store, b"a", head(b"967")) is None


def test_replaced_variants_are_not_counted() -> None:
    store = MemoryResponses(1 << 20)
    put_variant(store, b"a", b"x")
    put(store, b"a", b"all")
    assert (len(store), store.bytes) == (1, COST + 4 + 3)


def test_variants_in_use_are_kept() -> None:
    store = MemoryResponses(10_000)
    put_variant(store, b"a", b"x")
    for number in range(100):
        assert body(store, b"a", head(b"x")) == b"x", number
        put(store, b"%d" % number, BODY)


def test_unused_variants_are_evicted() -> None:
    store = MemoryResponses(10_000)
    put_variant(store, b"a", b"x")
    for number in range(100):
        put(store, b"%d" % number, BODY)
    assert body(store, b"a", head(b"x")) is None


# --- a model ----------------------------------------------------------------------------------------------------------

LIMIT = 4_000


class Model:
    """A list in the order of use."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, bytes, float]] = []

    def put(self, key: bytes, content: bytes, expires: float) -> None:
        self.entries = [entry for entry in self.entries if entry[0] != key]
        self.entries.append((key, content, expires))
        while sum(COST + 4 + len(one) for _, one, _ in self.entries) > LIMIT:
            self.entries.pop(0)

    def get(self, key: bytes, now: float) -> bytes | None:
        entry = next((entry for entry in self.entries if entry[0] == key), None)
        if entry is None:
            return None
        self.entries.remove(entry)
        if entry[2] <= now:
            return None
        self.entries.append(entry)
        return entry[1]


keys = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g"])
puts = st.tuples(st.just("put"), keys, st.integers(0, 2_000), st.integers(1, 9))
gets = st.tuples(st.just("get"), keys, st.just(0), st.just(0))


@given(st.lists(st.one_of(puts, gets), max_size=60))
def test_store_agrees_with_the_model(steps: list[tuple[str, bytes, int, int]]) -> None:
    store, model = MemoryResponses(LIMIT), Model()
    for now, (action, key, size, lifetime) in enumerate(steps):
        if action == "put":
            put(store, key, b"x" * size, expires=now + lifetime)
            model.put(key, b"x" * size, now + lifetime)
        else:
            assert body(store, key, now=now) == model.get(key, now)
        assert store.bytes == sum(COST + 4 + len(one) for _, one, _ in model.entries) <= LIMIT
        assert len(store) == len(model.entries)


varied = st.tuples(
    keys, st.sampled_from([(), ACCEPT, (b"accept", b"origin")]), st.sampled_from(b"xyz"), st.integers(0, 900)
)


@given(st.lists(st.one_of(varied, keys), max_size=60))
def test_store_with_variants_counts_its_bytes_and_is_bounded(steps: list[object]) -> None:
    store = MemoryResponses(LIMIT)
    for now, step in enumerate(steps):
        if isinstance(step, bytes):
            entry = store.find(step, head(b"x"), PEER, now)
            assert entry is None or entry.expires > now
        else:
            key, names, accept, size = step  # type: ignore[misc]
            request = head(bytes((accept,)))
            put(store, key, b"x" * size, names, request, expires=now + 20.0)
            assert body(store, key, request, now) == b"x" * size
        assert store.bytes <= LIMIT
        assert (store.bytes == 0) is (len(store) == 0)
    for key in (b"a", b"b", b"c", b"d", b"e", b"f", b"g"):
        put(store, key, b"x" * (LIMIT - 2 * COST - 4 - 1))  # replaces all variants of the key and evicts the rest
    assert len(store) == 1
