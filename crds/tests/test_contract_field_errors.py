"""Errors for authors: one line each, with its place, in plain words, and the fix."""

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


def field_errors_of(kind: str, spec: Any) -> list[str]:
    try:
        resources.SPECS[kind].model_validate(spec)
    except ValidationError as error:
        return [str(complaint) for complaint in field_errors.from_validation(error, ("spec",), resources.SPECS[kind])]
    return []


@pytest.mark.parametrize("mistake", mistakes.TABLE, ids=mistakes.NAMES)
def test_invalid_resource_gives_the_listed_field_errors(mistake: dict[str, Any]) -> None:
    assert field_errors_of(*mistakes.resource(mistake)) == mistake["compiler"]


def test_table_has_over_100_cases_with_unique_names() -> None:
    assert len(set(mistakes.NAMES)) == len(mistakes.NAMES) > 100


def test_path_is_printed_in_dotted_notation() -> None:
    assert dotted(()) == ""
    assert dotted(("spec", "rules", 0, "matches", 2, "path")) == "spec.rules[0].matches[2].path"
    assert str(FieldError((), "is broken")) == "is broken"
    assert str(FieldError(("spec",), "is broken")) == "spec: is broken"


def test_message_cuts_values_and_escapes_control_characters() -> None:
    [line] = field_errors_of("GatewayRoute", {"rules": [{"matches": [{"method": "\x1b[31m" + "x" * 100_000}]}]})
    assert len(line) < 300
    assert line.isprintable()


def test_bad_list_entry_is_not_reported_as_too_few_entries() -> None:
    spec = {"rules": [{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["nowhere"]}}]}]}
    assert [line.partition(": ")[0] for line in field_errors_of("GatewayRoute", spec)] == [
        "spec.rules[0].filters[0].cors.allowOrigins[0]"
    ]


# --- random input: no word of the library's messages comes through -------------------------------------------------------

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
def test_messages_for_random_junk_contain_no_jargon(good: tuple[str, Any], data: st.DataObject) -> None:
    kind, spec = good
    for line in field_errors_of(kind, with_junk(spec, data)):
        # The author's value is shown, and may have any content.
        assert JARGON.search(re.sub(r"'(\\.|[^'])*'|\"[^\"]*\"", "", line)) is None, line


def patterns(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*map(patterns, schema.values()))
    return set().union(*map(patterns, schema)) if isinstance(schema, list) else set()


def test_every_pattern_of_the_schema_has_a_message() -> None:
    used = set().union(*(patterns(structural_schema.of(model)) for model in resources.SPECS.values()))
    assert used == set(field_errors.FORMS)
