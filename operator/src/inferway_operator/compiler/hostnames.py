"""Hostnames: those that the route's namespace may claim. The route gets no requests for other ones."""

from collections.abc import Mapping

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
    labels = draft.labels.get(namespace, {})
    patterns = hostname_policy.patterns_of(policy, namespace, labels)
    claimed = route.source.hostnames or ("",)  # none = every host
    errors = {
        name: error for name in claimed if (error := _objection(policy, name, namespace, labels, patterns)) is not None
    }
    route.hostnames = tuple(name for name in route.source.hostnames if name not in errors)
    # With no hostname left the route would claim every host.
    route.is_barred = len(errors) == len(set(claimed))
    route.forbidden = list(errors.values())


def _objection(
    policy: HostnamePolicy, hostname: str, namespace: str, labels: Mapping[str, str], patterns: tuple[str, ...]
) -> FieldError | None:
    if not hostname_policy.may_claim(hostname, patterns):
        return _not_allowed(hostname, namespace, patterns)
    reserved = hostname_policy.reserved_by(policy, namespace, labels, hostname)
    if reserved is None:
        return None
    message = f"an exclusive entry reserves {messages.quoted(reserved)}, and not for namespace {namespace}"
    advice = "use another hostname, or add the namespace to that entry of the operator's hostnamePolicy"
    return FieldError(_PLACE, f"{_claim(hostname)}: {message}; {advice}")


def _not_allowed(hostname: str, namespace: str, patterns: tuple[str, ...]) -> FieldError:
    if patterns:
        allowed = messages.joined(patterns, most=300).replace("; ", ", ")
        may, advice = f"may claim only {allowed}", "use one of these, or allow it"
    else:
        may, advice = "may claim no hostname", "allow it"
    return FieldError(
        _PLACE, f"{_claim(hostname)}: namespace {namespace} {may}; {advice} in the operator's hostnamePolicy"
    )


def _claim(hostname: str) -> str:
    return f"{messages.quoted(hostname)} not allowed" if hostname else "every host (no hostnames) not allowed"
