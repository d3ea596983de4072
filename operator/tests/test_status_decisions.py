"""What a status says in each situation, and when nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest
import status_situations as at
import yaml
from status_situations import OLD, ack, all_at, decide, made, told, verdict

from inferway_operator.world.pods import PodAck

CRDS = Path(__file__).parents[2] / "crds"
CARRIED: dict[str, Any] = made(all_at("r3"))
"""The status once all three pods have the object."""


def test_first_write() -> None:
    assert made(all_at("r3")) == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": kind, "status": "True", "reason": kind, "message": message,
                "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind, message in (
                ("Accepted", "1 rule accepted"), ("ResolvedRefs", "all is there"), ("Programmed", "3/3 pods"),
            )
        ],
        "dataPlane": {
            "revision": "r3",
            "fragment": "1111111111",
            "pods": "3/3",
            "applied": 3,
            "total": 3,
            "lastAppliedTime": "2026-01-01T00:00:00Z",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("acks", "expected", "laggards"),
    [
        pytest.param(
            all_at("r2"),
            "False Pending: 0/3 pods; waiting for a, b, c",
            [{"pod": name, "revision": "r2"} for name in "abc"],
            id="0/3",
        ),
        pytest.param(
            [*all_at("r3", 2), ack("c", "r2")],
            "False Pending: 2/3 pods; waiting for c",
            [{"pod": "c", "revision": "r2"}],
            id="2/3",
        ),
        pytest.param(all_at("r3"), "True Programmed: 3/3 pods", None, id="3/3"),
        pytest.param(all_at("r4"), "True Programmed: 3/3 pods", None, id="a newer revision carries it too"),
        pytest.param(
            [ack("a", "r3"), ack("b")], "False Pending: 1/2 pods; waiting for b", [{"pod": "b"}], id="says nothing"
        ),
        pytest.param(
            [ack("a", "forgotten")],
            "False Pending: 0/1 pods; waiting for a",
            [{"pod": "a", "revision": "forgotten"}],
            id="serves what nobody knows",
        ),
        pytest.param(
            [ack("a", "r3"), ack("b", "r3", expired=True)],
            "False Pending: 1/2 pods; waiting for b",
            [{"pod": "b", "revision": "r3", "error": "not heard of for 15 s: its Lease has expired"}],
            id="its Lease has expired",
        ),
        pytest.param(
            [ack("a", "r2"), ack("b", "r2", refused="r3", error="format 2 is not known"), ack("c", "r3")],
            "False Rejected: 1/3 pods; b refuses: format 2 is not known",
            [{"pod": "b", "revision": "r2", "error": "format 2 is not known"}, {"pod": "a", "revision": "r2"}],
            id="refuses the newest",
        ),
        pytest.param(
            [ack("a", "r2", refused="r3")],
            "False Rejected: 0/1 pods; a refuses: it does not say why",
            [{"pod": "a", "revision": "r2"}],
            id="refuses without a word",
        ),
        pytest.param(
            [ack("a", "r1", refused="r2", error="of old")],
            "False Pending: 0/1 pods; waiting for a",
            [{"pod": "a", "revision": "r1"}],
            id="refused what is over",
        ),
        pytest.param(
            [ack("a", "r3", refused="r4", error="another object")], "True Programmed: 1/1 pods", None,
            id="refuses what others changed, and carries it",
        ),
        pytest.param(
            [ack("a", "r2", refused="r3", error="line\none\x1b[31m")],
            "False Rejected: 0/1 pods; a refuses: line\\none\\x1b[31m",
            [{"pod": "a", "revision": "r2", "error": "line\\none\\x1b[31m"}],
            id="an error is one plain line",
        ),
        pytest.param([], "False NoDataPlane: no pod of the data plane is ready to serve it", None, id="no data plane"),
    ],
)  # fmt: skip
def test_programmed(acks: list[PodAck], expected: str, laggards: list[dict[str, str]] | None) -> None:
    found = made(acks)
    assert told(found) == expected
    assert found["dataPlane"].get("laggards") == laggards
    applied = len(acks) - len(laggards or ())
    assert (found["dataPlane"]["applied"], found["dataPlane"]["total"]) == (applied, len(acks))
    assert found["dataPlane"]["pods"] == f"{applied}/{len(acks)}"


def test_a_refusal_of_a_revision_between_counts_while_the_object_is_the_same() -> None:
    acks = [ack("a", "r2", refused="r3", error="no")]
    assert told(made(acks, revision="r4")) == "False Rejected: 0/1 pods; a refuses: no"


def test_only_ten_laggards_are_named() -> None:
    found = made([ack(f"p{number:02}", "r2") for number in range(13)] + [ack("p99", "r2", refused="r3", error="no")])
    assert [laggard["pod"] for laggard in found["dataPlane"]["laggards"]] == ["p99", *(f"p{n:02}" for n in range(9))]
    assert found["dataPlane"]["pods"] == "0/14"
    waiting = made([ack(f"p{number:02}", "r2") for number in range(13)])
    assert told(waiting).endswith(" p08, p09 and 3 more")


def test_thousands_of_errors_are_a_message_that_ends() -> None:
    found = made([ack(f"p{number:04}", refused="r3", error="x" * 1000) for number in range(1000)])
    assert len(at.condition(found, "Programmed")["message"]) < 3000


# --- what is not written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "acks",
    [
        pytest.param(all_at("r3"), id="the same"),
        pytest.param(all_at("r4"), id="another object changed"),
        pytest.param(all_at("r3", 5), id="pods were added"),
        pytest.param(all_at("r3", 1), id="pods went"),
        pytest.param([*all_at("r3", 2), ack("x", "r4")], id="a pod was replaced"),
        pytest.param([*all_at("r3", 2), ack("x")], id="a pod is seen before its Lease"),
        pytest.param([*all_at("r3", 2), ack("c", "r3", refused="r4", error="no")], id="a pod refuses another object"),
    ],
)
def test_pods_that_come_and_go_write_nothing(acks: list[PodAck]) -> None:
    assert decide(acks, CARRIED, second=60, revision="r4") is None


def test_what_nobody_serves_any_more_is_not_programmed() -> None:
    gone = decide([], CARRIED, second=60)
    assert gone is not None
    assert told(gone) == "False NoDataPlane: no pod of the data plane is ready to serve it"
    assert gone["dataPlane"]["pods"] == "0/0"
    back = decide(all_at("r3", 2), gone, second=90)
    assert back is not None
    assert told(back) == "True Programmed: 2/2 pods"


@pytest.mark.parametrize("current", [None, made(all_at("r2")), CARRIED], ids=["new", "pending", "carried"])
@pytest.mark.parametrize("acks", [all_at("r3"), all_at("r2"), [*all_at("r3", 2), ack("c", "r2")], []])
def test_what_was_written_is_not_written_again(current: dict[str, Any] | None, acks: list[PodAck]) -> None:
    first = decide(acks, current, second=1)
    assert decide(acks, first or current, second=2) is None


def test_an_older_run_never_overwrites_a_newer_one() -> None:
    newer = made(all_at("r3"), about=verdict(generation=2))
    assert decide(all_at("r2"), newer, about=verdict(generation=1, accepted=False)) is None
    assert decide(all_at("r2"), newer, about=verdict(generation=2, accepted=False)) is not None


def test_conditions_of_others_are_passed_over() -> None:
    theirs = {"type": "example.com/Audited", "status": "True", "reason": "Audited", "message": "fine"}
    current = {**CARRIED, "conditions": [theirs, *reversed(CARRIED["conditions"])]}
    assert decide(all_at("r3"), current, second=9) is None


@pytest.mark.parametrize(
    "current",
    [
        {"conditions": "none"},
        {"conditions": [7, {"type": 5}, {"type": "Accepted"}, {}], "dataPlane": [], "observedGeneration": "x"},
        {"dataPlane": {"fragment": "1111111111"}},
    ],
)
def test_a_status_that_somebody_spoilt_is_written_anew(current: dict[str, Any]) -> None:
    assert made(all_at("r3"), current) == CARRIED


# --- what changes ----------------------------------------------------------------------------------------------------


def test_the_revision_stays_while_the_object_is_the_same() -> None:
    pending = made([*all_at("r3", 2), ack("c", "r2")])
    found = made(all_at("r4"), pending, revision="r4", second=7)
    assert (found["dataPlane"]["revision"], found["dataPlane"]["pods"]) == ("r3", "3/3")
    assert found["dataPlane"]["lastAppliedTime"] == at.written(7)


def test_a_change_of_the_object_is_programmed_again() -> None:
    before = made(all_at("r2"), fragment=OLD, revision="r2")
    found = made(all_at("r2"), before, second=5)
    assert told(found) == "False Pending: 0/3 pods; waiting for a, b, c"
    assert found["dataPlane"]["revision"] == "r3"
    assert "lastAppliedTime" not in found["dataPlane"], "nobody has applied it yet"


@pytest.mark.parametrize(
    ("acks", "expected"),
    [
        pytest.param([*all_at("r3", 2), ack("c", "r3", expired=True)], "False Pending: 2/3 pods; waiting for c", id="hangs"),
        pytest.param([*all_at("r3", 2), ack("c", "r2")], "False Pending: 2/3 pods; waiting for c", id="fell back"),
        pytest.param(
            [*all_at("r3", 2), ack("c", "r2", refused="r3", error="no")], "False Rejected: 2/3 pods; c refuses: no",
            id="fell back and refuses",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_falls_behind_is_told(acks: list[PodAck], expected: str) -> None:
    found = made(acks, CARRIED, second=30)
    assert told(found) == expected
    assert at.condition(found, "Programmed")["lastTransitionTime"] == at.written(30)
    assert found["dataPlane"]["lastAppliedTime"] == at.written(0), "nobody has applied it since"
    healed = made(all_at("r3"), found, second=40)
    assert told(healed) == "True Programmed: 3/3 pods"
    assert healed["dataPlane"]["lastAppliedTime"] == at.written(40)


UNJUDGED = [ack(name, "r3", unjudged=True) for name in "abc"]
"""An operator has just started, and three pods said before that they carry the object."""


@pytest.mark.parametrize(
    "acks", [all_at("r2"), [*all_at("r3", 2), ack("c", "r3", expired=True)], all_at("r3")], ids=["0/3", "2/3", "3/3"]
)
def test_pods_that_are_not_judged_yet_change_nothing(acks: list[PodAck]) -> None:
    current = made(acks)
    assert decide(UNJUDGED, current, second=9) is None
    assert decide([*UNJUDGED[:2], ack("c", "r3")], current, second=9) is None, "one was heard, and the others not yet"


def test_a_pod_that_is_not_judged_yet_is_no_proof_of_what_is_new() -> None:
    assert told(made([*all_at("r3", 2), UNJUDGED[2]])) == "False Pending: 2/3 pods; waiting for c"
    assert told(made(UNJUDGED, made(all_at("r3"), fragment=OLD))) == "False Pending: 0/3 pods; waiting for a, b, c"


def test_a_pod_that_is_behind_is_told_whoever_is_not_judged_yet() -> None:
    found = made([*UNJUDGED[:2], ack("c", "r2")], CARRIED, second=30)
    assert told(found) == "False Pending: 2/3 pods; waiting for c"


def test_a_pod_that_says_nothing_is_waited_for_only_while_the_object_is_new() -> None:
    acks = [*all_at("r3", 2), ack("c")]
    assert told(made(acks)) == "False Pending: 2/3 pods; waiting for c"
    assert decide(acks, CARRIED, second=1) is None


def test_a_pod_that_never_writes_a_lease_is_told() -> None:
    found = made([*all_at("r3", 2), PodAck("c", ack("c").said, False, is_mute=True)], CARRIED, second=60)
    assert told(found) == "False Pending: 2/3 pods; waiting for c"
    [laggard] = found["dataPlane"]["laggards"]
    assert laggard["error"] == "ready for 30 s, and has written no Lease"


def test_the_transition_time_changes_with_the_status_only() -> None:
    found = made(all_at("r3"), CARRIED, about=verdict(generation=2, accepted=False), second=50)
    times = {item["type"]: item["lastTransitionTime"] for item in found["conditions"]}
    assert times == {"Accepted": at.written(50), "ResolvedRefs": at.written(0), "Programmed": at.written(0)}
    assert {item["observedGeneration"] for item in found["conditions"]} == {2}
    assert found["dataPlane"] == CARRIED["dataPlane"], "its part of the config is the same"


def test_shadowed_stands_there_only_when_it_is_true() -> None:
    found = made(all_at("r3"), CARRIED, about=verdict(shadowed=True))
    assert [item["type"] for item in found["conditions"]] == ["Accepted", "ResolvedRefs", "Programmed", "Shadowed"]
    assert made(all_at("r3"), found, second=3) == CARRIED


# --- what is not in the config -------------------------------------------------------------------------------------------


def test_too_large() -> None:
    found = made(all_at("r3"), CARRIED, fragment="", too_large="GatewayRoute/demo/shop takes 900000 bytes")
    assert told(found) == "False TooLarge: GatewayRoute/demo/shop takes 900000 bytes"
    assert "dataPlane" not in found


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("GatewayRoute", "nothing of it can be published: mend what Accepted tells"),
        ("RateLimitPolicy", "no rule that is served is limited by it: see TargetsResolved and Accepted"),
    ],
)
def test_nothing_of_it_is_in_the_config(kind: str, message: str) -> None:
    found = made(all_at("r3"), about=verdict(kind), fragment="")
    assert told(found) == f"False NothingToProgram: {message}"
    assert "dataPlane" not in found
    assert decide([], found, about=verdict(kind), fragment="", second=9) is None, "there is nothing to count"


# --- policies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acks", "accepted", "expected"),
    [
        (all_at("r3"), True, "True Enforced: its limits are enforced"),
        (all_at("r3"), False, "True Enforced: the limits that were published last are enforced"),
        (all_at("r2"), True, "False NotProgrammed: not by every pod: see Programmed"),
        ([], True, "False NotProgrammed: not by every pod: see Programmed"),
    ],
)
def test_enforced(acks: list[PodAck], accepted: bool, expected: str) -> None:
    found = made(acks, about=verdict("RateLimitPolicy", accepted=accepted))
    assert told(found, "Enforced") == expected
    assert [item["type"] for item in found["conditions"]] == ["Accepted", "TargetsResolved", "Programmed", "Enforced"]


# --- the schema --------------------------------------------------------------------------------------------------------------


def _fits(value: Any, schema: dict[str, Any], path: str = "status") -> None:
    """The part of JSON Schema that our status schema is made of."""
    match schema["type"]:
        case "object":
            assert set(value) <= set(schema["properties"]), path
            assert set(schema.get("required", ())) <= set(value), path
            for name, field in value.items():
                _fits(field, schema["properties"][name], f"{path}.{name}")
        case "array":
            assert len(value) <= schema["maxItems"], path
            for item in value:
                _fits(item, schema["items"], f"{path}[]")
        case "integer":
            assert schema["minimum"] <= value <= schema.get("maximum", 2**63), path
        case "string":
            assert len(value) <= schema.get("maxLength", 30), path
            assert value in schema.get("enum", [value]), path


@pytest.mark.parametrize("kind", ["GatewayRoute", "RateLimitPolicy"])
@pytest.mark.parametrize(
    "acks",
    [
        all_at("r3"),
        [],
        [ack(f"p{number}", "x" * 1000, refused="r3", error="\x1b\n" * 500) for number in range(300)],
        [ack("a", "r3", expired=True)],
    ],
    ids=["carried", "no pods", "hostile pods", "expired"],
)
def test_the_schema_takes_every_status(kind: str, acks: list[PodAck]) -> None:
    crd = yaml.safe_load(
        (CRDS / f"{'gatewayroutes' if kind == 'GatewayRoute' else 'ratelimitpolicies'}.yaml").read_text()
    )
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    found = made(acks, about=verdict(kind, shadowed=kind == "GatewayRoute"))
    _fits(json.loads(json.dumps(found)), schema)
