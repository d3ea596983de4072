"""Each object of the kustomizations as a Helm template."""

import copy
import re
from collections.abc import Iterator
from typing import Any, Final

from inferway_chart import names
from inferway_chart.parameters import (
    HAS_POLICY,
    HAS_WEBHOOK,
    MONITORING_LABELS,
    OPERATOR_LISTS,
    PARAMETERS,
    PRIORITY,
    PRIORITY_CONDITION,
    REPLICAS_WITHOUT_AUTOSCALER,
    Parameter,
    Path,
    any_of,
    condition_of,
)
from inferway_chart.rendering import SUFFIX, Manifest
from inferway_chart.template_text import Action, When, text

_NAME: Final = re.compile(rf"(.*?)(?:{SUFFIX}(?:-[a-z0-9]{{10}})?)?")
_KEEP: Final = {"helm.sh/resource-policy": "keep"}
_CONFIG_MAPS: Final = ("operator-settings", "gateway-settings", "hostname-policy")


def of(objects: list[Manifest], production: list[Manifest]) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each template. `production` is the overlay, without the webhook."""
    unconditional = _names_in_lists(production) - {"hostname-policy"}
    for item in objects:
        kind, name = item["kind"], plain_name(item)
        place = {"inferway-operator": "operator", "inferway-system": "gateway"}.get(
            item["metadata"].get("namespace", ""), "cluster"
        )
        body = text(_parametrised(item, unconditional))
        condition = condition_of(kind, name)
        if condition:
            body = f"{{{{- if {condition} }}}}\n{body}{{{{- end }}}}\n"
        yield f"templates/{place}/{kind.lower()}-{name}.yaml", body


def plain_name(item: Manifest) -> str:
    """Return an object's name without suffix and hash."""
    match = _NAME.fullmatch(item["metadata"]["name"])
    assert match is not None  # noqa: S101 - the pattern fits every text
    return match[1]


def value_at(item: Manifest, path: Path) -> Any:
    """Return the value at a path, or None."""
    node: Any = item
    for step in path:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _names_in_lists(objects: list[Manifest]) -> frozenset[str]:
    """Return the names of ports, mounts and volumes of the operator's pod."""
    operators = [item for item in objects if (item["kind"], plain_name(item)) == ("Deployment", "inferway-operator")]
    lists = [value_at(item, path) or [] for item in operators for path in OPERATOR_LISTS]
    return frozenset(entry["name"] for entries in lists for entry in entries)


def _parametrised(item: Manifest, unconditional: frozenset[str]) -> Manifest:
    kind, name = item["kind"], plain_name(item)
    changed = names.with_actions(copy.deepcopy(item))
    if kind == "Namespace" and name == "inferway-operator":
        changed["metadata"]["name"] = names.OPERATOR
    for parameter in PARAMETERS:
        if (parameter.kind, parameter.name) == (kind, name):
            _set_parameter(changed, parameter)
    match kind:
        case "Deployment":
            _change_deployment(changed, name.removeprefix("inferway-"), unconditional)
        case "ConfigMap" if name.removeprefix("inferway-") in _CONFIG_MAPS:
            changed["data"] = Action(f"include `inferway.{name.removeprefix('inferway-')}` .")
        case "CustomResourceDefinition":
            changed["metadata"]["annotations"] = When(".Values.crds.keep", dict(_KEEP))
        case "ServiceMonitor" | "PrometheusRule":
            _add_labels(changed, MONITORING_LABELS[kind])
    return changed


def _change_deployment(item: Manifest, plane: str, unconditional: frozenset[str]) -> None:
    [container] = item["spec"]["template"]["spec"]["containers"]
    container["image"] = Action(f"include `inferway.image` (list . .Values.{plane}.image) | toJson")
    pod = value_at(item, PRIORITY[:-1])
    pod[PRIORITY[-1]] = When(PRIORITY_CONDITION, pod[PRIORITY[-1]])
    if plane == "gateway":
        item["spec"]["replicas"] = When(REPLICAS_WITHOUT_AUTOSCALER, Action("toJson .Values.gateway.replicas"))
        return
    for path in OPERATOR_LISTS:
        holder, field = value_at(item, path[:-1]), path[-1]
        holder[field] = _with_conditions(holder[field], unconditional)


def _with_conditions(items: list[Manifest], unconditional: frozenset[str]) -> Any:
    """Make the other items depend on the hostname policy or the webhook; if all do, the list does too."""
    conditions = {
        one["name"]: HAS_POLICY if one["name"] == "hostname-policy" else HAS_WEBHOOK
        for one in items
        if one["name"] not in unconditional
    }
    changed = [When(conditions[one["name"]], one) if one["name"] in conditions else one for one in items]
    if len(conditions) == len(items):
        return When(any_of([*dict.fromkeys(conditions.values())]), changed)
    return changed


def _set_parameter(item: Manifest, parameter: Parameter) -> None:
    holder, field = value_at(item, parameter.path[:-1]), parameter.path[-1]
    if holder is None or (parameter.is_required and value_at(item, parameter.path) is None):
        raise LookupError(f"{parameter.kind} {parameter.name} has no {parameter.path}: change `parameters`")
    value = Action(f"toJson .Values.{parameter.value}")
    holder[field] = value if parameter.is_required else When(f".Values.{parameter.value}", value)


def _add_labels(item: Manifest, value: str) -> None:
    labels = item["metadata"].pop("labels")
    literal = " ".join(f"`{name}` `{text}`" for name, text in labels.items())
    item["metadata"]["labels"] = Action(f"merge (dict {literal}) .Values.{value} | toJson")
