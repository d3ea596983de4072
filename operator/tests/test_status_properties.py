"""Properties of a status under any acknowledgements and any previous status."""

from typing import Any

import status_situations as at
from hypothesis import given, settings
from hypothesis import strategies as st
from status_situations import HISTORY, NEW, OLD, verdict

from inferway_operator.world.pods import PodAck
from inferway_testing.examples import examples

REVISIONS = st.sampled_from(["", "lost", *HISTORY])
ACKS = st.lists(
    st.builds(
        lambda pod, config, refused, error, expired: at.ack(pod, config, refused=refused, error=error, expired=expired),
        st.sampled_from([f"pod-{number}" for number in range(14)]),
        REVISIONS,
        REVISIONS,
        st.sampled_from(["", "format 2 is not known"]),
        st.booleans(),
    ),
    max_size=13,
    unique_by=lambda ack: ack.pod,
)
SITUATIONS = st.fixed_dictionaries(
    {
        "acks": ACKS,
        "fragment_and_revision": st.sampled_from([(NEW, "r3"), (NEW, "r4"), (OLD, "r2"), ("", "r0")]),
        "about": st.builds(
            verdict,
            st.just("GatewayRoute"),
            st.integers(1, 3),
            accepted=st.booleans(),
            shadowed=st.booleans(),
        ),
        "too_large": st.sampled_from(["", "", "", "takes too much"]),
    }
)


def status_after(situation: dict[str, Any], current: dict[str, Any] | None, second: int) -> dict[str, Any] | None:
    fragment, revision = situation["fragment_and_revision"]
    return at.decide(
        situation["acks"],
        current,
        about=situation["about"],
        fragment=fragment,
        revision=revision,
        second=second,
        too_large=situation["too_large"],
    )


def carries(ack: PodAck, fragment: str) -> bool:
    return not ack.is_expired and HISTORY.get(ack.acknowledgement.config) == fragment


@given(st.lists(SITUATIONS, min_size=1, max_size=6))
@settings(deadline=None, max_examples=examples(500))
def test_status_holds_its_invariants_through_any_history(situations: list[dict[str, Any]]) -> None:
    current: dict[str, Any] | None = None
    for second, situation in enumerate(situations):
        before, current = current, status_after(situation, current, second) or current
        assert current is not None, "the first is always written"
        # Deciding again on what was written writes nothing, at any time.
        assert status_after(situation, current, second + 100) is None
        generations = [item["observedGeneration"] for item in current["conditions"]]
        assert set(generations) == {current["observedGeneration"]}
        assert current["observedGeneration"] == situation["about"].meta.generation
        others = [item for item in current["conditions"] if item["type"] not in ("Ready", "Shadowed")]
        is_ready = at.condition(current, "Ready")["status"] == "True"
        assert is_ready == all(item["status"] == "True" for item in others)
        fragment, _ = situation["fragment_and_revision"]
        programmed = at.condition(current, "Programmed")
        if programmed["status"] == "True":
            assert fragment
            assert not situation["too_large"]
            assert all(carries(ack, fragment) or ack.is_starting for ack in situation["acks"])
            assert "laggards" not in current["dataPlane"]
        elif situation["acks"] and fragment and not situation["too_large"]:
            assert not all(carries(ack, fragment) for ack in situation["acks"])
        if before is None or before["observedGeneration"] <= current["observedGeneration"]:
            _check_times(before, current)


@given(SITUATIONS)
@settings(deadline=None, max_examples=examples(300))
def test_first_programmed_requires_all_counted_pods(situation: dict[str, Any]) -> None:
    status = status_after(situation, None, 0)
    assert status is not None
    fragment, _ = situation["fragment_and_revision"]
    all_carry = bool(situation["acks"]) and all(carries(ack, fragment) for ack in situation["acks"])
    is_published = fragment != "" and not situation["too_large"]
    assert (at.condition(status, "Programmed")["status"] == "True") == (all_carry and is_published)


def _check_times(before: dict[str, Any] | None, current: dict[str, Any]) -> None:
    was = {item["type"]: item for item in before["conditions"]} if before else {}
    for item in current["conditions"]:
        last = was.get(item["type"])
        if last is not None and last["status"] == item["status"]:
            assert item["lastTransitionTime"] == last["lastTransitionTime"]
