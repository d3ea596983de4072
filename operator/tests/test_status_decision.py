"""The status in each situation, and when nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest
import status_situations as at
import yaml
from status_situations import OLD, ack, all_at, condition_line, decide, verdict, written_status

from inferway_contract.conditions import Condition, ConditionType, Reason
from inferway_operator.compiler import Verdict
from inferway_operator.status.ready import ready_condition
from inferway_operator.world.pods import PodAck

CRDS = Path(__file__).parents[2] / "crds"
CARRIED: dict[str, Any] = written_status(all_at("r3"))
"""The status once all three pods have the object."""


def test_first_status_has_all_conditions_and_data_plane() -> None:
    assert written_status(all_at("r3")) == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": kind, "status": "True", "reason": kind, "message": message,
                "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind, message in (
                ("Ready", "valid, resolved and served by every pod"),
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
            [ack("a", "r3"), ack("b")], "False Pending: 1/2 pods; waiting for b", [{"pod": "b"}], id="reports nothing"
        ),
        pytest.param(
            [ack("a", "forgotten")],
            "False Pending: 0/1 pods; waiting for a",
            [{"pod": "a", "revision": "forgotten"}],
            id="serves an unknown config",
        ),
        pytest.param(
            [ack("a", "r3"), ack("b", "r3", expired=True)],
            "False Pending: 1/2 pods; waiting for b",
            [{"pod": "b", "revision": "r3", "error": "Lease expired: not renewed for 15 s"}],
            id="its Lease has expired",
        ),
        pytest.param(
            [ack("a", "r2"), ack("b", "r2", refused="r3", error="format 2 is not known"), ack("c", "r3")],
            "False Rejected: 1/3 pods; pod b rejected the config (format 2 is not known)",
            [{"pod": "b", "revision": "r2", "error": "format 2 is not known"}, {"pod": "a", "revision": "r2"}],
            id="refuses the newest",
        ),
        pytest.param(
            [ack("a", "r2", refused="r3")],
            "False Rejected: 0/1 pods; pod a rejected the config (no error reported)",
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
            "False Rejected: 0/1 pods; pod a rejected the config (line\\none\\x1b[31m)",
            [{"pod": "a", "revision": "r2", "error": "line\\none\\x1b[31m"}],
            id="an error is one plain line",
        ),
        pytest.param([], "False NoDataPlane: no ready data-plane pod", None, id="no data plane"),
    ],
)  # fmt: skip
def test_programmed_reflects_the_acknowledgements(
    acks: list[PodAck], expected: str, laggards: list[dict[str, str]] | None
) -> None:
    status = written_status(acks)
    assert condition_line(status) == expected
    assert status["dataPlane"].get("laggards") == laggards
    applied = len(acks) - len(laggards or ())
    assert (status["dataPlane"]["applied"], status["dataPlane"]["total"]) == (applied, len(acks))
    assert status["dataPlane"]["pods"] == f"{applied}/{len(acks)}"


def test_rejection_of_an_earlier_revision_counts_if_unchanged() -> None:
    acks = [ack("a", "r2", refused="r3", error="no")]
    assert (
        condition_line(written_status(acks, revision="r4"))
        == "False Rejected: 0/1 pods; pod a rejected the config (no)"
    )


def test_status_lists_at_most_ten_laggards() -> None:
    status = written_status(
        [ack(f"p{number:02}", "r2") for number in range(13)] + [ack("p99", "r2", refused="r3", error="no")]
    )
    assert [laggard["pod"] for laggard in status["dataPlane"]["laggards"]] == ["p99", *(f"p{n:02}" for n in range(9))]
    assert status["dataPlane"]["pods"] == "0/14"
    waiting = written_status([ack(f"p{number:02}", "r2") for number in range(13)])
    assert condition_line(waiting).endswith(" p08, p09 and 3 more")


def test_message_of_1000_errors_stays_below_3000_characters() -> None:
    status = written_status([ack(f"p{number:04}", refused="r3", error="x" * 1000) for number in range(1000)])
    assert len(at.condition(status, "Programmed")["message"]) < 3000


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
def test_joining_and_leaving_pods_cause_no_write(acks: list[PodAck]) -> None:
    assert decide(acks, CARRIED, second=60, revision="r4") is None


def test_object_without_serving_pods_is_not_programmed() -> None:
    gone = decide([], CARRIED, second=60)
    assert gone is not None
    assert condition_line(gone) == "False NoDataPlane: no ready data-plane pod"
    assert gone["dataPlane"]["pods"] == "0/0"
    back = decide(all_at("r3", 2), gone, second=90)
    assert back is not None
    assert condition_line(back) == "True Programmed: 2/2 pods"


@pytest.mark.parametrize("current", [None, written_status(all_at("r2")), CARRIED], ids=["new", "pending", "carried"])
@pytest.mark.parametrize("acks", [all_at("r3"), all_at("r2"), [*all_at("r3", 2), ack("c", "r2")], []])
def test_unchanged_status_is_not_written_again(current: dict[str, Any] | None, acks: list[PodAck]) -> None:
    first = decide(acks, current, second=1)
    assert decide(acks, first or current, second=2) is None


# --- a status of another object ----------------------------------------------------------------------------------------

RESTORED = {
    "pods": "2/3",
    "applied": 2,
    "total": 3,
    "lastAppliedTime": at.timestamp(0),
    "laggards": [{"pod": "of old"}],
}
CREATED = "2026-01-01T00:01:00Z"


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"observedGeneration": 57}, verdict()),
        ({}, verdict(created=CREATED)),
        ({"dataPlane": {**CARRIED["dataPlane"], **RESTORED}}, verdict(created=CREATED)),
    ],
    ids=["of a later generation", "older than the object", "older than the object, with pods"],
)
@pytest.mark.parametrize("acks", [[ack("a")], all_at("r2"), all_at("r3"), []])
def test_status_out_of_a_backup_is_replaced(change: dict[str, Any], about: Verdict, acks: list[PodAck]) -> None:
    """It has the same part of the config and is Programmed; the pods of this cluster have not reported it."""
    restored = {**CARRIED, **change}
    status = decide(acks, restored, about=about, second=90)
    assert status == decide(acks, None, about=about, second=90)
    assert decide(acks, status, about=about, second=100) is None


def test_status_is_never_older_than_the_object() -> None:
    """The clock of the API server may be ahead: the operator's own status must not seem to be one out of a backup."""
    status = written_status(all_at("r2"), about=verdict(created=CREATED), second=1)
    assert {item["lastTransitionTime"] for item in status["conditions"]} == {CREATED}
    assert decide(all_at("r2"), status, about=verdict(created=CREATED), second=2) is None
    assert decide(all_at("r3"), status, about=verdict(created="odd"), second=2) is not None


