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
"""Mistakes that the compiler puts otherwise than the schema, for it goes on rule by rule: golden files have its words."""


def world(*manifests: Manifest) -> World:
    return from_manifests(manifests, standalone=False)


def response(made: Answer) -> Manifest:
    assert made.http_status == 200
    assert (made.body["apiVersion"], made.body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    found: Manifest = made.body["response"]
    assert found["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert found["allowed"] == (made.decision != "denied")
    return found


def warnings_of(manifest: Manifest, *others: Manifest, **request: Any) -> list[str]:
    """What an object is let through with."""
    made = admission_review.answer(review(manifest, **request), world(*others))
    told: list[str] = response(made).get("warnings", [])
    assert made.decision == ("warned" if told else "allowed")
    return told


def denial_of(manifest: Manifest, *others: Manifest, **request: Any) -> Manifest:
    """The Status that an object is refused with."""
    made = admission_review.answer(review(manifest, **request), world(*others))
    assert made.decision == "denied"
    status: Manifest = response(made)["status"]
    assert (status["code"], status["reason"], status["status"]) == (422, "Invalid", "Failure")
    return status


# --- denied: in the words of the status


@pytest.mark.parametrize("file", golden_cases.case_files(), ids=lambda file: file.stem)
def test_review_denies_as_the_accepted_condition_rejects(file: Any) -> None:
    text = file.read_text()
    found = golden_cases.world_of(text)
    manifests = [item for item in golden_cases.manifests_of(text) if "kind" in item]
    for verdict in compiler.compile(found).verdicts:
        manifest = next(item for item in manifests if item["kind"] == verdict.meta.kind and is_of(item, verdict.meta))
        accepted = verdict.conditions[0]
        made = admission_review.answer(json_review(manifest, verdict.meta.namespace), found)
        if accepted.reason is Reason.ACCEPTED:
            assert made.decision in ("allowed", "warned")
            continue
        status = response(made)["status"]
        assert status["message"] == messages.joined(verdict.complaints)
        assert accepted.message.endswith(status["message"])


def is_of(manifest: Manifest, meta: Meta) -> bool:
    found, _ = metadata.read(manifest)
    return found.id == meta.id


def json_review(manifest: Manifest, namespace: str) -> Manifest:
    """As it comes over the wire: YAML knows times, JSON does not."""
    said: Manifest = json.loads(json.dumps(review(manifest, namespace=namespace), default=_kubernetes_time))
    return said


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
    bad = route("shop", {"typo": 1}, {"backendRefs": [{"name": "web", "port": 80}]})
    made = admission_review.answer(review(bad), world())
    assert response(made)["warnings"] == ["spec.rules[1].backendRefs[0]: there is no Service demo/web"]


def test_policy_is_denied_with_the_same_messages() -> None:
    status = denial_of(policy(limits=[]))
    assert status["message"] == "spec.limits: must have at least 1, not 0"
    assert status["details"]["kind"] == "RateLimitPolicy"


def _invalid_manifests() -> dict[str, tuple[Manifest, list[str]]]:
    """The contract's table of mistakes, but for what YAML can say and JSON cannot."""
    table = yaml.safe_load(MISTAKES.read_text())
    found = {}
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
            found[row["name"]] = (manifest, row["told"])
    return found


@pytest.mark.parametrize("mistake", _invalid_manifests().values(), ids=_invalid_manifests())
def test_denial_of_an_invalid_manifest_matches_validate(
    mistake: tuple[Manifest, list[str]],
) -> None:
    manifest, told = mistake
    causes = denial_of(manifest)["details"]["causes"]
    assert set(told) <= {f"{cause['field']}: {cause['message']}" for cause in causes}


def test_table_of_invalid_manifests_has_over_100_cases() -> None:
    assert len(_invalid_manifests()) > 100


# --- warned


WARNED: dict[str, tuple[Manifest, list[Manifest], list[str]]] = {
    "nothing": (route(), [], []),
    "a Service that is not there": (
        route("shop", {"backendRefs": [{"name": "web", "port": 80}]}),
        [],
        ["spec.rules[0].backendRefs[0]: there is no Service demo/web"],
    ),
    "a port that is not there": (
        route("shop", {"backendRefs": [{"name": "web", "port": 81}]}),
        service("web"),
        ["spec.rules[0].backendRefs[0]: Service demo/web has no port 81 (its TCP ports: 80)"],
    ),
    "a Service without an endpoint": (
        route("shop", {"backendRefs": [{"name": "web", "port": 80}]}),
        service("web")[:1],
        ["spec.rules[0].backendRefs[0]: Service demo/web has no ready endpoint"],
    ),
    "a Service that is there": (route("shop", {"backendRefs": [{"name": "web", "port": 80}]}), service("web"), []),
    "a host that is not allowed": (
        route("shop", {"backendRefs": [{"url": "https://models.example"}]}),
        [],
        [
            "spec.rules[0].backendRefs[0]: host models.example: the operator's settings allow no such host: add it to the allowed backend hosts"
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
        ["GatewayRoute demo/younger is younger and has a match of this one: it gets no such requests"],
    ),
    "an invalid policy": (
        route(),
        [policy(limits=[])],
        ["refusing until mended: RateLimitPolicy demo/fair"],
    ),
    "a target that is not there": (
        policy(targetRefs=[{"kind": "GatewayRoute", "name": "shop"}]),
        [],
        ["spec.targetRefs[0].name: there is no GatewayRoute shop in namespace demo"],
    ),
    "a rule that is not there": (
        policy(targetRefs=[{"kind": "GatewayRoute", "name": "shop", "sectionName": "infer"}]),
        [route()],
        ["spec.targetRefs[0].sectionName: GatewayRoute demo/shop has no rule infer"],
    ),
    "a target that is there": (policy(targetRefs=[{"kind": "GatewayRoute", "name": "shop"}]), [route()], []),
    "no route at all": (
        policy(),
        [],
        ["spec.targetRefs: absent means every GatewayRoute of namespace demo, and there is none"],
    ),
    "any route": (policy(), [route()], []),
}


@pytest.mark.parametrize("case", WARNED.values(), ids=WARNED)
def test_review_returns_the_listed_warnings(case: tuple[Manifest, list[Manifest], list[str]]) -> None:
    manifest, others, told = case
    assert warnings_of(manifest, *others) == told


def test_updated_route_does_not_conflict_with_its_old_version() -> None:
    old = route("shop", answering("/a"))
    assert warnings_of(route("shop", answering("/a")), old, operation="UPDATE", oldObject=old) == []


def test_created_route_is_younger_than_every_stored_route() -> None:
    made = route("shop", answering("/a"))
    del made["metadata"]["creationTimestamp"]
    (told,) = warnings_of(made, route("zoo", answering("/a")))
    assert "belongs to the older demo/zoo" in told


def test_namespace_is_taken_from_the_request_if_absent() -> None:
    made = route("shop", {"backendRefs": [{"name": "web", "port": 80}]})
    del made["metadata"]["namespace"]
    assert warnings_of(made, *service("web"), namespace="demo") == []


def test_warnings_are_limited_and_end_with_the_omitted_count() -> None:
    rules = [answering(f"/{'x' * 300}{number}") for number in range(12)]
    told = warnings_of(route("shop", *rules), route("older", *rules, created="2026-01-01T00:00:00Z"))
    assert len(told) == 8
    assert told[-1] == "5 more of this kind: see the object's status"
    assert all(len(text) == 256 and text.endswith("...") for text in told[:-1])
    assert sum(map(len, told)) < 2048


def test_invalid_spec_that_is_unchanged_passes_with_warnings() -> None:
    old = route("shop", {"typo": 1})
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"team": "shop"}}}
    (told,) = warnings_of(labelled, old, operation="UPDATE", oldObject=old)
    assert told == "spec.rules[0].typo: unknown field; remove it or correct its spelling"
    denial_of(route("shop", {"typo": 2}), old, operation="UPDATE", oldObject=old)


