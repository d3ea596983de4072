"""`inferway status`: what is taken from objects, and what is printed of it."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from inferway_cli.commands.status import rows as status_rows
from inferway_cli.commands.status import table as status_table
from inferway_cli.commands.status.rows import Report
from inferway_contract import acknowledgement
from inferway_contract.acknowledgement import Acknowledgement

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def condition(kind: str, status: str = "True", reason: str = "", message: str = "fine") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason or kind, "message": message}


GOOD = [condition("Accepted"), condition("ResolvedRefs"), condition("Programmed", message="3/3 pods")]
"""Of an operator without `Ready`."""


def resource(name: str = "shop", conditions: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    status = {
        "observedGeneration": changes.pop("observed", 2),
        "conditions": GOOD if conditions is None else conditions,
        "dataPlane": {"revision": "3f2a91c04d", "pods": "3/3", **changes.pop("data_plane", {})},
    }
    return {
        "metadata": {
            "name": name, "namespace": "demo", "generation": 2, "creationTimestamp": "2026-01-01T09:00:00Z",
            **changes.pop("metadata", {}),
        },
        "status": changes.pop("status", status),
    }  # fmt: skip


def lease(name: str, said: Acknowledgement, renewed: str = "2026-01-01T11:59:58.123456Z") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "gateway",
            "labels": {"inferway.dev/gateway": "inferway"},
            "annotations": acknowledgement.annotations(said),
        },
        "spec": {"renewTime": renewed, "holderIdentity": "1"},
    }


def report(*routes: dict[str, Any], leases: list[dict[str, Any]] | None = None) -> Report:
    pods = None if leases is None else status_rows.pod_rows(leases)
    return Report(tuple(status_rows.rows("GatewayRoute", routes)), pods)


def printed_lines(found: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    status_table.show(found, NOW, is_terminal=False)
    # Between columns stands one blank here, however wide they are.
    return [re.sub(r"(?<=\S) +", " ", line.rstrip()) for line in capsys.readouterr().out.splitlines()]


def test_healthy_resource_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed_lines(report(resource()), capsys) == [
        "Kind Namespace/Name Ready Accepted Resolved Programmed Pods Revision Age",
        "GatewayRoute demo/shop True True True True 3/3 3f2a91c04d 3h",
    ]


def test_unhealthy_conditions_and_laggards_follow_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    conditions = [
        condition("Ready", "False", "PartiallyInvalid", message="Accepted: spec.rules[1]: has nothing to do"),
        condition("Accepted", reason="PartiallyInvalid", message="spec.rules[1]: has nothing to do"),
        condition("ResolvedRefs", "False", "NoEndpoints", "Service demo/web has no ready endpoint"),
        condition("Programmed", "False", "Rejected", "1/3 pods; b refuses: format 2 is not known"),
        condition("Shadowed", message="rule a: belongs to the older demo/old"),
    ]
    block = {
        "pods": "1/3",
        "laggards": [{"pod": "b", "revision": "0123456789", "error": "format 2 is not known"}, {"pod": "c"}],
    }
    assert printed_lines(report(resource(conditions=conditions, data_plane=block), resource("a")), capsys) == [
        "Kind Namespace/Name Ready Accepted Resolved Programmed Pods Revision Age",
        "GatewayRoute demo/a True True True True 3/3 3f2a91c04d 3h",
        "GatewayRoute demo/shop False True (PartiallyInvalid) False (NoEndpoints) False (Rejected) 1/3 3f2a91c04d 3h",
        "",
        "GatewayRoute demo/shop",
        "  Accepted=True (PartiallyInvalid): spec.rules[1]: has nothing to do",
        "  ResolvedRefs=False (NoEndpoints): Service demo/web has no ready endpoint",
        "  Programmed=False (Rejected): 1/3 pods; b refuses: format 2 is not known",
        "  Shadowed=True (Shadowed): rule a: belongs to the older demo/old",
        "    b serves 0123456789: format 2 is not known",
        "    c serves nothing",
    ]


def test_pod_table_shows_revisions_and_lease_ages(capsys: pytest.CaptureFixture[str]) -> None:
    leases = [
        lease(
            "pod-b", Acknowledgement(config="b" * 10, endpoints="e" * 10, refused="c" * 10, error="no", formats=(1, 2))
        ),
        lease("pod-a", Acknowledgement(), "2026-01-01T11:59:30Z"),
        lease("pod-c", Acknowledgement(config="b" * 10), ""),
    ]
    assert printed_lines(report(leases=leases), capsys) == [
        "",
        "Gateway Pod Config Endpoints Formats Renewed",
        "inferway gateway/pod-a - - 1 30s ago: silent",
        "inferway gateway/pod-b bbbbbbbbbb eeeeeeeeee 1,2 1s ago",
        "inferway gateway/pod-c bbbbbbbbbb - 1 never: silent",
        "",
        "Pod gateway/pod-b",
        "  rejects cccccccccc: no",
    ]


@pytest.mark.parametrize(
    ("found", "is_good"),
    [
        pytest.param(resource(), True, id="well"),
        pytest.param(resource(conditions=[condition("Accepted", "False", "Invalid"), *GOOD[1:]]), False, id="not accepted"),
        pytest.param(
            resource(conditions=[condition("Accepted", reason="PartiallyInvalid"), *GOOD[1:]]), False, id="partly"
        ),
        pytest.param(
            resource(conditions=[GOOD[0], condition("ResolvedRefs", "False", "NoEndpoints"), GOOD[2]]), False,
            id="backends are not ready",
        ),
        pytest.param(resource(conditions=[*GOOD[:2], condition("Programmed", "False", "Pending")]), False, id="pending"),
        pytest.param(resource(conditions=GOOD[:2]), False, id="not programmed yet"),
        pytest.param(resource(conditions=[condition("Ready"), *GOOD]), True, id="ready"),
        pytest.param(resource(conditions=[condition("Ready", "False", "Pending"), *GOOD]), False, id="not ready"),
        pytest.param(resource(conditions=[condition("Ready", "Unknown", "Pending")], observed=None), False, id="new"),
        pytest.param(resource(metadata={"generation": 3}), False, id="the newest generation was not judged"),
        pytest.param(resource(status={}), False, id="no status"),
        pytest.param(resource(status="none"), False, id="no mapping"),
        pytest.param({}, False, id="nothing at all"),
    ],
)  # fmt: skip
def test_report_is_good_for_the_listed_conditions(found: dict[str, Any], is_good: bool) -> None:
    assert report(found).is_good is is_good
    assert report(resource(), found).is_good is is_good


def test_empty_report_is_good() -> None:
    assert report().is_good


def test_resource_not_yet_processed_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed_lines(report(resource(metadata={"generation": 3})), capsys)
    assert lines[1].split()[:6] == ["GatewayRoute", "demo/shop", *["Unknown"] * 4]
    assert lines[-1] == "  Accepted=Unknown: not evaluated yet: the operator has not processed this generation"


def test_policy_row_omits_enforced_if_programmed_explains_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conditions = [
        condition("Accepted"),
        condition("TargetsResolved", "False", "TargetNotFound", "there is no GatewayRoute x"),
        condition("Programmed", "False", "Pending", "2/3 pods; waiting for c"),
        condition("Enforced", "False", "NotProgrammed", "see Programmed"),
    ]
    rows = status_rows.rows("RateLimitPolicy", [resource(conditions=conditions)])
    lines = printed_lines(Report(tuple(rows), None), capsys)
    assert "False (TargetNotFound)" in lines[1]
    assert lines[2:] == [
        "",
        "RateLimitPolicy demo/shop",
        "  TargetsResolved=False (TargetNotFound): there is no GatewayRoute x",
        "  Programmed=False (Pending): 2/3 pods; waiting for c",
    ]


def test_foreign_text_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J[red]one\ntwo"
    conditions = [condition("Accepted", "False", "Invalid", hostile)]
    said = Acknowledgement(config=hostile, refused="x", error=hostile)
    block = {"revision": hostile, "laggards": [{"pod": hostile, "error": hostile}]}
    lines = printed_lines(report(resource(conditions=conditions, data_plane=block), leases=[lease("p", said)]), capsys)
    assert "  Accepted=False (Invalid): \\x1b[2J[red]one\\ntwo" in lines
    assert "  rejects x: \\x1b[2J[red]one\\ntwo" in lines
    assert all("\x1b" not in line for line in lines)


def test_long_name_stays_on_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a" * 253
    lines = printed_lines(report(resource(name), leases=[lease(name, Acknowledgement(config="b" * 10))]), capsys)
    assert [line for line in lines if name in line] == [lines[1], lines[-1]]


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_terminal_output_is_folded_to_its_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    conditions = [condition("Accepted", "False", "Invalid", "spec.rules[0]: " + "is wrong " * 30)]
    status_table.show(report(resource("a" * 100, conditions)), NOW, is_terminal=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.count("a") for line in lines) >= 200, "folded, not cut: in the table and below"


@pytest.mark.parametrize(
    ("since", "told"),
    [
        ("2026-01-01T12:00:00Z", "0s"),
        ("2026-01-01T12:00:09Z", "0s"),
        ("2026-01-01T11:58:01Z", "119s"),
        ("2026-01-01T11:58:00Z", "2m"),
        ("2026-01-01T10:00:01Z", "119m"),
        ("2026-01-01T10:00:00Z", "2h"),
        ("2025-12-30T12:00:01Z", "47h"),
        ("2025-12-30T12:00:00Z", "2d"),
        ("2024-01-01T12:00:00Z", "731d"),
        ("2026-01-01T11:59:59", "1s"),
        ("", "-"),
        ("yesterday", "-"),
    ],
)
def test_age_is_printed_in_whole_units(since: str, told: str) -> None:
    assert status_table.age(since, NOW) == told


def test_json_output_has_the_same_content() -> None:
    block = {"laggards": [{"pod": "b", "revision": "0", "error": "no"}]}
    said = Acknowledgement(config="b" * 10, endpoints="e" * 10)
    found = status_table.as_json(report(resource(data_plane=block), leases=[lease("pod-a", said)]))
    assert json.loads(json.dumps(found)) == {
        "resources": [
            {
                "kind": "GatewayRoute",
                "namespace": "demo",
                "name": "shop",
                "isGood": True,
                "conditions": {
                    "Accepted": {"status": "True", "reason": "Accepted", "message": "fine"},
                    "ResolvedRefs": {"status": "True", "reason": "ResolvedRefs", "message": "fine"},
                    "Programmed": {"status": "True", "reason": "Programmed", "message": "3/3 pods"},
                },
                "pods": "3/3",
                "revision": "3f2a91c04d",
                "laggards": [{"pod": "b", "revision": "0", "error": "no"}],
                "creationTimestamp": "2026-01-01T09:00:00Z",
            }
        ],
        "pods": [
            {
                "gateway": "inferway",
                "namespace": "gateway",
                "name": "pod-a",
                "renewTime": "2026-01-01T11:59:58.123456Z",
                "config": "bbbbbbbbbb",
                "endpoints": "eeeeeeeeee",
                "refused": "",
                "error": "",
                "formats": [1],
            }
        ],
        "notes": [],
    }
    assert status_table.as_json(report())["pods"] is None, "not asked for is another thing than none there"