def test_conditions_of_other_controllers_are_ignored() -> None:
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
def test_damaged_status_is_written_again(current: dict[str, Any]) -> None:
    assert written_status(all_at("r3"), current) == CARRIED


# --- what changes ----------------------------------------------------------------------------------------------------


def test_revision_stays_while_the_object_is_unchanged() -> None:
    pending = written_status([*all_at("r3", 2), ack("c", "r2")])
    status = written_status(all_at("r4"), pending, revision="r4", second=7)
    assert (status["dataPlane"]["revision"], status["dataPlane"]["pods"]) == ("r3", "3/3")
    assert status["dataPlane"]["lastAppliedTime"] == at.timestamp(7)


def test_changed_object_is_programmed_again() -> None:
    before = written_status(all_at("r2"), fragment=OLD, revision="r2")
    status = written_status(all_at("r2"), before, second=5)
    assert condition_line(status) == "False Pending: 0/3 pods; waiting for a, b, c"
    assert status["dataPlane"]["revision"] == "r3"
    assert "lastAppliedTime" not in status["dataPlane"], "no pod has applied it yet"


@pytest.mark.parametrize(
    ("acks", "expected"),
    [
        pytest.param([*all_at("r3", 2), ack("c", "r3", expired=True)], "False Pending: 2/3 pods; waiting for c", id="hangs"),
        pytest.param([*all_at("r3", 2), ack("c", "r2")], "False Pending: 2/3 pods; waiting for c", id="fell back"),
        pytest.param(
            [*all_at("r3", 2), ack("c", "r2", refused="r3", error="no")], "False Rejected: 2/3 pods; pod c rejected the config (no)",
            id="fell back and refuses",
        ),
    ],
)  # fmt: skip
def test_pod_that_falls_behind_turns_programmed_false(acks: list[PodAck], expected: str) -> None:
    status = written_status(acks, CARRIED, second=30)
    assert condition_line(status) == expected
    assert at.condition(status, "Programmed")["lastTransitionTime"] == at.timestamp(30)
    assert status["dataPlane"]["lastAppliedTime"] == at.timestamp(0), "no pod has applied it since"
    healed = written_status(all_at("r3"), status, second=40)
    assert condition_line(healed) == "True Programmed: 3/3 pods"
    assert healed["dataPlane"]["lastAppliedTime"] == at.timestamp(40)


