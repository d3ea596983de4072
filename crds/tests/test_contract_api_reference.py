"""docs/api.md is in step with the models."""

from __future__ import annotations

from pathlib import Path

from inferway_contract.generate import api_reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def test_api_reference_matches_the_models() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == api_reference.text(), "the models changed: run `make crds`"


def test_api_reference_describes_nested_fields() -> None:
    text = api_reference.text()
    for field in ("rules[].matches[].path.type", "rules[].cache.ttl", "limits[].rate.requests", "targetRefs[].name"):
        assert f"`{field}`" in text
