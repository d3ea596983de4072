"""The circuit breaker's caps."""

from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import CircuitBreaker
from inferway_dataplane.core.upstreams.circuit_breaker import Breaker
from inferway_dataplane.core.upstreams.members import RuleCounters


@given(st.integers(1, 5), st.integers(0, 3), st.lists(st.sampled_from(["in", "out", "wait", "go"]), max_size=60))
def test_circuit_breaker_admits_exactly_up_to_its_caps(requests: int, pending: int, events: list[str]) -> None:
    counters = RuleCounters()
    breaker = Breaker(CircuitBreaker(max_requests=requests, max_pending=pending), counters)
    in_flight = waiting = 0
    for event in events:
        match event:
            case "in":
                assert breaker.enter() is (in_flight < requests)
                in_flight = min(in_flight + 1, requests)
            case "out" if in_flight:
                breaker.leave()
                in_flight -= 1
            case "wait":
                assert breaker.enter_pending() is (waiting < pending)
                waiting = min(waiting + 1, pending)
            case "go" if waiting:
                breaker.leave_pending()
                waiting -= 1
        assert (counters.in_flight, counters.pending) == (in_flight, waiting)


def test_circuit_breaker_counts_in_flight_across_documents() -> None:
    counters = RuleCounters()
    older = Breaker(CircuitBreaker(max_requests=4), counters)
    assert all(older.enter() for _ in range(4))
    newer = Breaker(CircuitBreaker(max_requests=2), counters)
    assert not newer.enter()
    for _ in range(2):
        older.leave()
    assert not newer.enter()
    older.leave()
    assert newer.enter()
