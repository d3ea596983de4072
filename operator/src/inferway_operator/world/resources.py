"""Parse GatewayRoutes and RateLimitPolicies rule by rule: an error costs only the rule that has it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from inferway_contract.field_errors import FieldError, from_validation
from inferway_contract.resources import API_GROUP, API_VERSION, SPECS
from inferway_contract.resources.gateway_route import GatewayRouteSpec, RouteRule, rule_name
from inferway_contract.resources.matches import Match
from inferway_contract.resources.model import SectionName
from inferway_contract.resources.rate_limit_policy import RateLimitPolicySpec, TargetRef
from inferway_operator.world import metadata, partial_hostnames, partial_matches
from inferway_operator.world.objects import Meta, PartialMatch, PolicyObject, RouteObject, RuleObject

MAX_SPEC_BYTES: Final = 256 << 10
"""Bound of a spec in compact JSON, far below a shard: a shard has room for several resources."""

_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_SECTION_NAME: TypeAdapter[str] = TypeAdapter(SectionName)


def parse(manifest: Mapping[str, Any]) -> RouteObject | PolicyObject:
    """Parse a GatewayRoute or RateLimitPolicy; invalid parts become its errors. `ValueError` for another kind."""
    kind = manifest.get("kind")
    if not isinstance(kind, str) or kind not in SPECS:
        raise ValueError(f"{kind!r} is neither a GatewayRoute nor a RateLimitPolicy")
    meta, errors = metadata.read(manifest)
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        errors.append(FieldError(("spec",), "must be a mapping" if "spec" in manifest else "is required"))
    if errors:
        # Publishing needs an id and a spec.
        return _unreadable(kind, meta, errors)
    assert isinstance(spec, dict)  # noqa: S101 - for the type checker: see the errors above
    if manifest.get("apiVersion") != f"{API_GROUP}/{API_VERSION}":
        errors.append(FieldError(("apiVersion",), f"must be {API_GROUP}/{API_VERSION}"))
    errors += [
        FieldError((str(field),), "unknown field; remove it or correct its spelling")
        for field in manifest
        if field not in _FIELDS
    ]
    size = size_of(spec)
    if size is None:
        return _unreadable(
            kind, meta, [FieldError(("spec",), "cannot be written as JSON: nested too deeply, or recursive")]
        )
    if size > MAX_SPEC_BYTES:
        errors.append(
            FieldError(("spec",), f"too large: {size} bytes as JSON, the limit is {MAX_SPEC_BYTES}; split it")
        )
        return _too_large(kind, meta, spec, errors, size)
    return (_parse_route if kind == "GatewayRoute" else _parse_policy)(meta, spec, errors, size)


def _too_large(
    kind: str, meta: Meta, spec: dict[str, Any], errors: list[FieldError], size: int
) -> RouteObject | PolicyObject:
    """Read little of a large spec: reading takes time too."""
    if kind != "GatewayRoute":
        return PolicyObject(meta, None, None, tuple(errors), is_too_large=True, size=size)
    hostnames = partial_hostnames.read(spec.get("hostnames", []))
    match = PartialMatch(path=None, path_value=partial_matches.common_path(spec.get("rules")), path_type="PathPrefix")
    rule = RuleObject(0, "rule-0", None, ((0, match),))
    rules = (rule,) if hostnames is not None else ()
    return RouteObject(meta, hostnames or (), rules, tuple(errors), is_too_large=True, size=size)


def _unreadable(kind: str, meta: Meta, errors: list[FieldError]) -> RouteObject | PolicyObject:
    if kind == "GatewayRoute":
        return RouteObject(meta, errors=tuple(errors))
    return PolicyObject(meta, None, None, tuple(errors))


def size_of(spec: Mapping[str, Any]) -> int | None:
    """Return the bytes of a spec as compact JSON; None if it cannot be written."""
    try:
        # `default` and `skipkeys`: YAML has dates and keys that are not text, which the models report.
        text = json.dumps(spec, separators=(",", ":"), ensure_ascii=False, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        return None
    return len(text.encode(errors="surrogatepass"))


def _parse_route(meta: Meta, spec: dict[str, Any], errors: list[FieldError], size: int) -> RouteObject:
    rules = spec.get("rules")
    errors += _errors(GatewayRouteSpec, _outline(spec), ("spec",))
    if isinstance(rules, dict):
        rules = [rules]  # a list without its dash
    hostnames = partial_hostnames.read(spec.get("hostnames", []))
    if hostnames is None:
        # Which hosts it meant is not known, and without hostnames it would claim every host.
        rules = []
    parsed = tuple(_parse_rule(rule, index) for index, rule in enumerate(rules)) if isinstance(rules, list) else ()
    return RouteObject(
        meta=meta,
        hostnames=hostnames or (),
        rules=parsed,
        errors=tuple(errors),
        size=size,
        patterns=tuple(dict.fromkeys(_patterns(parsed))),
        match_count=sum(len(rule.matches) for rule in parsed),
        condition_count=sum(
            len(match.headers) + len(match.query_params) for rule in parsed for _, match in rule.matches
        ),
        backend_count=sum(len(rule.rule.backend_refs) for rule in parsed if rule.rule is not None),
    )


def _patterns(rules: Iterable[RuleObject]) -> Iterator[str]:
    for rule in rules:
        for _, match in rule.matches:
            if match.path is not None and match.path.type == "RegularExpression":
                yield match.path.value
            yield from (entry.value for entry in match.headers if entry.type == "RegularExpression")
            yield from (entry.value for entry in match.query_params if entry.type == "RegularExpression")


def _outline(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec with empty rules: the rules are validated one by one."""
    rules = spec.get("rules")
    return {**spec, "rules": [{}] * len(rules)} if isinstance(rules, list) else spec


def _parse_rule(raw: object, index: int) -> RuleObject:
    try:
        rule = RouteRule.model_validate(raw)
    except ValidationError as error:
        fields = raw if isinstance(raw, dict) else {}
        name = fields.get("name")
        return RuleObject(
            index,
            name if isinstance(name, str) and _is_valid(_SECTION_NAME, name) else f"rule-{index}",
            None,
            partial_matches.read(fields.get("matches", [{}])),
            tuple(from_validation(error, ("spec", "rules", index), RouteRule)),
        )
    # Gateway API: no matches are one match of every path.
    return RuleObject(index, rule_name(rule, index), rule, tuple(enumerate(rule.matches or (Match(),))))


def _parse_policy(meta: Meta, spec: dict[str, Any], errors: list[FieldError], size: int) -> PolicyObject:
    errors += _errors(RateLimitPolicySpec, spec, ("spec",))
    if not errors:
        parsed = RateLimitPolicySpec.model_validate(spec)
        return PolicyObject(meta, parsed, parsed.target_refs, size=size)
    return PolicyObject(meta, None, _salvage_targets(spec.get("targetRefs", [])), tuple(errors), size=size)


def _salvage_targets(raw: object) -> tuple[TargetRef, ...] | None:
    """Return the targets, or None with any invalid one: it may be any route."""
    if not isinstance(raw, list):
        return None
    try:
        return tuple(TargetRef.model_validate(item) for item in raw)
    except ValidationError:
        return None


def _errors(model: type[BaseModel], raw: object, path: tuple[str | int, ...]) -> list[FieldError]:
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return from_validation(error, path, model)
    return []


def _is_valid(form: TypeAdapter[str], value: object) -> bool:
    try:
        form.validate_python(value)
    except ValidationError:
        return False
    return True
