"""docs/api.md is in step with the models."""

from __future__ import annotations

from pathlib import Path

from inferway_contract.generate import api_reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_reference_is_in_step_with_the_models() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == api_reference.text(), "the models changed: run `make crds`"


def test_every_field_of_a_rule_is_explained() -> None:
    text = api_reference.text()
    for field in ("rules[].matches[].path.type", "rules[].cache.ttl", "limits[].rate.requests", "targetRefs[].name"):
        assert f"`{field}`" in text
