"""Hostnames: those that the route's namespace may claim. The route gets no requests for other ones."""

from inferway_contract.field_errors import FieldError
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, RouteDraft
from inferway_operator.world import hostname_policy
from inferway_operator.world.hostname_policy import HostnamePolicy

_PLACE = ("spec", "hostnames")


def check(draft: Draft) -> None:
    """Reduce every route to the hostnames that it may claim; report the other ones.

    Rules stay valid: they are served under the hostnames that are left.
    """
    policy = draft.world.settings.hostname_policy
    if policy is None:
        return
    for route in draft.routes:
        if route.rules:  # without rules, or without a valid hostname, a route claims nothing
            _check(route, draft, policy)


def _check(route: RouteDraft, draft: Draft, policy: HostnamePolicy) -> None:
    namespace = route.source.meta.namespace
    patterns = hostname_policy.patterns_of(policy, namespace, draft.labels.get(namespace, {}))
    claimed = route.source.hostnames or ("",)  # none = every host
    forbidden = [name for name in claimed if not hostname_policy.may_claim(name, patterns)]
    route.hostnames = tuple(name for name in route.source.hostnames if name not in forbidden)
    # With no hostname left the route would claim every host.
    route.is_barred = len(forbidden) == len(claimed)
    route.forbidden = [_not_allowed(name, namespace, patterns) for name in forbidden]


def _not_allowed(hostname: str, namespace: str, patterns: tuple[str, ...]) -> FieldError:
    claim = f"{messages.quoted(hostname)} not allowed" if hostname else "every host (no hostnames) not allowed"
    if patterns:
        allowed = messages.joined(patterns, most=300).replace("; ", ", ")
        may, advice = f"may claim only {allowed}", "use one of these, or allow it"
    else:
        may, advice = "may claim no hostname", "allow it"
    return FieldError(_PLACE, f"{claim}: namespace {namespace} {may}; {advice} in the operator's hostnamePolicy")
