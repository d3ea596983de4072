"""Settings from the environment, and what is refused when the process starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from inferway_operator.settings import OperatorSettings

POLICY = '[{"namespaceLabels": {"team": "a"}, "hostnames": ["*.a.example.com"]}]'


def settings(monkeypatch: pytest.MonkeyPatch, **told: str) -> OperatorSettings:
    """Settings of a process with this environment."""
    for name, value in told.items():
        monkeypatch.setenv(f"INFERWAY_OPERATOR_{name.upper()}", value)
    return OperatorSettings()


def test_operator_settings_have_safe_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch)
    assert found.world.hostname_policy is None
    assert found.selector("pods") == found.selector() == "inferway.dev/gateway=inferway"
    assert found.watches("anything")
    assert found.lease_namespace != found.namespace


def test_operator_settings_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("- {namespaces: [shop], hostnames: ['*']}\n")
    found = settings(
        monkeypatch, namespaces="a, b", allowed_hosts="x.example.com,*.y.example.com", pod_selector="app=gateway",
        hostname_policy_file=str(file),
    )  # fmt: skip
    assert found.namespaces == ("a", "b")
    assert not found.watches("c")
    assert (found.selector("pods"), found.selector("leases")) == ("app=gateway", "inferway.dev/gateway=inferway")
    assert found.world.allowed_hosts == ("x.example.com", "*.y.example.com")
    assert found.world.hostname_policy is not None
    assert found.world.hostname_policy[0].namespaces == ("shop",)


def test_operator_settings_take_the_policy_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = settings(monkeypatch, hostname_policy=POLICY).world.hostname_policy
    assert policy is not None
    assert policy[0].namespace_labels == {"team": "a"}


MISTAKES = [
    ({"hostname_policy": "[{"}, "neither JSON nor YAML"),
    ({"hostname_policy": '[{"hostnames": ["*"]}]'}, "name namespaces"),
    ({"hostname_policy": "[]", "hostname_policy_file": "/nowhere"}, "not both"),
    ({"hold_off": "1", "max_hold_off": "0.5"}, "max_hold_off"),
    ({"renew_deadline": "15"}, "renew_deadline"),
    ({"retry_period": "9"}, "retry_period"),
    ({"gateway": "In Ferway"}, "gateway"),
]


@pytest.mark.parametrize(("told", "message"), MISTAKES)
def test_operator_settings_refuse_mistakes(monkeypatch: pytest.MonkeyPatch, told: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(monkeypatch, **told)
