"""What authors are told: one line for each mistake, with its place, in words of ours, and how to mend it."""

import re
from pathlib import Path
from typing import Any

import mistakes
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inferway_contract import field_errors, resources
from inferway_contract.field_errors import FieldError, dotted
from inferway_contract.generate import structural_schema

HERE = Path(__file__).parent


def told(kind: str, spec: Any) -> list[str]:
    try:
        resources.SPECS[kind].model_validate(spec)
    except ValidationError as error:
        return [str(complaint) for complaint in field_errors.from_validation(error, ("spec",))]
    return []


@pytest.mark.parametrize("mistake", mistakes.TABLE, ids=mistakes.NAMES)
def test_mistakes(mistake: dict[str, Any]) -> None:
    assert told(*mistakes.resource(mistake)) == mistake["told"]


def test_the_table_is_long_and_its_names_differ() -> None:
    assert len(set(mistakes.NAMES)) == len(mistakes.NAMES) > 100


def test_a_place_is_written_as_people_write_it() -> None:
    assert dotted(()) == ""
    assert dotted(("spec", "rules", 0, "matches", 2, "path")) == "spec.rules[0].matches[2].path"
    assert str(FieldError((), "is broken")) == "is broken"
    assert str(FieldError(("spec",), "is broken")) == "spec: is broken"


def test_long_values_are_cut_and_control_characters_are_shown() -> None:
    [line] = told("GatewayRoute", {"rules": [{"matches": [{"method": "\x1b[31m" + "x" * 100_000}]}]})
    assert len(line) < 300
    assert line.isprintable()


def test_one_bad_entry_is_not_told_as_too_few_entries() -> None:
    spec = {"rules": [{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["nowhere"]}}]}]}
    assert [line.partition(": ")[0] for line in told("GatewayRoute", spec)] == [
        "spec.rules[0].filters[0].cors.allowOrigins[0]"
    ]


# --- whatever is written, no word of the library's comes through ------------------------------------------------------

JARGON = re.compile(
    r"\binput|should|\bvalid |instance|tuple|dictionary|pydantic|integer|boolean|NoneType|no place", re.IGNORECASE
)
GOOD = [
    (manifest["kind"], manifest["spec"])
    for path in sorted((HERE.parent / "examples").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False),
    st.text(max_size=600),
    st.dates(),
    st.binary(max_size=3),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=70),
    st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.none()), st.integers(), max_size=2),
)


def with_junk(value: Any, data: st.DataObject) -> Any:
    """The value with something else in one place of it."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)) > 0:
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: with_junk(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)) > 0:
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], with_junk(value[index], data), *value[index + 1 :]]
    return data.draw(junk)


@given(st.sampled_from(GOOD), st.data())
def test_no_jargon(good: tuple[str, Any], data: st.DataObject) -> None:
    kind, spec = good
    for line in told(kind, with_junk(spec, data)):
        # What the author wrote is shown, and may hold anything.
        assert JARGON.search(re.sub(r"'(\\.|[^'])*'|\"[^\"]*\"", "", line)) is None, line


def patterns(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*map(patterns, schema.values()))
    return set().union(*map(patterns, schema)) if isinstance(schema, list) else set()


def test_every_form_is_explained() -> None:
    used = set().union(*(patterns(structural_schema.of(model)) for model in resources.SPECS.values()))
    assert used == set(field_errors.FORMS)
