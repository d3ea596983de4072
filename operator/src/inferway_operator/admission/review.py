"""Validating admission: an AdmissionReview and a world in, the response out. Pure; the compiler finds the errors.

An object is denied if it would get `Accepted=False`, or true for some of its rules only, with that condition's message. A
valid object with likely errors (references that do not resolve, matches of another route) is allowed with warnings.
Deletions, subresources and other kinds are allowed unchecked. An update that does not change the spec is allowed, with its
errors as warnings: a new label did not cause them.

The format of reviews is admission.k8s.io/v1 (Kubernetes: "Dynamic Admission Control").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from inferway_contract.field_errors import FieldError, dotted, printable
from inferway_contract.resources import API_GROUP, SPECS
from inferway_operator.admission import bounds, findings
from inferway_operator.admission.findings import Findings
from inferway_operator.compiler import messages
from inferway_operator.metrics import Decision
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.resources import parse
from inferway_operator.world.world import World

_VERSION: Final = "admission.k8s.io/v1"
_YOUNGEST: Final = "9999-12-31T23:59:59Z"
_NOT_LISTED: Final = "not checked: the Inferway operator has not read the cluster yet"
# Kubernetes cuts a warning at 256 characters, and all warnings of one request at 4,096, including those of other webhooks.
_WARNING_CHARACTERS: Final = 256
_MOST_WARNINGS: Final = 7
_CAUSE_CHARACTERS: Final = 500
_MOST_CAUSES: Final = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The response: an AdmissionReview with HTTP status 200, or a Status with 400 for an invalid review."""

    http_status: int
    body: dict[str, Any]
    decision: Decision
    kind: str = ""
    """GatewayRoute, RateLimitPolicy, or "" if unchecked."""


def answer(review: object, world: World | None) -> Answer:
    """Answer a parsed request body of any form. `world`: None = not listed yet."""
    try:
        return _answer(review, world)
    except RecursionError:
        return broken("the body is nested too deeply")


def _answer(review: object, world: World | None) -> Answer:
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(review, dict) or not isinstance(request, dict):
        return broken("the body is not an AdmissionReview with a request")
    if (review.get("apiVersion"), review.get("kind")) != (_VERSION, "AdmissionReview"):
        return broken(f"the body is not an AdmissionReview of {_VERSION}")
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        return broken("request.uid is required")
    kind = _kind_to_check(request)
    if kind is None:
        return _reviewed(uid, "unseen")
    manifest = request.get("object")
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        return broken(f"request.object is not a {kind}")
    if _is_terminating(manifest):
        return _reviewed(uid, "unseen")
    if world is None:
        return _reviewed(uid, "warned", kind, (_NOT_LISTED,))
    result = _find(kind, manifest, request, world)
    if result.errors and _is_spec_changed(manifest, request):
        return _denied(uid, kind, manifest, result)
    warnings = (*map(str, result.errors), *result.warnings)
    return _reviewed(uid, "warned" if warnings else "allowed", kind, warnings)


def _find(kind: str, manifest: Mapping[str, Any], request: Mapping[str, Any], world: World) -> Findings:
    """Compile the candidate, unless it is beyond a bound."""
    if excess := bounds.exceeded(kind, manifest.get("spec")):
        return Findings(excess)
    return findings.find(_candidate(manifest, request), world)


def namespace(review: object) -> str:
    """Return the namespace that a review of any form is about; "" = unknown."""
    request = review.get("request") if isinstance(review, dict) else None
    name = request.get("namespace") if isinstance(request, dict) else None
    return name if isinstance(name, str) else ""


def broken(message: str) -> Answer:
    """Answer a body that is not a review; the API server then follows its `failurePolicy`."""
    return Answer(400, {"apiVersion": "v1", "kind": "Status", **_status(400, "BadRequest", message)}, "broken")


def _kind_to_check(request: Mapping[str, Any]) -> str | None:
    raw = request.get("kind")
    group, kind = (raw.get("group"), raw.get("kind")) if isinstance(raw, dict) else (None, None)
    if group != API_GROUP or not isinstance(kind, str) or kind not in SPECS:
        return None
    if request.get("subResource") or request.get("operation") not in ("CREATE", "UPDATE"):
        return None
    return kind


def _is_terminating(manifest: Mapping[str, Any]) -> bool:
    # Updates of an object that is being deleted remove finalizers, and must not fail.
    meta = manifest.get("metadata")
    return isinstance(meta, dict) and bool(meta.get("deletionTimestamp"))


def _is_spec_changed(manifest: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    old = request.get("oldObject")
    return not isinstance(old, dict) or old.get("spec") != manifest.get("spec")


def _candidate(manifest: Mapping[str, Any], request: Mapping[str, Any]) -> RouteObject | PolicyObject:
    meta = manifest.get("metadata")
    if isinstance(meta, dict) and not meta.get("namespace"):
        manifest = {**manifest, "metadata": {**meta, "namespace": request.get("namespace")}}
    candidate = parse(manifest)
    # Without a time it is being created, so every existing object is older.
    return candidate if candidate.meta.created else replace(candidate, meta=replace(candidate.meta, created=_YOUNGEST))


def _reviewed(
    uid: str, decision: Decision, kind: str = "", warnings: tuple[str, ...] = (), **status: dict[str, Any]
) -> Answer:
    """Answer a review; a `status` denies the object."""
    response: dict[str, Any] = {"uid": uid, "allowed": not status, **status}
    if warnings:
        response["warnings"] = _warnings(warnings)
    return Answer(200, {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}, decision, kind)


def _denied(uid: str, kind: str, manifest: Mapping[str, Any], result: Findings) -> Answer:
    status = _status(422, "Invalid", messages.joined(result.errors))
    meta = manifest.get("metadata")
    # kubectl prints one cause per line, as for schema errors.
    status["details"] = {
        "group": API_GROUP,
        "kind": kind,
        "name": str(meta.get("name", "")) if isinstance(meta, dict) else "",
        "causes": [
            {"reason": "FieldValueInvalid", "field": dotted(error.path), "message": error.message}
            for error in _causes(result.errors)
        ],
    }
    return _reviewed(uid, "denied", kind, result.warnings, status=status)


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}


def _warnings(texts: Sequence[str]) -> list[str]:
    """Return the first distinct warnings, cut to size, and the number of the rest."""
    distinct = list(dict.fromkeys(printable(text) for text in texts))
    shown = [_cut(text, _WARNING_CHARACTERS) for text in distinct[:_MOST_WARNINGS]]
    rest = len(distinct) - len(shown)
    return [*shown, f"{rest} more of this kind: see the object's status"] if rest else shown


def _causes(errors: Sequence[FieldError]) -> list[FieldError]:
    """Return the first errors as causes, cut to size, and the number of the rest."""
    shown = [_cause(error) for error in errors[:_MOST_CAUSES]]
    rest = len(errors) - len(shown)
    return [*shown, FieldError((), f"and {rest} more")] if rest else shown


def _cause(error: FieldError) -> FieldError:
    # A path may hold keys of any text: `dotted` returns a single step unchanged.
    place = _cut(printable(dotted(error.path)), _CAUSE_CHARACTERS)
    return FieldError((place,) if place else (), _cut(printable(error.message), _CAUSE_CHARACTERS))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
