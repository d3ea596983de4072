"""Which pods count, and as what."""

import pytest

from inferway_contract.acknowledgement import LEASE_SECONDS, Acknowledgement
from inferway_operator.world import pods as world_pods
from inferway_operator.world.pods import LeaseState, PodAck, PodState

NOW = 1_000_000.0
SERVES = Acknowledgement(config="aaaaaaaaaa")
NOTHING = Acknowledgement()


def pod(**changes: object) -> PodState:
    return PodState(**{"name": "a", "uid": "1", "is_terminating": False, "is_ready": True, **changes})  # type: ignore[arg-type]


def lease(age: float = 1.0, **changes: object) -> LeaseState:
    return LeaseState(**{"name": "a", "holder": "1", "renewed": NOW - age, "acknowledgement": SERVES, **changes})  # type: ignore[arg-type]


EXPIRED = LEASE_SECONDS + 0.1
NEVER = float("-inf")


@pytest.mark.parametrize(
    ("state", "leases", "expected"),
    [
        pytest.param(pod(), [lease()], PodAck("a", SERVES, False), id="ready and heard of"),
        pytest.param(pod(), [lease(LEASE_SECONDS)], PodAck("a", SERVES, False), id="just in time"),
        pytest.param(pod(), [lease(EXPIRED)], PodAck("a", SERVES, True), id="ready, and hangs"),
        pytest.param(
            pod(),
            [lease(renewed=NEVER, awaited_since=NOW - 1)],
            PodAck("a", SERVES, False, True),
            id="only just listened to",
        ),
        pytest.param(
            pod(),
            [lease(EXPIRED, awaited_since=NOW - 1)],
            PodAck("a", SERVES, False, True),
            id="no renewal could be received yet",
        ),
        pytest.param(
            pod(),
            [lease(awaited_since=NOW - 1)],
            PodAck("a", SERVES, False),
            id="renewed before an API outage",
        ),
        pytest.param(
            pod(),
            [lease(renewed=NEVER, awaited_since=NOW - EXPIRED)],
            PodAck("a", SERVES, True),
            id="listened to in vain",
        ),
        pytest.param(pod(), [lease(-3.0)], PodAck("a", SERVES, False), id="its clock is ahead"),
        pytest.param(pod(), [], PodAck("a", NOTHING, False), id="ready, and its Lease is not seen yet"),
        pytest.param(
            pod(ready_since=NOW - 31),
            [],
            PodAck("a", NOTHING, False, never_reported=True),
            id="ready for long, without a Lease",
        ),
        pytest.param(pod(ready_since=NOW - 29), [], PodAck("a", NOTHING, False), id="ready, without a Lease so far"),
        pytest.param(pod(ready_since=NOW - 31), [lease()], PodAck("a", SERVES, False), id="ready for long"),
        pytest.param(pod(), [lease(holder="0")], PodAck("a", NOTHING, False), id="the Lease of a namesake before it"),
        pytest.param(pod(), [lease(name="b")], PodAck("a", NOTHING, False), id="the Lease of another pod"),
        pytest.param(pod(is_ready=False), [lease()], PodAck("a", SERVES, False), id="not ready, and serves"),
        pytest.param(
            pod(is_ready=False), [lease(acknowledgement=NOTHING)], None, id="not ready, and has nothing to serve"
        ),
        pytest.param(pod(is_ready=False), [lease(EXPIRED)], None, id="not ready, and not heard of"),
        pytest.param(pod(is_ready=False), [], None, id="not ready, and never heard of"),
        pytest.param(pod(is_ready=False), [lease(holder="0")], None, id="not ready, with a namesake's Lease"),
        pytest.param(pod(is_terminating=True), [lease()], None, id="terminating"),
        pytest.param(pod(is_terminating=True, is_ready=False), [lease()], None, id="terminating and not ready"),
    ],
)
def test_pod_counts_by_its_readiness_and_lease(
    state: PodState, leases: list[LeaseState], expected: PodAck | None
) -> None:
    assert world_pods.counted([state], leases, NOW) == ((expected,) if expected else ())


def test_counted_pods_are_sorted_by_name() -> None:
    pods = [pod(name=name, uid=name) for name in ("c", "a", "b")]
    leases = [lease(name=name, holder=name) for name in ("b", "c", "a")]
    assert [ack.pod for ack in world_pods.counted(pods, leases, NOW)] == ["a", "b", "c"]


def test_pod_is_starting_until_its_first_report() -> None:
    assert PodAck("a", NOTHING, False).is_starting
    assert not PodAck("a", SERVES, False).is_starting
    assert not PodAck("a", Acknowledgement(refused="bbbbbbbbbb", error="no"), False).is_starting
    assert not PodAck("a", NOTHING, True).is_starting, "it had a Lease, and let it expire"
    assert not PodAck("a", NOTHING, False, never_reported=True).is_starting
