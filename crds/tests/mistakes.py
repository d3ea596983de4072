"""The table of invalid resources, with the messages of the compiler and of kubectl."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

LIMIT = {"name": "a", "rate": {"requests": 1}, "burst": 1, "scope": "Pod"}
TABLE: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text(encoding="utf-8"))
NAMES = [mistake["name"] for mistake in TABLE]


def resource(mistake: dict[str, Any]) -> tuple[str, Any]:
    """The kind and the spec that a row is about."""
    match mistake:
        case {"rule": rule}:
            return "GatewayRoute", {"rules": [rule]}
        case {"route": spec}:
            return "GatewayRoute", spec
        case {"limit": limit}:
            return "RateLimitPolicy", {"limits": [{**LIMIT, **limit}]}
        case {"policy": spec}:
            return "RateLimitPolicy", spec
    raise AssertionError(mistake)


# --- what kubectl prints, without what it repeats ---------------------------------------------------------------------

STRICT = "strict decoding error: "
# `spec.a: Invalid value: 0: spec.a in body should be ...`: the place twice, and the value, which the row shows anyway
SCHEMA = re.compile(r"^(?P<place>\S+): Invalid value: .*?: (?P=place) in body (?P<words>.*)$", re.DOTALL)
# `spec.a: Invalid value: "object": words`: of a rule the value is never shown, only its type
RULE = re.compile(r'^(?P<place>\S+): Invalid value: "\w*": (?P<words>.*)$', re.DOTALL)


def kubectl_output(status: dict[str, Any]) -> str:
    """What kubectl prints of an API server's refusal, but for what stands in front."""
    if causes := status.get("details", {}).get("causes"):
        return "".join(f"\n* {cause['field']}: {cause['message']}" for cause in causes)
    return str(status["message"])


def rejections(text: str) -> list[str]:
    """Of what kubectl prints, each line as `place: words`, or `unknown field "place"`; an expression is shown as `...`.

    Sorted: the API server goes through fields as its hash tables have them.
    """
    if STRICT in text:
        return sorted(text.partition(STRICT)[2].strip().split(", "))
    _, several, lines_of_several = text.partition("\n* ")
    lines = lines_of_several.split("\n* ") if several else [text.partition(" is invalid: ")[2]]
    # The place <nil> is the whole object: Kubernetes adds this line to those with the errors.
    return sorted(shortened(line.strip()) for line in lines if not line.startswith("<nil>"))


def shortened(line: str) -> str:
    """One line without its repetitions."""
    for form in (SCHEMA, RULE):
        if found := form.match(line):
            return (
                f"{found['place']}: {re.sub(r'should match .*', 'should match ...', found['words'], flags=re.DOTALL)}"
            )
    return line
