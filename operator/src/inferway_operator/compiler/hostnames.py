"""Hostnames: those that the route's namespace may claim. It gets no request for any other."""

from inferway_contract.field_errors import FieldError
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, RouteDraft
from inferway_operator.world import hostname_policy
from inferway_operator.world.hostname_policy import HostnamePolicy

_PLACE = ("spec", "hostnames")


def check(draft: Draft) -> None:
    """Leave every route those hostnames that it may claim, and tell it of the others.

    What is not allowed is no mistake of the rules: under the hostnames that are left they are served as ever.
    """
    policy = draft.world.settings.hostname_policy
    if policy is None:
        return
    for route in draft.routes:
        if route.rules:  # nothing is claimed without one; nor are there any where no hostname can be read
            _check(route, draft, policy)


def _check(route: RouteDraft, draft: Draft, policy: HostnamePolicy) -> None:
    namespace = route.source.meta.namespace
    patterns = hostname_policy.patterns_of(policy, namespace, draft.labels_of(namespace))
    claimed = route.source.hostnames or ("",)  # none = every host
    forbidden = [name for name in claimed if not hostname_policy.may_claim(name, patterns)]
    route.hostnames = tuple(name for name in route.source.hostnames if name not in forbidden)
    # Without a hostname that is left the route would claim every host.
    route.is_barred = len(forbidden) == len(claimed)
    route.forbidden = [_complaint(name, namespace, patterns) for name in forbidden]


def _complaint(hostname: str, namespace: str, patterns: tuple[str, ...]) -> FieldError:
    claim = f"claims {messages.quoted(hostname)}" if hostname else "names none, which claims every host"
    if patterns:
        allowed = messages.joined(patterns, most=300).replace("; ", ", ")
        may, advice = f"may claim {allowed} only", "use one of these, or have it allowed"
    else:
        may, advice = "may claim no hostname", "have it allowed"
    return FieldError(_PLACE, f"{claim}; namespace {namespace} {may}: {advice} in the operator's hostnamePolicy")