UNJUDGED = [ack(name, "r3", unjudged=True) for name in "abc"]
"""An operator has just started, and three pods reported before that they carry the object."""


@pytest.mark.parametrize(
    "acks", [all_at("r2"), [*all_at("r3", 2), ack("c", "r3", expired=True)], all_at("r3")], ids=["0/3", "2/3", "3/3"]
)
def test_pods_in_their_grace_period_change_nothing(acks: list[PodAck]) -> None:
    current = written_status(acks)
    assert decide(UNJUDGED, current, second=9) is None
    assert decide([*UNJUDGED[:2], ack("c", "r3")], current, second=9) is None, "one was heard, and the others not yet"


def test_pod_in_its_grace_period_keeps_a_new_object_pending() -> None:
    assert condition_line(written_status([*all_at("r3", 2), UNJUDGED[2]])) == "False Pending: 2/3 pods; waiting for c"
    assert (
        condition_line(written_status(UNJUDGED, written_status(all_at("r3"), fragment=OLD)))
        == "False Pending: 0/3 pods; waiting for a, b, c"
    )


def test_late_pod_is_reported_despite_pods_in_grace_period() -> None:
    status = written_status([*UNJUDGED[:2], ack("c", "r2")], CARRIED, second=30)
    assert condition_line(status) == "False Pending: 2/3 pods; waiting for c"


def test_silent_pod_delays_only_a_new_object() -> None:
    acks = [*all_at("r3", 2), ack("c")]
    assert condition_line(written_status(acks)) == "False Pending: 2/3 pods; waiting for c"
    assert decide(acks, CARRIED, second=1) is None


def test_pod_that_never_writes_a_lease_is_a_laggard() -> None:
    status = written_status(
        [*all_at("r3", 2), PodAck("c", ack("c").acknowledgement, False, never_reported=True)], CARRIED, second=60
    )
    assert condition_line(status) == "False Pending: 2/3 pods; waiting for c"
    [laggard] = status["dataPlane"]["laggards"]
    assert laggard["error"] == "Ready for 30 s without a Lease"


def test_transition_time_changes_only_with_the_status() -> None:
    status = written_status(all_at("r3"), CARRIED, about=verdict(generation=2, accepted=False), second=50)
    times = {item["type"]: item["lastTransitionTime"] for item in status["conditions"]}
    assert {kind for kind, time in times.items() if time == at.timestamp(50)} == {"Ready", "Accepted"}
    assert {kind for kind, time in times.items() if time == at.timestamp(0)} == {"ResolvedRefs", "Programmed"}
    assert {item["observedGeneration"] for item in status["conditions"]} == {2}
    assert status["dataPlane"] == CARRIED["dataPlane"], "its part of the config is the same"


def test_shadowed_condition_is_present_only_when_true() -> None:
    status = written_status(all_at("r3"), CARRIED, about=verdict(shadowed=True))
    assert [item["type"] for item in status["conditions"]] == [
        *("Ready", "Accepted", "ResolvedRefs", "Programmed", "Shadowed")
    ]
    assert written_status(all_at("r3"), status, second=3) == CARRIED


# --- what is not in the config -------------------------------------------------------------------------------------------


