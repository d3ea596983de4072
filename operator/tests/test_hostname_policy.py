"""The setting `hostnamePolicy`: what falls under what, and what it refuses to be."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from inferway_operator.world import hostname_policy
from inferway_operator.world.hostname_policy import HostnamePolicy, HostnameRule


@pytest.mark.parametrize(
    ("hostname", "patterns", "may"),
    [
        ("a.example.com", ("a.example.com",), True),
        ("a.example.com", ("*.example.com",), True),
        ("b.a.example.com", ("*.example.com",), True),
        ("*.example.com", ("*.example.com",), True),
        ("*.a.example.com", ("*.example.com",), True),
        ("example.com", ("*.example.com",), False),
        ("evilexample.com", ("*.example.com",), False),
        ("*.evilexample.com", ("*.example.com",), False),
        ("a.example.com.evil.net", ("*.example.com", "a.example.com"), False),
        ("*.example.com", ("a.example.com",), False),
        ("*.example.com", ("*.a.example.com",), False),
        ("*.com", ("*.example.com",), False),
        ("b.example.com", ("a.example.com",), False),
        ("a.example.com", ("*",), True),
        ("*.com", ("*",), True),
        ("", ("*",), True),
        ("", ("*.com", "com"), False),
        ("", (), False),
        ("a.example.com", (), False),
    ],
)
def test_hostname_is_matched_against_the_patterns(hostname: str, patterns: tuple[str, ...], may: bool) -> None:
    assert hostname_policy.may_claim(hostname, patterns) is may


@pytest.mark.parametrize(
    ("rule", "namespace", "labels", "is_for"),
    [
        ({"namespaces": ["a", "b"]}, "b", {}, True),
        ({"namespaces": ["a", "b"]}, "c", {}, False),
        ({"namespaces": ["*"]}, "c", {}, True),
        ({"namespaceLabels": {"team": "x"}}, "a", {"team": "x", "stage": "test"}, True),
        ({"namespaceLabels": {"team": "x"}}, "a", {"team": "y"}, False),
        ({"namespaceLabels": {"team": "x"}}, "a", {}, False),
        ({"namespaceLabels": {"team": "x", "stage": "test"}}, "a", {"team": "x"}, False),
        ({"namespaces": ["a"], "namespaceLabels": {"team": "x"}}, "a", {}, True),
        ({"namespaces": ["a"], "namespaceLabels": {"team": "x"}}, "b", {"team": "x"}, True),
        ({"namespaces": ["a"], "namespaceLabels": {}}, "b", {"team": "x"}, False),
    ],
)
def test_rule_selects_namespaces_by_name_and_label(
    rule: dict[str, Any], namespace: str, labels: dict[str, str], is_for: bool
) -> None:
    read = HostnameRule.model_validate({**rule, "hostnames": ["*"]})
    assert read.is_for(namespace, labels) is is_for


def test_patterns_of_a_namespace_are_the_union_of_its_rules() -> None:
    policy = tuple(
        HostnameRule.model_validate(rule)
        for rule in (
            {"namespaces": ["shop"], "hostnames": ["shop.example.com", "a.example.com"]},
            {"namespaces": ["*"], "hostnames": ["*.open.example.com", "a.example.com"]},
            {"namespaceLabels": {"team": "x"}, "hostnames": ["x.example.com"]},
        )
    )
    assert hostname_policy.patterns_of(policy, "shop", {}) == (
        "*.open.example.com", "a.example.com", "shop.example.com",
    )  # fmt: skip
    assert hostname_policy.patterns_of(policy, "else", {"team": "x"}) == (
        "*.open.example.com", "a.example.com", "x.example.com",
    )  # fmt: skip
    assert hostname_policy.patterns_of((), "shop", {}) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[{"hostnames": ["*"]}]', "set namespaces or namespaceLabels"),
        ('[{"namespaces": ["a"]}]', "hostnames"),
        ('[{"namespaces": ["A"], "hostnames": ["*"]}]', "namespaces"),
        ('[{"namespaces": ["a*"], "hostnames": ["*"]}]', "namespaces"),
        ('[{"namespaces": ["a"], "hostnames": ["a.*"]}]', "hostnames"),
        ('[{"namespaces": ["a"], "hostnames": ["*.*"]}]', "hostnames"),
        ('[{"namespaces": ["a"], "hostnames": [""]}]', "hostnames"),
        ('[{"namespaces": ["a"], "hostnames": ["A.example.com"]}]', "hostnames"),
        ('[{"namespaces": ["a"], "hosts": ["*"]}]', "hosts"),
    ],
)
def test_invalid_policy_is_rejected(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(HostnamePolicy).validate_json(text)


def test_policy_is_parsed_from_json() -> None:
    text = '[{"namespaces": ["a"], "hostnames": ["*"]}, {"namespaceLabels": {"team": "x"}, "hostnames": []}]'
    first, second = TypeAdapter(HostnamePolicy).validate_json(text)
    assert (first.namespaces, first.hostnames) == (("a",), ("*",))
    assert (second.namespace_labels, second.hostnames) == ({"team": "x"}, ())


EXCLUSIVE: HostnamePolicy = tuple(
    HostnameRule.model_validate(rule)
    for rule in (
        {"namespaces": ["*"], "hostnames": ["*"]},
        {"namespaces": ["shop"], "hostnames": ["shop.example.com", "*.shop.example.com"], "exclusive": True},
        {"namespaces": ["beta"], "hostnames": ["beta.shop.example.com"], "exclusive": True},
        {"namespaceLabels": {"team": "x"}, "hostnames": ["x.example.com"], "exclusive": True},
        {"namespaces": ["shop", "twin"], "hostnames": ["both.example.com"], "exclusive": True},
    )
)


@pytest.mark.parametrize(
    ("namespace", "hostname", "reserved"),
    [
        ("shop", "shop.example.com", None),
        ("shop", "a.shop.example.com", None),
        ("shop", "*.a.shop.example.com", None),
        ("other", "shop.example.com", "shop.example.com"),
        ("other", "a.shop.example.com", "*.shop.example.com"),
        ("other", "*.a.shop.example.com", "*.shop.example.com"),
        ("other", "*.example.com", "beta.shop.example.com"),
        ("other", "", "beta.shop.example.com"),
        ("other", "example.com", None),
        ("other", "evilshop.example.com", None),
        ("other", "*.other.net", None),
        # The most specific exclusive entry counts, in both directions.
        ("beta", "beta.shop.example.com", None),
        ("beta", "c.shop.example.com", "*.shop.example.com"),
        ("shop", "beta.shop.example.com", "beta.shop.example.com"),
        ("shop", "*.shop.example.com", "beta.shop.example.com"),
        ("labelled", "x.example.com", None),
        ("other", "x.example.com", "x.example.com"),
        ("twin", "both.example.com", None),
        ("shop", "both.example.com", None),
    ],
)
def test_exclusive_hostname_is_reserved_for_its_namespaces(namespace: str, hostname: str, reserved: str | None) -> None:
    labels = {"team": "x"} if namespace == "labelled" else {}
    assert hostname_policy.reserved_by(EXCLUSIVE, namespace, labels, hostname) == reserved
    backwards = tuple(reversed(EXCLUSIVE))
    assert hostname_policy.reserved_by(backwards, namespace, labels, hostname) == reserved
