"""Reviews and what is answered: tables of what is denied, warned of, and passed."""

import json
from pathlib import Path
from typing import Any

import admission_reviews
import compiler_inputs
import golden_cases
import pytest
import yaml
from admission_reviews import answering, policy, review, route, service
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.conditions import Reason
from inferway_operator import compiler
from inferway_operator.admission import review as admission_review
from inferway_operator.admission.review import Answer
from inferway_operator.compiler import messages
from inferway_operator.world import metadata
from inferway_operator.world.objects import Meta
from inferway_operator.world.world import World, from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]

MISTAKES = Path(__file__).parents[2] / "crds" / "tests" / "mistakes.yaml"
COMPILED = ("the whole spec a list", "two rules of one name")
"""Mistakes with another message from the compiler, which checks rule by rule: golden files have those."""


def world(*manifests: Manifest) -> World:
    return from_manifests(manifests, standalone=False)


def response(answer: Answer) -> Manifest:
    assert answer.http_status == 200
    assert (answer.body["apiVersion"], answer.body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    answered: Manifest = answer.body["response"]
    assert answered["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert answered["allowed"] == (answer.decision != "denied")
    return answered


def warnings_of(manifest: Manifest, *others: Manifest, **request: Any) -> list[str]:
    """What an object is let through with."""
    answer = admission_review.answer(review(manifest, **request), world(*others))
    warnings: list[str] = response(answer).get("warnings", [])
    assert answer.decision == ("warned" if warnings else "allowed")
    return warnings


def denial_of(manifest: Manifest, *others: Manifest, **request: Any) -> Manifest:
    """The Status that an object is refused with."""
    answer = admission_review.answer(review(manifest, **request), world(*others))
    assert answer.decision == "denied"
    status: Manifest = response(answer)["status"]
    assert (status["code"], status["reason"], status["status"]) == (422, "Invalid", "Failure")
    return status


# --- denied: in the words of the status


@pytest.mark.parametrize(
    "file",
    # A review does not judge what other namespaces take: a share would change with each of their objects.
    [file for file in golden_cases.case_files() if file.stem != "bound-shared"],
    ids=lambda file: file.stem,
)
def test_review_denies_as_the_accepted_condition_rejects(file: Any) -> None:
    text = file.read_text()
    case_world = golden_cases.world_of(text)
    manifests = [item for item in golden_cases.manifests_of(text) if "kind" in item]
    for verdict in compiler.compile(case_world).verdicts:
        manifest = next(item for item in manifests if item["kind"] == verdict.meta.kind and is_of(item, verdict.meta))
        accepted = verdict.conditions[0]
        answer = admission_review.answer(json_review(manifest, verdict.meta.namespace), case_world)
        if accepted.reason is Reason.ACCEPTED:
            assert answer.decision in ("allowed", "warned")
            continue
        status = response(answer)["status"]
        assert status["message"] == messages.joined(verdict.errors)
        assert accepted.message.endswith(status["message"])


def is_of(manifest: Manifest, meta: Meta) -> bool:
    read_meta, _ = metadata.read(manifest)
    return read_meta.id == meta.id


def json_review(manifest: Manifest, namespace: str) -> Manifest:
    """As it comes over the wire: YAML knows times, JSON does not."""
    parsed: Manifest = json.loads(json.dumps(review(manifest, namespace=namespace), default=_kubernetes_time))
    return parsed


def _kubernetes_time(value: Any) -> str:
    return str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_denial_has_one_cause_with_its_field_for_each_error() -> None:
    bad = route(
        "shop", answering("/a", headers=[{"name": "x", "type": "RegularExpression", "value": "("}]), {"typo": 1}
    )
    status = denial_of(bad)
    assert status["details"] == {
        "group": "inferway.dev",
        "kind": "GatewayRoute",
        "name": "shop",
        "causes": [
            {
                "reason": "FieldValueInvalid",
                "field": "spec.rules[0].matches[0].headers[0].value",
                "message": "'(': missing ): ( (RE2)",
            },
            {
                "reason": "FieldValueInvalid",
                "field": "spec.rules[1].typo",
                "message": "unknown field; remove it or correct its spelling",
            },
        ],
    }
    assert status["message"] == "; ".join(
        f"{cause['field']}: {cause['message']}" for cause in status["details"]["causes"]
    )


def test_route_with_one_bad_rule_is_denied() -> None:
    assert "spec.rules[1].typo" in denial_of(route("shop", answering("/a"), {"typo": 1}))["message"]


def test_denial_with_many_errors_ends_with_their_count() -> None:
    status = denial_of(route("shop", *({f"typo-{number}": 1} for number in range(60))))
    assert len(status["message"]) < 2100
    assert status["message"].endswith(" more")
    causes = status["details"]["causes"]
    assert len(causes) == 21
    assert causes[-1] == {"reason": "FieldValueInvalid", "field": "", "message": "and 40 more"}


def test_denial_cuts_long_keys_and_escapes_control_characters() -> None:
    (cause,) = denial_of(route("shop", {"\x1b[31m" * 500: 1, "filters": [admission_reviews.ANSWER]}))["details"][
        "causes"
    ]
    assert cause["field"].isprintable()
    assert len(cause["field"]) == 500
    assert cause["field"].startswith("spec.rules[0].\\x1b[31m\\x1b[31m")


def test_denial_carries_the_warnings_of_other_rules() -> None:
    other = {"matches": [{"path": {"value": "/b"}}], "backendRefs": [{"name": "web", "port": 80}]}
    bad = route("shop", {"typo": 1}, other)
    answer = admission_review.answer(review(bad), world())
    assert response(answer)["warnings"] == ["spec.rules[1].backendRefs[0]: Service demo/web not found"]


def test_policy_is_denied_with_the_same_messages() -> None:
    status = denial_of(policy(limits=[]))
    assert status["message"] == "spec.limits: must have at least 1, not 0"
    assert status["details"]["kind"] == "RateLimitPolicy"


def _invalid_manifests() -> dict[str, tuple[Manifest, list[str]]]:
    """The contract's table of mistakes, without those that JSON cannot express."""
    table = yaml.safe_load(MISTAKES.read_text())
    cases = {}
    for row in table:
        match row:
            case {"rule": rule}:
                manifest = {**route(), "spec": {"rules": [rule]}}
            case {"route": spec}:
                manifest = {**route(), "spec": spec}
            case {"limit": limit}:
                manifest = policy(limits=[{**policy()["spec"]["limits"][0], **limit}])
            case {"policy": spec}:
                manifest = {**policy(), "spec": spec}
            case _:
                raise AssertionError(row)
        if json.loads(json.dumps(manifest, default=str)) == manifest and row["name"] not in COMPILED:
            cases[row["name"]] = (manifest, row["compiler"])
    return cases


@pytest.mark.parametrize("mistake", _invalid_manifests().values(), ids=_invalid_manifests())
def test_denial_of_an_invalid_manifest_matches_validate(
    mistake: tuple[Manifest, list[str]],
) -> None:
    manifest, expected = mistake
    causes = denial_of(manifest)["details"]["causes"]
    assert set(expected) <= {f"{cause['field']}: {cause['message']}" for cause in causes}


def test_table_of_invalid_manifests_has_over_100_cases() -> None:
    assert len(_invalid_manifests()) > 100


# --- warned


WARNED: dict[str, tuple[Manifest, list[Manifest], list[str]]] = {
    "nothing": (route(), [], []),
    "a Service that is not there": (
        route("shop", {"backendRefs": [{"name": "web", "port": 80}]}),
        [],
        ["spec.rules[0].backendRefs[0]: Service demo/web not found"],
    ),
    "a port that is not there": (
        route("shop", {"backendRefs": [{"name": "web", "port": 81}]}),
        service("web"),
        ["spec.rules[0].backendRefs[0]: port 81 not found in Service demo/web (its TCP ports: 80)"],
    ),
    "a Service without an endpoint": (
        route("shop", {"backendRefs": [{"name": "web", "port": 80}]}),
        service("web")[:1],
        ["spec.rules[0].backendRefs[0]: Service demo/web has no ready endpoints"],
    ),
    "a Service that is there": (route("shop", {"backendRefs": [{"name": "web", "port": 80}]}), service("web"), []),
    "a host that is not allowed": (
        route("shop", {"backendRefs": [{"url": "https://models.example"}]}),
        [],
        [
            "spec.rules[0].backendRefs[0]: host models.example: not allowed by the operator's settings: add it to the allowed backend hosts"
        ],
    ),
    "a match of an older route": (
        route("shop", answering("/a/")),
        [route("older", answering("/a"), created="2026-01-01T00:00:00Z")],
        ["rule rule-0: PathPrefix /a on any host belongs to the older demo/older rule rule-0"],
    ),
    "a match of a younger route": (
        route("shop", answering("/a")),
        [route("younger", answering("/a"), created="2026-12-01T00:00:00Z")],
        ["GatewayRoute demo/younger is younger and has the same match: this route takes its requests"],
    ),
    "an invalid policy": (
        route(),
        [policy(limits=[])],
        ["requests refused until fixed: RateLimitPolicy demo/fair"],
    ),
    "a target that is not there": (
        policy(targetRefs=[{"kind": "GatewayRoute", "name": "shop"}]),
        [],
        ["spec.targetRefs[0].name: GatewayRoute demo/shop not found"],
    ),
    "a rule that is not there": (
        policy(targetRefs=[{"kind": "GatewayRoute", "name": "shop", "sectionName": "infer"}]),
        [route()],
        ["spec.targetRefs[0].sectionName: rule infer not found in GatewayRoute demo/shop"],
    ),
    "a target that is there": (policy(targetRefs=[{"kind": "GatewayRoute", "name": "shop"}]), [route()], []),
    "no route at all": (
        policy(),
        [],
        ["no GatewayRoute found in namespace demo: without spec.targetRefs the policy applies to all of them"],
    ),
    "any route": (policy(), [route()], []),
}


@pytest.mark.parametrize("case", WARNED.values(), ids=WARNED)
def test_review_returns_the_listed_warnings(case: tuple[Manifest, list[Manifest], list[str]]) -> None:
    manifest, others, expected = case
    assert warnings_of(manifest, *others) == expected


def test_updated_route_does_not_conflict_with_its_old_version() -> None:
    old = route("shop", answering("/a"))
    assert warnings_of(route("shop", answering("/a")), old, operation="UPDATE", oldObject=old) == []


def test_created_route_is_younger_than_every_stored_route() -> None:
    candidate = route("shop", answering("/a"))
    del candidate["metadata"]["creationTimestamp"]
    (warning,) = warnings_of(candidate, route("zoo", answering("/a")))
    assert "belongs to the older demo/zoo" in warning


def test_namespace_is_taken_from_the_request_if_absent() -> None:
    candidate = route("shop", {"backendRefs": [{"name": "web", "port": 80}]})
    del candidate["metadata"]["namespace"]
    assert warnings_of(candidate, *service("web"), namespace="demo") == []


def test_warnings_are_limited_and_end_with_the_omitted_count() -> None:
    rules = [answering(f"/{'x' * 300}{number}") for number in range(12)]
    warnings = warnings_of(route("shop", *rules), route("older", *rules, created="2026-01-01T00:00:00Z"))
    assert len(warnings) == 8
    assert warnings[-1] == "5 more of this kind: see the object's status"
    assert all(len(text) == 256 and text.endswith("...") for text in warnings[:-1])
    assert sum(map(len, warnings)) < 2048


def test_invalid_spec_that_is_unchanged_passes_with_warnings() -> None:
    old = route("shop", {"typo": 1})
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"team": "shop"}}}
    (warning,) = warnings_of(labelled, old, operation="UPDATE", oldObject=old)
    assert warning == "spec.rules[0].typo: unknown field; remove it or correct its spelling"
    denial_of(route("shop", {"typo": 2}), old, operation="UPDATE", oldObject=old)


