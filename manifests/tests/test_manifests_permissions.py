"""Rights: the roles, and a real API server's answers for the accounts, match the list in permissions.yaml."""

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
AGGREGATED = {("ClusterRole", "", "inferway-view"), ("ClusterRole", "", "inferway-edit")}
"""For people; bound through the roles of Kubernetes (test_manifests_roles.py)."""


def rights(rules: Iterable[dict[str, Any]]) -> set[str]:
    """Split RBAC rules into single verbs and resources, in the form of permissions.yaml. A `*` stays `*`."""
    triples = set()
    for rule in rules:
        assert "nonResourceURLs" not in rule
        names = "".join(f" {name}" for name in sorted(rule.get("resourceNames") or ()))
        for verb, group, resource in product(rule["verbs"], rule["apiGroups"], rule["resources"]):
            triples.add(f"{verb} {group or 'core'}/{resource}{names}")
    return triples


def parse_rights(lines: Iterable[str]) -> set[str]:
    """Parse lines of permissions.yaml to the same form."""
    return {f"{verb} {what}" for verbs, _, what in (line.partition(" ") for line in lines) for verb in verbs.split(",")}


def granted(objects: tuple[Manifest, ...]) -> dict[str, dict[str, set[str]]]:
    """Return the rights of the rendered roles and bindings, by account and place."""
    by_account: dict[str, dict[str, set[str]]] = {}
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
            account = by_account.setdefault(f"{subject['namespace']}/{subject['name']}", {})
            account.setdefault(place or "cluster", set()).update(rights(roles[role]))
    assert bound == roles.keys() - AGGREGATED, "a role without a binding"
    return by_account


def permitted(account: str, namespace: str) -> set[str]:
    """Return the listed rights in one namespace: those everywhere and those there."""
    places = PERMITTED[account]
    return parse_rights((*places.get("cluster", ()), *places.get(namespace, ())))


def reviewed(api: ApiServer, user: User, namespace: str) -> set[str]:
    """Return a user's rights in a namespace from the API server, as `kubectl auth can-i --list` shows them."""
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
    # Rights of every account, such as queries of its own rights, are excluded.
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
