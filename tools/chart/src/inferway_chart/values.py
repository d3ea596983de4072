"""The values that give the objects of an overlay."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from inferway_chart import templates
from inferway_chart.parameters import OBJECTS, PARAMETERS
from inferway_chart.rendering import Manifest

Values = dict[str, Any]

_OWN: Final = frozenset({"INFERWAY_GATEWAY", "INFERWAY_OPERATOR_GATEWAY", "INFERWAY_OPERATOR_NAMESPACE"})
_OF_THE_POLICY: Final = "INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE"
OF_THE_WEBHOOK: Final = "INFERWAY_OPERATOR_WEBHOOK_"
_PLACE: Final = re.compile(r"<<([\w.]+)>>")
_SWITCH: Final = re.compile(r"\.Values\.((?:\w+\.)+(?:create|enabled|aggregate|install))")
_IMAGE: Final = re.compile(r"(?P<repository>[^:@]+):(?P<tag>.+)")


def is_set_by_the_chart(setting: str) -> bool:
    """Return whether templates write a setting, so that values may not."""
    return setting in _OWN or setting == _OF_THE_POLICY or setting.startswith(OF_THE_WEBHOOK)


def of(objects: list[Manifest]) -> Values:
    """Return the values of rendered objects, by path: `gateway.resources`. A missing field is null."""
    by_name = {(item["kind"], templates.plain_name(item)): item for item in objects}
    values: Values = {}
    for parameter in PARAMETERS:
        item = by_name.get((parameter.kind, parameter.name))
        if item is not None:
            values[parameter.value] = templates.value_at(item, parameter.path)
    settings = {plane: _data(objects, f"inferway-{plane}-settings") for plane in ("operator", "gateway")}
    for plane, data in settings.items():
        values[f"{plane}.settings"] = {name: text for name, text in data.items() if not is_set_by_the_chart(name)}
    values["webhook.settings"] = {
        name: text for name, text in settings["operator"].items() if name.startswith(OF_THE_WEBHOOK)
    }
    policy = _data(objects, "inferway-hostname-policy")
    values["hostnamePolicy"] = yaml.safe_load(policy["hostname-policy.yaml"]) if policy else None
    return values


def of_overlay(objects: list[Manifest], production: Values) -> Values:
    """Return the values of an overlay as a tree, for a file that is given in addition to the chart's own values."""
    values = {**of(objects), **_switches(objects)}
    del values["webhook.settings"]
    for plane in ("operator", "gateway"):
        # null removes a setting of the chart's values.
        values[f"{plane}.settings"] = {**dict.fromkeys(production[f"{plane}.settings"]), **values[f"{plane}.settings"]}
        [deployment] = (
            item
            for item in objects
            if templates.plain_name(item) == f"inferway-{plane}" and item["kind"] == "Deployment"
        )
        match = _IMAGE.fullmatch(deployment["spec"]["template"]["spec"]["containers"][0]["image"])
        values[f"{plane}.image.tag"] = match and match["tag"]
    replicas = templates.value_at(deployment, ("spec", "replicas"))
    if replicas is not None:
        values["gateway.replicas"] = replicas
    tree: Values = {}
    for path, value in values.items():
        *folders, last = path.split(".")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[last] = value
    return tree


def filled(template: Path, values: Mapping[str, Any]) -> str:
    """Return the text of values.yaml: its places have the values, in JSON."""

    def value(match: re.Match[str]) -> str:
        return json.dumps(values[match[1]], ensure_ascii=False)

    return _PLACE.sub(value, template.read_text(encoding="utf-8"))


def _data(objects: list[Manifest], name: str) -> dict[str, str]:
    found = [item for item in objects if item["kind"] == "ConfigMap" and _stem(item) == name]
    return dict(found[0]["data"]) if found else {}


def _stem(item: Manifest) -> str:
    """Return a ConfigMap's name without suffix and hash, whether or not there is a suffix."""
    return re.sub(r"-[a-z0-9]{10}$", "", templates.plain_name(item))


def _switches(objects: list[Manifest]) -> Values:
    """Return the values that create objects, by whether the overlay has one."""
    existing = {(item["kind"], templates.plain_name(item)) for item in objects}
    kinds = {kind for kind, _ in existing}
    switches = {}
    for key, condition in OBJECTS.items():
        match = _SWITCH.fullmatch(condition)
        if match:
            exists = key in existing if len(key) == 2 else key[0] in kinds
            switches[match[1]] = switches.get(match[1], False) or exists
    return switches
