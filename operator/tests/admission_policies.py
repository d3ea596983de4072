"""A ValidatingAdmissionPolicy that denies writes, as a policy engine does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from inferway_envtest import ApiServer
from inferway_envtest.client import Refused
from inferway_testing.until import until

_API = "/apis/admissionregistration.k8s.io/v1"


@contextmanager
def denied(
    api: ApiServer, namespace: str, resource: str, expression: str, message: str, attempt: Callable[[], object]
) -> Iterator[None]:
    """Deny writes of a resource (`group/plural`) in a namespace, except those for which the CEL expression is true.

    `attempt`: a dry run that is denied as soon as the policy is in force.
    """
    name = f"test-{uuid4().hex[:8]}"
    group, _, plural = resource.partition("/")
    rule = {"apiGroups": [group], "apiVersions": ["*"], "resources": [plural], "operations": ["CREATE", "UPDATE"]}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": message, "reason": "Forbidden"}],
    }
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": selector}
    for kind, spec in (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)):
        plural = f"{kind.lower()[:-1]}ies" if kind.endswith("y") else f"{kind.lower()}s"
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        }  # fmt: skip
        api.ask("POST", f"{_API}/{plural}", body)
    try:
        until(lambda: _is_denied(attempt, message), "the policy is in force", 20)
        yield
    finally:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            api.ask("DELETE", f"{_API}/{plural}/{name}")


def _is_denied(attempt: Callable[[], object], message: str) -> bool:
    try:
        attempt()
    except Refused as refused:
        return message in str(refused.status)
    return False
