"""Rights: the roles come to the list in permissions.yaml, and so does what a real API server says of the accounts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from identities import api_client, token
from kustomizations import OVERLAYS, Manifest, of_kind, overlay, with_webhook

from inferway_envtest import ApiServer, User

PERMITTED: dict[str, dict[str, list[str]]] = yaml.safe_load(Path(__file__).with_name("permissions.yaml").read_text())
ACCOUNTS = sorted(PERMITTED)
NAMESPACES = ("inferway-system", "inferway-operator", "default")


def rights(rules: Iterable[dict[str, Any]]) -> set[str]:
    """Rules of RBAC one verb and resource at a time, in permissions.yaml's words. A `*` stays visible as `*`."""
    found = set()
    for rule in rules:
        assert "nonResourceURLs" not in rule
        names = "".join(f" {name}" for name in sorted(rule.get("resourceNames") or ()))
        for verb, group, resource in product(rule["verbs"], rule["apiGroups"], rule["resources"]):
            found.add(f"{verb} {group or 'core'}/{resource}{names}")
    return found


def parse_rights(lines: Iterable[str]) -> set[str]:
    """The same of lines of permissions.yaml."""
    return {f"{verb} {what}" for verbs, _, what in (line.partition(" ") for line in lines) for verb in verbs.split(",")}


def granted(objects: tuple[Manifest, ...]) -> dict[str, dict[str, set[str]]]:
    """What the rendered roles and bindings come to, by account and place."""
    found: dict[str, dict[str, set[str]]] = {}
    roles = {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["rules"]
        for item in of_kind(objects, "Role", "ClusterRole")
    }
    bound = set()
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        place = binding["metadata"].get("namespace", "")
        ref = binding["roleRef"]
        role = (ref["kind"], place if ref["kind"] == "Role" else "", ref["name"])
        bound.add(role)
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            account = found.setdefault(f"{subject['namespace']}/{subject['name']}", {})
            account.setdefault(place or "cluster", set()).update(rights(roles[role]))
    assert bound == roles.keys(), "a role that nobody has"
    return found


def permitted(account: str, namespace: str) -> set[str]:
    """By the list, in one namespace: what is permitted everywhere and there."""
    places = PERMITTED[account]
    return parse_rights((*places.get("cluster", ()), *places.get(namespace, ())))


def reviewed(api: ApiServer, user: User, namespace: str) -> set[str]:
    """What the API server says that a user may do in a namespace: what `kubectl auth can-i --list` shows."""
    client = api_client(api, user)
    try:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        status = client.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)["status"]
    finally:
        client.close()
    assert not status["incomplete"]
    return rights(status["resourceRules"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_roles_grant_the_listed_rights(name: str) -> None:
    expected = {
        account: {place: parse_rights(rules) for place, rules in places.items()}
        for account, places in PERMITTED.items()
    }
    assert granted(overlay(name)) == expected


def test_webhook_component_adds_no_rights(tmp_path: Path) -> None:
    assert granted(with_webhook(tmp_path)) == granted(overlay("production"))


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_api_server_permits_exactly_the_listed_rights(installed: ApiServer, account: str, namespace: str) -> None:
    home, _, name = account.partition("/")
    installed.kubectl("apply", "-f", "-", input=account_without_rights(home))
    # What every account has of the API server, such as asking what it may do, is not ours.
    common = reviewed(installed, token(installed, home, "nobody"), namespace)
    assert reviewed(installed, token(installed, home, name), namespace) - common == permitted(account, namespace)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_right_reaches_secrets_or_is_a_wildcard(account: str) -> None:
    for rules in PERMITTED[account].values():
        assert not any("*" in rule or "secrets" in rule for rule in rules)


def account_without_rights(namespace: str) -> str:
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": namespace}}
    )
