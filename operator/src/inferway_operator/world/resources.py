"""From manifests of ours to objects: lenient, rule by rule, so that one mistake costs only what it is about."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from inferway_contract.field_errors import FieldError, from_validation
from inferway_contract.resources import API_GROUP, API_VERSION, SPECS
from inferway_contract.resources.gateway_route import GatewayRouteSpec, RouteRule, rule_name
from inferway_contract.resources.matches import Match
from inferway_contract.resources.model import Hostname, SectionName
from inferway_contract.resources.rate_limit_policy import RateLimitPolicySpec, TargetRef
from inferway_operator.world import metadata
from inferway_operator.world.objects import Meta, PolicyObject, RouteObject, RuleObject

MAX_SPEC_BYTES: Final = 256 << 10
"""Of a spec in canonical JSON. A resource that can be published in one piece also leaves room for others."""

_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_HOSTNAME: TypeAdapter[str] = TypeAdapter(Hostname)
_SECTION_NAME: TypeAdapter[str] = TypeAdapter(SectionName)


def parse(manifest: Mapping[str, Any]) -> RouteObject | PolicyObject:
    """A GatewayRoute or a RateLimitPolicy, with complaints where it is broken.

    `ValueError` for a manifest of any other kind; nothing else is raised.
    """
    kind = manifest.get("kind")
    if not isinstance(kind, str) or kind not in SPECS:
        raise ValueError(f"{kind!r} is neither a GatewayRoute nor a RateLimitPolicy")
    meta, complaints = metadata.read(manifest)
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        complaints.append(FieldError(("spec",), "must be a mapping" if "spec" in manifest else "is required"))
    if complaints:
        # Without a name there is no id to publish under, without a spec there is nothing to publish.
        return _lost(kind, meta, complaints)
    assert isinstance(spec, dict)  # noqa: S101 - for the type checker: anything else was lost above
    if manifest.get("apiVersion") != f"{API_GROUP}/{API_VERSION}":
        complaints.append(FieldError(("apiVersion",), f"must be {API_GROUP}/{API_VERSION}"))
    complaints += [
        FieldError((str(field),), "unknown field; remove it or correct its spelling")
        for field in manifest
        if field not in _FIELDS
    ]
    size = _size(spec)
    if size is None:
        return _lost(
            kind, meta, [FieldError(("spec",), "cannot be written as JSON: it is too deep, or contains itself")]
        )
    too_large = size > MAX_SPEC_BYTES
    if too_large:
        complaints.append(FieldError(("spec",), f"takes {size} bytes as JSON, and may take {MAX_SPEC_BYTES}: split it"))
    parse_spec = _parse_route if kind == "GatewayRoute" else _parse_policy
    return parse_spec(meta, spec, complaints, too_large)


def _lost(kind: str, meta: Meta, complaints: list[FieldError]) -> RouteObject | PolicyObject:
    if kind == "GatewayRoute":
        return RouteObject(meta, complaints=tuple(complaints))
    return PolicyObject(meta, None, None, tuple(complaints))


def _size(spec: Mapping[str, Any]) -> int | None:
    try:
        # `default` and `skipkeys`: YAML knows dates and other keys than text; what is wrong with them is told elsewhere.
        text = json.dumps(spec, separators=(",", ":"), ensure_ascii=False, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        return None
    return len(text.encode(errors="surrogatepass"))


def _parse_route(meta: Meta, spec: dict[str, Any], complaints: list[FieldError], too_large: bool) -> RouteObject:
    rules = spec.get("rules")
    # The spec is checked with empty rules in place of its own, which are then checked one by one.
    outline = {**spec, "rules": [{}] * len(rules)} if isinstance(rules, list) else spec
    complaints += _complaints(GatewayRouteSpec, outline, ("spec",))
    hostnames = spec.get("hostnames", [])
    readable = [name for name in hostnames if _is_valid(_HOSTNAME, name)] if isinstance(hostnames, list) else []
    if hostnames != [] and not readable:
        # Without its hostnames the route would claim every host.
        rules = []
    return RouteObject(
        meta=meta,
        hostnames=tuple(dict.fromkeys(readable)),
        rules=tuple(_parse_rule(rule, index) for index, rule in enumerate(rules)) if isinstance(rules, list) else (),
        complaints=tuple(complaints),
        is_too_large=too_large,
    )


def _parse_rule(raw: object, index: int) -> RuleObject:
    try:
        rule = RouteRule.model_validate(raw)
    except ValidationError as error:
        fields = raw if isinstance(raw, dict) else {"matches": None}
        name = fields.get("name")
        return RuleObject(
            index,
            name if isinstance(name, str) and _is_valid(_SECTION_NAME, name) else f"rule-{index}",
            None,
            _salvage_matches(fields.get("matches", [{}])),
            tuple(from_validation(error, ("spec", "rules", index))),
        )
    return RuleObject(index, rule_name(rule, index), rule, tuple(enumerate(rule.matches)))


def _salvage_matches(raw: object) -> tuple[tuple[int, Match], ...]:
    """Those that parse, each by itself. What cannot be read protects nothing."""
    found = []
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        try:
            found.append((index, Match.model_validate(item)))
        except ValidationError:
            continue  # told by the rule's own complaints
    return tuple(found)


def _parse_policy(meta: Meta, spec: dict[str, Any], complaints: list[FieldError], too_large: bool) -> PolicyObject:
    complaints += _complaints(RateLimitPolicySpec, spec, ("spec",))
    if not complaints:
        parsed = RateLimitPolicySpec.model_validate(spec)
        return PolicyObject(meta, parsed, parsed.target_refs)
    return PolicyObject(meta, None, _salvage_targets(spec.get("targetRefs", [])), tuple(complaints), too_large)


def _salvage_targets(raw: object) -> tuple[TargetRef, ...] | None:
    """The targets, or None when any is unreadable: it may be any route."""
    if not isinstance(raw, list):
        return None
    try:
        return tuple(TargetRef.model_validate(item) for item in raw)
    except ValidationError:
        return None


def _complaints(model: type[BaseModel], raw: object, path: tuple[str | int, ...]) -> list[FieldError]:
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return from_validation(error, path)
    return []


def _is_valid(form: TypeAdapter[str], value: object) -> bool:
    try:
        form.validate_python(value)
    except ValidationError:
        return False
    return True
