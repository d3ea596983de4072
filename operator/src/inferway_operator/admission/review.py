"""Validating admission: an AdmissionReview and a world in, the review's answer out. Pure; the compiler judges.

Denied is what would be told `Accepted=False`, or true for some of its rules only, in the words of that condition. What is
valid and unwise (references that lead nowhere, matches that another route has) is let through with warnings. Deletions,
subresources and other kinds pass unseen. An update that leaves the spec alone passes with the same complaints as
warnings: whoever adds a label has not made the mistake.

The form of reviews is admission.k8s.io/v1 (Kubernetes: "Dynamic Admission Control").
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from inferway_contract.field_errors import dotted
from inferway_contract.resources import API_GROUP, SPECS
from inferway_operator.admission import findings, messages
from inferway_operator.admission.findings import Findings
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.resources import parse
from inferway_operator.world.world import World

Decision = Literal["allowed", "warned", "denied", "unseen", "broken"]

_VERSION: Final = "admission.k8s.io/v1"
_YOUNGEST: Final = "9999-12-31T23:59:59Z"
_NOT_LISTED: Final = "Inferway could not check this: its operator has not read the cluster yet"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: an AdmissionReview with HTTP status 200, or a Status with 400 when the review is none."""

    http_status: int
    body: dict[str, Any]
    decision: Decision
    kind: str = ""
    """GatewayRoute, RateLimitPolicy, or "" for what passed unseen."""


def answer(review: object, world: World | None) -> Answer:
    """The answer to a parsed request body, whatever it holds. None = the operator does not know its world yet."""
    try:
        return _answer(review, world)
    except RecursionError:
        return broken("the body is nested too deeply")


def _answer(review: object, world: World | None) -> Answer:
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(review, dict) or not isinstance(request, dict):
        return broken("the body is no AdmissionReview with a request")
    if (review.get("apiVersion"), review.get("kind")) != (_VERSION, "AdmissionReview"):
        return broken(f"the body is no AdmissionReview of {_VERSION}")
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        return broken("request.uid is required")
    kind = _kind_to_check(request)
    if kind is None:
        return _allowed(uid, "unseen")
    manifest = request.get("object")
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        return broken(f"request.object is no {kind}")
    if _is_leaving(manifest):
        return _allowed(uid, "unseen")
    if world is None:
        return _allowed(uid, "warned", kind, (_NOT_LISTED,))
    found = findings.find(_read(manifest, request), world)
    if found.complaints and _spec_changed(manifest, request):
        return _denied(uid, kind, manifest, found)
    warnings = (*map(str, found.complaints), *found.warnings)
    return _allowed(uid, "warned" if warnings else "allowed", kind, warnings)


def broken(message: str) -> Answer:
    """What is answered to a body that is no review; the API server then does as its `failurePolicy` says."""
    return Answer(400, {"apiVersion": "v1", "kind": "Status", **_status(400, "BadRequest", message)}, "broken")


def _kind_to_check(request: Mapping[str, Any]) -> str | None:
    said = request.get("kind")
    group, kind = (said.get("group"), said.get("kind")) if isinstance(said, dict) else (None, None)
    if group != API_GROUP or not isinstance(kind, str) or kind not in SPECS:
        return None
    if request.get("subResource") or request.get("operation") not in ("CREATE", "UPDATE"):
        return None
    return kind


def _is_leaving(manifest: Mapping[str, Any]) -> bool:
    # Being deleted: updates only take finalizers away, and nothing may stand in their way.
    meta = manifest.get("metadata")
    return isinstance(meta, dict) and bool(meta.get("deletionTimestamp"))


def _spec_changed(manifest: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    old = request.get("oldObject")
    return not isinstance(old, dict) or old.get("spec") != manifest.get("spec")


def _read(manifest: Mapping[str, Any], request: Mapping[str, Any]) -> RouteObject | PolicyObject:
    meta = manifest.get("metadata")
    if isinstance(meta, dict) and not meta.get("namespace"):
        manifest = {**manifest, "metadata": {**meta, "namespace": request.get("namespace")}}
    found = parse(manifest)
    # No time = it is being made, so everything that exists is older.
    return found if found.meta.created else replace(found, meta=replace(found.meta, created=_YOUNGEST))


def _allowed(uid: str, decision: Decision, kind: str = "", warnings: tuple[str, ...] = ()) -> Answer:
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    told = messages.warnings(warnings)
    if told:
        response["warnings"] = told
    return Answer(200, _review(response), decision, kind)


def _denied(uid: str, kind: str, manifest: Mapping[str, Any], found: Findings) -> Answer:
    status = _status(422, "Invalid", messages.message(found.complaints))
    meta = manifest.get("metadata")
    # kubectl prints the causes one a line, as it does with what the schema refuses.
    status["details"] = {
        "group": API_GROUP,
        "kind": kind,
        "name": str(meta.get("name", "")) if isinstance(meta, dict) else "",
        "causes": [
            {"reason": "FieldValueInvalid", "field": dotted(complaint.path), "message": complaint.message}
            for complaint in messages.causes(found.complaints)
        ],
    }
    response: dict[str, Any] = {"uid": uid, "allowed": False, "status": status}
    told = messages.warnings(found.warnings)
    if told:
        response["warnings"] = told
    return Answer(200, _review(response), "denied", kind)


def _review(response: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}
