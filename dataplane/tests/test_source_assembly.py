"""Swap, wait or leave: the pure decisions of the cluster source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import Backend, ConfigDocument, Endpoint, EndpointsDocument, Route, Rule
from inferway_contract.sharding import ConfigIndex, ShardRef
from inferway_dataplane.sources.assembly import Assembled, Decision, Documents, decide, unknown

NAMES = ("a", "b", "c")


def config(*services: str) -> Assembled[ConfigDocument]:
    """A config that names these Services; its revision is their names."""
    rules = tuple(Rule(name=name, backends=(Backend(service=name),)) for name in services)
    return Assembled(ConfigDocument(routes=(Route(id="x/y", rules=rules),)), "".join(services))


def endpoints(port: int, *services: str) -> Assembled[EndpointsDocument]:
    """Endpoints of these Services, all on one port; their revision is port and names."""
    found = {name: (Endpoint(address="192.0.2.1", port=port),) for name in services}
    return Assembled(EndpointsDocument(services=found), f"{port}{''.join(services)}")


def summary_of(decision: Decision) -> tuple[str, dict[str, int], tuple[str, ...]] | tuple[str, ...]:
    """Config's revision, ports by Service, what is missing; or only what is missing, when nothing is swapped."""
    if decision.swap is None:
        return decision.missing
    ports = {name: found[0].port for name, found in decision.swap.endpoints.document.services.items()}
    return decision.swap.config.revision, ports, decision.missing


def live(config_names: str, port: int, endpoints_names: str) -> Documents:
    """What is served."""
    return Documents(config(*config_names), endpoints(port, *endpoints_names))


def test_first_document_is_swapped_in_or_waits() -> None:
    assert summary_of(decide(None, None, None)) == ()
    assert summary_of(decide(config("a"), None, None)) == ("a",)
    assert summary_of(decide(None, endpoints(1, "a"), None)) == ()
    assert summary_of(decide(config("a", "b"), endpoints(1, "b"), None)) == ("a",)
    assert summary_of(decide(config("a"), endpoints(1, "a", "b"), None)) == ("a", {"a": 1, "b": 1}, ())
    # A config that names no Service waits for endpoints to have been published nevertheless.
    assert summary_of(decide(config(), None, None)) == ()
    assert summary_of(decide(config(), endpoints(1), None)) == ("", {}, ())


def test_later_document_is_swapped_in_waits_or_is_ignored() -> None:
    now = live("a", 1, "a")
    assert summary_of(decide(config("a"), endpoints(1, "a"), now)) == ()
    assert summary_of(decide(config("a"), endpoints(2, "a"), now)) == ("a", {"a": 2}, ())
    assert summary_of(decide(config("a", "b"), endpoints(1, "a", "b"), now)) == ("ab", {"a": 1, "b": 1}, ())
    # The newest config waits, and the live one continues with newer endpoints.
    assert summary_of(decide(config("a", "b"), endpoints(2, "a"), now)) == ("a", {"a": 2}, ("b",))
    assert summary_of(decide(config("a", "b"), endpoints(1, "a"), now)) == ("b",)
    # Endpoints that are refused (None) stop no config whose Services are known.
    assert summary_of(decide(Assembled(config("a").document, "new"), None, now)) == ("new", {"a": 1}, ())
    assert summary_of(decide(config("b"), None, now)) == ("b",)


def test_live_config_keeps_addresses_that_newer_endpoints_lack() -> None:
    now = live("a", 1, "ab")
    decision = decide(None, endpoints(2, "b"), now)
    assert summary_of(decision) == ("a", {"a": 1, "b": 2}, ())
    assert decision.swap is not None
    assert decision.swap.endpoints.revision == "2b"
    # And keeps them when they change once more, and when the next config names them too.
    assert summary_of(decide(None, endpoints(3, "b"), decision.swap)) == ("a", {"a": 1, "b": 3}, ())
    assert summary_of(decide(config("a", "b"), endpoints(3, "b"), decision.swap)) == ("ab", {"a": 1, "b": 3}, ())
    # `b` was known, but no live config named it: its addresses may be wrong by now.
    assert summary_of(decide(config("b"), endpoints(2, "a"), now)) == ("a", {"a": 2}, ("b",))


def test_live_document_is_applied_again_after_a_rejection() -> None:
    now = live("a", 1, "a")
    assert decide(config("a"), endpoints(1, "a"), now, is_anew=True).swap is now
    assert decide(None, None, None, is_anew=True).swap is None


subsets = st.sets(st.sampled_from(NAMES)).map(lambda names: tuple(sorted(names)))
states = st.none() | st.tuples(subsets, st.integers(1, 3), subsets)


@given(
    st.none() | subsets,
    st.none() | st.tuples(st.integers(1, 3), subsets),
    st.tuples(subsets, st.integers(1, 3)) | st.none(),
)
def test_served_document_has_endpoints_of_every_service(new, found, older) -> None:
    now = live("".join(older[0]), older[1], "".join(older[0])) if older is not None else None
    newest = config(*new) if new is not None else None
    given_endpoints = endpoints(found[0], *found[1]) if found is not None else None
    decision = decide(newest, given_endpoints, now)
    if decision.swap is not None:
        needed = decision.swap.config.document.named_services()
        assert needed <= decision.swap.endpoints.document.services.keys()
        # Only the newest config, or the one that is live, is ever served.
        assert decision.swap.config in (newest, now.config if now is not None else None)
    if newest is not None and given_endpoints is not None and set(new) <= set(found[1]):
        # Nothing is missing: it is live afterwards.
        assert decision.missing == ()
        after = decision.swap or now
        assert after is not None
        assert after.config.revision == newest.revision


def test_only_unknown_shards_are_fetched_and_each_once() -> None:
    refs = tuple(ShardRef(name=name, digest=digest) for name, digest in (("x", "1"), ("y", "2"), ("z", "1")))
    index = ConfigIndex(shards=refs)
    assert [ref.digest for ref in unknown(index, ())] == ["1", "2"]
    assert unknown(index, {"1", "2"}) == []
