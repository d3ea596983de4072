"""The roles of people: view, edit and admin of a namespace include its routes and policies, and no status."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import yaml
from kustomizations import overlay

from inferway_envtest import ApiServer, User
from inferway_testing.until import until

TEAM, OTHER = "roles-team", "roles-other"
PEOPLE = ("view", "edit", "admin")
KINDS = ("gatewayroutes.inferway.dev", "ratelimitpolicies.inferway.dev")
READS = {"get", "list", "watch"}
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.fixture(scope="module")
def people(installed: ApiServer) -> Iterator[dict[str, User]]:
    """Bind a user to each of the roles of Kubernetes in one namespace."""
    names = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (TEAM, OTHER)]
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": TEAM},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"roles-{role}"}],
        }
        for role in PEOPLE
    ]
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([*names, *bindings]))
    users = {role: installed.user(f"roles-{role}") for role in PEOPLE}
    for role, kind in product(PEOPLE, KINDS):
        verb = "get" if role == "view" else "create"
        until(lambda role=role, kind=kind, verb=verb: may(installed, users[role], verb, kind), f"{role} has {kind}")
    yield users
    for name in (TEAM, OTHER):
        installed.ask("DELETE", f"/api/v1/namespaces/{name}")


def may(api: ApiServer, user: User, verb: str, kind: str, namespace: str = TEAM) -> bool:
    """Return the API server's answer to the user's own `kubectl auth can-i`."""
    resource, _, group = kind.partition(".")
    resource, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
    review = api.ask(
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name,
                "groups": ["testers", "system:authenticated"],
                "resourceAttributes": {**attributes, "subresource": subresource},
            },
        },
    )
    return bool(review["status"]["allowed"])


def verbs(api: ApiServer, user: User, kind: str, namespace: str = TEAM) -> set[str]:
    """Return the verbs that a user has on a kind."""
    return {verb for verb in READS | WRITES if may(api, user, verb, kind, namespace)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", PEOPLE)
def test_roles_of_kubernetes_contain_the_resources(
    installed: ApiServer, people: dict[str, User], role: str, kind: str
) -> None:
    resource, _, group = kind.partition(".")
    assert verbs(installed, people[role], kind) == (READS if role == "view" else READS | WRITES)
    assert verbs(installed, people[role], f"{resource}/status.{group}") == READS
    assert verbs(installed, people[role], kind, OTHER) == set()


def test_editor_applies_a_route_and_cannot_write_its_status(installed: ApiServer, people: dict[str, User]) -> None:
    answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "ok"}}
    route = yaml.safe_dump(
        {
            "apiVersion": "inferway.dev/v1alpha1",
            "kind": "GatewayRoute",
            "metadata": {"name": "mine", "namespace": TEAM},
            "spec": {"rules": [{"filters": [answer]}]},
        }
    )
    refused = installed.kubectl("apply", "-f", "-", input=route, user=people["view"], check=False)
    assert "cannot create resource" in refused.stderr
    assert "created" in installed.kubectl("apply", "-f", "-", input=route, user=people["edit"]).stdout
    status = ("patch", "-n", TEAM, "gwr/mine", "--subresource=status", "--type=merge", "-p", '{"status": {}}')
    assert "cannot patch resource" in installed.kubectl(*status, user=people["edit"], check=False).stderr
    listed = installed.kubectl("get", "inferway", "-n", TEAM, "-o", "name", user=people["view"]).stdout
    assert listed == "gatewayroute.inferway.dev/mine\n"


def test_people_get_no_rights_on_the_planes() -> None:
    """Hold that the aggregated roles contain the resources only, so they add nothing in the planes' namespaces."""
    rules = [
        rule
        for item in overlay("dev")
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] in ("inferway-view", "inferway-edit")
        for rule in item["rules"]
    ]
    assert {group for rule in rules for group in rule["apiGroups"]} == {"inferway.dev"}
    assert not any("*" in (*rule["verbs"], *rule["resources"]) for rule in rules)