def test_oversized_object_is_not_programmed_as_too_large() -> None:
    status = written_status(all_at("r3"), CARRIED, fragment="", too_large="GatewayRoute/demo/shop takes 900000 bytes")
    assert condition_line(status) == "False TooLarge: GatewayRoute/demo/shop takes 900000 bytes"
    assert "dataPlane" not in status


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("GatewayRoute", "nothing to publish: fix the errors listed in Accepted"),
        ("RateLimitPolicy", "no served rule uses this policy: see TargetsResolved and Accepted"),
    ],
)
def test_object_without_config_has_nothing_to_program(kind: str, message: str) -> None:
    status = written_status(all_at("r3"), about=verdict(kind), fragment="")
    assert condition_line(status) == f"False NothingToProgram: {message}"
    assert "dataPlane" not in status
    assert decide([], status, about=verdict(kind), fragment="", second=9) is None, "there is nothing to count"


def test_unpublished_object_has_the_reason_of_the_api_server() -> None:
    status = written_status(all_at("r2"), CARRIED, unpublished="exceeded quota: q")
    assert condition_line(status) == "False NotPublished: exceeded quota: q"
    assert "dataPlane" not in status
    assert written_status(all_at("r3"), status) == CARRIED


# --- Ready -----------------------------------------------------------------------------------------------------------------


def of(kind: str, status: bool, reason: str, message: str = "why") -> Condition:
    return Condition(type=ConditionType(kind), status=status, reason=Reason(reason), message=message)


WELL = {
    "Accepted": of("Accepted", True, "Accepted"),
    "ResolvedRefs": of("ResolvedRefs", True, "ResolvedRefs"),
    "TargetsResolved": of("TargetsResolved", True, "TargetsResolved"),
    "Programmed": of("Programmed", True, "Programmed"),
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), "True Ready: valid, resolved and served by every pod"),
        ((of("Shadowed", True, "Shadowed"),), "True Ready: valid, resolved and served by every pod"),
        ((of("Accepted", True, "PartiallyInvalid"),), "False PartiallyInvalid: Accepted: why"),
        ((of("Accepted", False, "Invalid"), of("Programmed", False, "Pending")), "False Invalid: Accepted: why"),
        ((of("ResolvedRefs", False, "NoEndpoints"),), "False NoEndpoints: ResolvedRefs: why"),
        ((of("TargetsResolved", False, "TargetNotFound"),), "False TargetNotFound: TargetsResolved: why"),
        ((of("Programmed", False, "NoDataPlane"),), "False NoDataPlane: Programmed: why"),
        ((of("Programmed", False, "NotPublished"),), "False NotPublished: Programmed: why"),
    ],
)
def test_ready_has_the_reason_of_the_first_failing_condition(changes: tuple[Condition, ...], expected: str) -> None:
    found = ready_condition((WELL | {change.type.value: change for change in changes}).values())
    assert f"{found.status} {found.reason.value}: {found.message}" == expected


@pytest.mark.parametrize("kind", ["GatewayRoute", "RateLimitPolicy"])
def test_ready_describes_the_newest_generation(kind: str) -> None:
    status = written_status(all_at("r3"), about=verdict(kind, generation=4))
    assert condition_line(status, "Ready") == "True Ready: valid, resolved and served by every pod"
    assert at.condition(status, "Ready")["observedGeneration"] == 4


# --- policies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acks", "accepted", "expected"),
    [
        (all_at("r3"), True, "True Enforced: limits enforced"),
        (all_at("r3"), False, "True Enforced: the last published limits are enforced"),
        (all_at("r2"), True, "False NotProgrammed: not enforced by every pod: see Programmed"),
        ([], True, "False NotProgrammed: not enforced by every pod: see Programmed"),
    ],
)
def test_enforced_reflects_the_acknowledgements(acks: list[PodAck], accepted: bool, expected: str) -> None:
    status = written_status(acks, about=verdict("RateLimitPolicy", accepted=accepted))
    assert condition_line(status, "Enforced") == expected
    assert [item["type"] for item in status["conditions"]] == [
        *("Ready", "Accepted", "TargetsResolved", "Programmed", "Enforced")
    ]


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
def test_every_status_fits_the_crd_schema(kind: str, acks: list[PodAck]) -> None:
    crd = yaml.safe_load(
        (CRDS / f"{'gatewayroutes' if kind == 'GatewayRoute' else 'ratelimitpolicies'}.yaml").read_text()
    )
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    status = written_status(acks, about=verdict(kind, shadowed=kind == "GatewayRoute"))
    _fits(json.loads(json.dumps(status)), schema)