def test_review_before_the_world_is_read_warns() -> None:
    answer = admission_review.answer(review(route("shop", {"typo": 1})), None)
    assert answer.decision == "warned"
    assert response(answer)["warnings"] == ["not checked: the Inferway operator has not read the cluster yet"]


# --- unseen


BAD = route("shop", {"typo": 1})


@pytest.mark.parametrize(
    "asked",
    [
        review(
            None, "DELETE", kind={"group": "inferway.dev", "version": "v1alpha1", "kind": "GatewayRoute"}, oldObject=BAD
        ),
        review(BAD, "UPDATE", subResource="status"),
        review(BAD, "CONNECT"),
        review({**BAD, "metadata": {**BAD["metadata"], "deletionTimestamp": "2026-06-01T00:00:00Z"}}, "UPDATE"),
        review(BAD, kind={"group": "other.dev", "version": "v1", "kind": "GatewayRoute"}),
        review({"kind": "Widget"}),
        review(BAD, kind=None),
        review(BAD, kind={"group": "inferway.dev", "kind": ["GatewayRoute"]}),
        review(BAD, ["CREATE"]),
    ],
    ids=["deleted", "status", "connect", "leaving", "group", "kind", "no kind", "list of kinds", "list of operations"],
)
@pytest.mark.parametrize("is_listed", [True, False])
def test_request_out_of_scope_is_allowed_unchecked(asked: Manifest, is_listed: bool) -> None:
    answer = admission_review.answer(asked, world() if is_listed else None)
    assert answer.decision == "unseen"
    assert response(answer) == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}


