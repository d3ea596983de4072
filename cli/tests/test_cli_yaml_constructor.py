"""Scalars without quotes mean what they mean to kubectl."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_cli.manifests.yaml_constructor import resolve

MEANINGS = (
    ("", None),
    ("~", None),
    ("null", None),
    ("nULL", "nULL"),
    ("true", True),
    ("yes", True),
    ("On", True),
    ("y", True),
    ("off", False),
    ("No", False),
    ("yEs", "yEs"),
    ("0", 0),
    ("80", 80),
    ("-1", -1),
    ("+7", 7),
    ("1_000", 1000),
    ("017", 15),
    ("0o17", 15),
    ("0x1F", 31),
    ("0b101", 5),
    ("089", 89),
    ("9223372036854775807", (1 << 63) - 1),
    ("-0b" + "1" * 63, -(1 << 63) + 1),
    ("80.0", 80),
    ("1e3", 1000),
    (".5", 0.5),
    ("1.", 1),
    ("-1.5e-1", -0.15),
    ("1e300", 1e300),
    ("1:30", "1:30"),
    ("190:20:30.15", "190:20:30.15"),
    ("2026-01-31", "2026-01-31"),
    ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ("1.2.3", "1.2.3"),
    ("10.0.0.1", "10.0.0.1"),
    ("-", "-"),
    (".", "."),
    ("...", "..."),
    ("0x", "0x"),
    ("0xg", "0xg"),
    ("1s", "1s"),
    ("10Mi", "10Mi"),
    ("=", "="),
    ("<<", "<<"),
    ("٣", "٣"),
)


@pytest.mark.parametrize(("text", "value"), MEANINGS, ids=[text or "empty" for text, _ in MEANINGS])
def test_plain_scalar_resolves_as_in_kubectl(text: str, value: object) -> None:
    resolved = resolve(text)

    assert (type(resolved), resolved) == (type(value), value)


@pytest.mark.parametrize(
    "text", [".nan", ".NaN", ".inf", "-.Inf", "+.INF", "1e999", "9" * 20, "9" * 5000, "0b" + "1" * 65]
)
def test_scalar_that_json_cannot_hold_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|64 bits"):
        resolve(text)


@given(st.text(alphabet="0123456789abcdefoxXeE+-._:yYnNtTsS~", max_size=12))
def test_any_scalar_resolves_to_a_json_value_or_is_rejected(text: str) -> None:
    try:
        value = resolve(text)
    except ValueError:
        return
    assert value is None or isinstance(value, bool | int | float | str)
    assert not isinstance(value, float) or math.isfinite(value)
    assert not isinstance(value, str) or value == text
