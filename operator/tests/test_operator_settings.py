"""Settings from the environment, and what is refused when the process starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from inferway_operator.settings import OperatorSettings, refuse_unknown

POLICY = '[{"namespaceLabels": {"team": "a"}, "hostnames": ["*.a.example.com"]}]'


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> OperatorSettings:
    """Settings of a process with this environment."""
    for name, value in environment.items():
        monkeypatch.setenv(f"INFERWAY_OPERATOR_{name.upper()}", value)
    return OperatorSettings()


def test_settings_have_safe_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch)
    assert read.world.hostname_policy is None
    assert read.selector("pods") == read.selector() == "inferway.dev/gateway=inferway"
    assert read.watches("anything")
    assert read.lease_namespace != read.namespace


def test_settings_are_read_from_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("- {namespaces: [shop], hostnames: ['*']}\n")
    read = settings(
        monkeypatch, namespaces="a, b", allowed_hosts="x.example.com,*.y.example.com", pod_selector="app=gateway",
        hostname_policy_file=str(file),
    )  # fmt: skip
    assert read.namespaces == ("a", "b")
    assert not read.watches("c")
    assert (read.selector("pods"), read.selector("leases")) == ("app=gateway", "inferway.dev/gateway=inferway")
    assert read.world.allowed_hosts == ("x.example.com", "*.y.example.com")
    assert read.world.hostname_policy is not None
    assert read.world.hostname_policy[0].namespaces == ("shop",)


def test_settings_read_the_hostname_policy_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = settings(monkeypatch, hostname_policy=POLICY).world.hostname_policy
    assert policy is not None
    assert policy[0].namespace_labels == {"team": "a"}


def test_holder_is_unique_to_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "inferway-operator-0")
    first, second = (
        settings(monkeypatch) for _ in range(2)
    )  # another host of this name, or the next container of the pod
    assert first.holder == first.holder
    assert first.holder != second.holder
    assert first.holder.startswith("inferway-operator-0_")
    named = [settings(monkeypatch, identity="one").holder for _ in range(2)]
    assert named[0] != named[1]
    assert named[0].startswith("one_")


def test_lease_is_in_the_namespace_of_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch).lease_namespace == "inferway-operator"
    monkeypatch.setenv("POD_NAMESPACE", "inferway-operator-b")
    assert settings(monkeypatch).lease_namespace == "inferway-operator-b"
    assert settings(monkeypatch, lease_namespace="elsewhere").lease_namespace == "elsewhere"


MISTAKES = [
    ({"hostname_policy": "[{"}, "neither JSON nor YAML"),
    ({"hostname_policy": '[{"hostnames": ["*"]}]'}, "set namespaces"),
    ({"hostname_policy": "[]", "hostname_policy_file": "/nowhere"}, "not both"),
    ({"hold_off": "1", "max_hold_off": "0.5"}, "max_hold_off"),
    ({"renew_deadline": "15"}, "renew_deadline"),
    ({"retry_period": "9"}, "retry_period"),
    ({"gateway": "In Ferway"}, "gateway"),
    ({"renew_deadline": "14.5"}, "the time limit of the last write .* renew_deadline below 11"),
    ({"renew_deadline": "11"}, "must be above 4 s"),
    ({"lease_namespace": "gate", "namespace": "gate"}, "its pods may write Leases there"),
    ({"lease_name": "In Ferway"}, "lease_name"),
]


@pytest.mark.parametrize(("environment", "message"), MISTAKES)
def test_invalid_setting_is_rejected(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(monkeypatch, **environment)


def test_renew_deadline_leaves_time_for_the_last_write(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, renew_deadline="10.9").renew_deadline == 10.9


LEASES = [
    ({}, "inferway-operator"),
    ({"gateway": "edge"}, "inferway-operator-edge"),
    ({"gateway": "edge", "lease_name": "mine"}, "mine"),
    ({"gateway": "e" * 40}, "inferway-operator-" + "e" * 40),
]


@pytest.mark.parametrize(("environment", "name"), LEASES)
def test_lease_is_named_after_its_gateway(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str
) -> None:
    assert settings(monkeypatch, **environment).lease == name


OF_A_SERVICE = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTPS", "PORT", "PORT_443_TCP", "PORT_443_TCP_ADDR"]


def test_settings_and_kubernetes_service_links_are_accepted() -> None:
    ours = [
        "INFERWAY_OPERATOR_GATEWAY",
        "inferway_operator_gateway",
        "INFERWAY_OPERATOR_WEBHOOK_CERT",
        "INFERWAY_GATEWAY",
    ]
    services = [f"INFERWAY_OPERATOR{of}_{name}" for of in ("", "_WEBHOOK") for name in OF_A_SERVICE]
    refuse_unknown([*ours, *services, "PATH"])


UNKNOWN = [
    (
        ["INFERWAY_OPERATOR_NAMESPACS"],
        "NAMESPACS; did you mean INFERWAY_OPERATOR_NAMESPACES",
    ),
    (["INFERWAY_OPERATOR_HOSTNAME_POLICYFILE"], "did you mean INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE"),
    (
        ["INFERWAY_OPERATOR_WEBHOOK_KEYS", "INFERWAY_OPERATOR_IDENTIY"],
        "did you mean .*_IDENTITY.; .* did you mean .*_WEBHOOK_KEY",
    ),
    (["INFERWAY_OPERATOR_LISTEN_PORT"], "did you mean INFERWAY_OPERATOR_LISTEN"),
    (["INFERWAY_OPERATOR_X"], "^unknown setting INFERWAY_OPERATOR_X: remove it, or see docs/settings.md$"),
]


@pytest.mark.parametrize(("names", "message"), UNKNOWN)
def test_unknown_setting_is_rejected(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_unknown(names)