# --- broken


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (None, "the body is not an AdmissionReview with a request"),
        ([], "the body is not an AdmissionReview with a request"),
        ({}, "the body is not an AdmissionReview with a request"),
        ({"request": []}, "the body is not an AdmissionReview with a request"),
        (
            {**review(BAD), "apiVersion": "admission.k8s.io/v1beta1"},
            "the body is not an AdmissionReview of admission.k8s.io/v1",
        ),
        ({**review(BAD), "kind": "Pod"}, "the body is not an AdmissionReview of admission.k8s.io/v1"),
        (review(BAD, uid=""), "request.uid is required"),
        (review(BAD, uid=7), "request.uid is required"),
        (review(BAD, object=None), "request.object is not a GatewayRoute"),
        (review(BAD, object=[BAD]), "request.object is not a GatewayRoute"),
        (review(BAD, object=policy()), "request.object is not a GatewayRoute"),
    ],
)
def test_malformed_review_is_answered_400(asked: Any, message: str) -> None:
    answer = admission_review.answer(asked, world())
    assert (answer.http_status, answer.decision) == (400, "broken")
    assert answer.body["kind"] == "Status"
    assert (answer.body["code"], answer.body["reason"], answer.body["message"]) == (400, "BadRequest", message)


def test_review_nested_100000_levels_deep_is_answered() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"spec": deep}
    old = deep["spec"]
    answer = admission_review.answer(
        review({**route(), "spec": deep}, "UPDATE", oldObject={**route(), "spec": old}), world()
    )
    assert answer.decision in ("broken", "denied")
    # Python frees a deeply nested object recursively unless it is taken apart first.
    while deep:
        deep = deep.pop("spec", None)


@given(compiler_inputs.MANIFESTS, compiler_inputs.JSON, st.sampled_from(["CREATE", "UPDATE"]), st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_review_of_any_manifest_is_answered_with_json(
    manifests: list[Manifest], old: Any, operation: str, is_listed: bool
) -> None:
    around = from_manifests(manifests, standalone=False) if is_listed else None
    for manifest in manifests:
        answer = admission_review.answer(review(manifest, operation, oldObject=old), around)
        json.dumps(answer.body)
        for text in answer.body.get("response", {}).get("warnings", []):
            assert 0 < len(text) <= 256
            assert text.isprintable()


@given(compiler_inputs.JSON, compiler_inputs.JSON)
@settings(max_examples=examples(200), deadline=None)
def test_review_of_any_json_is_answered(body: Any, request_: Any) -> None:
    for asked in (
        body,
        {**review(BAD), "request": body},
        review(body),
        review(BAD, operation=body, oldObject=request_),
    ):
        json.dumps(admission_review.answer(asked, world()).body)