def test_review_before_the_world_is_read_warns() -> None:
    made = admission_review.answer(review(route("shop", {"typo": 1})), None)
    assert made.decision == "warned"
    assert response(made)["warnings"] == ["Inferway could not check this: its operator has not read the cluster yet"]


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
@pytest.mark.parametrize("known", [True, False])
def test_request_out_of_scope_is_allowed_unchecked(asked: Manifest, known: bool) -> None:
    made = admission_review.answer(asked, world() if known else None)
    assert made.decision == "unseen"
    assert response(made) == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}


# --- broken


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (None, "the body is no AdmissionReview with a request"),
        ([], "the body is no AdmissionReview with a request"),
        ({}, "the body is no AdmissionReview with a request"),
        ({"request": []}, "the body is no AdmissionReview with a request"),
        (
            {**review(BAD), "apiVersion": "admission.k8s.io/v1beta1"},
            "the body is no AdmissionReview of admission.k8s.io/v1",
        ),
        ({**review(BAD), "kind": "Pod"}, "the body is no AdmissionReview of admission.k8s.io/v1"),
        (review(BAD, uid=""), "request.uid is required"),
        (review(BAD, uid=7), "request.uid is required"),
        (review(BAD, object=None), "request.object is no GatewayRoute"),
        (review(BAD, object=[BAD]), "request.object is no GatewayRoute"),
        (review(BAD, object=policy()), "request.object is no GatewayRoute"),
    ],
)
def test_malformed_review_is_answered_400(asked: Any, told: str) -> None:
    made = admission_review.answer(asked, world())
    assert (made.http_status, made.decision) == (400, "broken")
    assert made.body["kind"] == "Status"
    assert (made.body["code"], made.body["reason"], made.body["message"]) == (400, "BadRequest", told)


def test_review_nested_100000_levels_deep_is_answered() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"spec": deep}
    old = deep["spec"]
    made = admission_review.answer(
        review({**route(), "spec": deep}, "UPDATE", oldObject={**route(), "spec": old}), world()
    )
    assert made.decision in ("broken", "denied")
    # Python takes a deeply nested object apart step by step only when it is told to.
    while deep:
        deep = deep.pop("spec", None)


@given(compiler_inputs.MANIFESTS, compiler_inputs.JSON, st.sampled_from(["CREATE", "UPDATE"]), st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_review_of_any_manifest_is_answered_with_json(
    manifests: list[Manifest], old: Any, operation: str, known: bool
) -> None:
    around = from_manifests(manifests, standalone=False) if known else None
    for manifest in manifests:
        made = admission_review.answer(review(manifest, operation, oldObject=old), around)
        json.dumps(made.body)
        for text in made.body.get("response", {}).get("warnings", []):
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
