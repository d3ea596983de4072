"""Backends: the target of each backendRef. A reference that does not resolve keeps its weight and is refused."""

from difflib import get_close_matches
from typing import Final

from inferway_contract import document
from inferway_contract.conditions import Reason
from inferway_contract.field_errors import FieldError
from inferway_contract.resources.backends import BackendRef
from inferway_operator.compiler import messages, services, urls
from inferway_operator.compiler.draft import Draft, Path, RouteDraft, RuleDraft
from inferway_operator.compiler.endpoints import MAX_ENDPOINTS, Selection

Objection = tuple[Reason, str]

_DETAIL_CHARACTERS: Final = 300
_SHOWN_ADDRESSES: Final = 3
_MOST_DETAILS: Final = 16
"""Of one route in the document: a detail is up to 15 times as long as the reference that causes it."""


def resolve(draft: Draft) -> None:
    """Resolve the backendRefs of every valid rule; report those that do not resolve."""
    for route, rule in draft.new_rules():
        for index, ref in enumerate(rule.source.rule.backend_refs if rule.source.rule else ()):
            at = ("backendRefs", index)
            backend = _by_url(draft, route, rule, ref, at) if ref.url else _by_name(draft, route, rule, ref, at)
            if backend is not None:
                rule.backends.append(backend)


def _by_url(draft: Draft, route: RouteDraft, rule: RuleDraft, ref: BackendRef, at: Path) -> document.Backend | None:
    try:
        url = urls.parse(ref.url or "")
    except ValueError as error:
        rule.add_error(f"{messages.quoted(ref.url or '')}: {error}", *at, "url")
        return None
    settings = draft.world.settings
    objection = draft.services.objection(url.host, url.port)
    if objection is None and not settings.standalone and not urls.is_allowed(url.host, settings.allowed_hosts):
        objection = "not allowed by the operator's settings: add it to the allowed backend hosts"
    if objection is not None:
        return _refused(route, rule, ref, at, (Reason.HOST_NOT_ALLOWED, f"host {url.host}: {objection}"))
    return document.Backend(
        weight=ref.weight,
        priority=ref.priority,
        url=url,
        auth=_auth(ref),
        forwarded_headers=ref.forwarded_headers,
    )


def _auth(ref: BackendRef) -> document.Auth | None:
    auth = ref.auth
    return None if auth is None else document.Auth(header=auth.header.lower(), prefix=auth.prefix, file=auth.file)


def _by_name(draft: Draft, route: RouteDraft, rule: RuleDraft, ref: BackendRef, at: Path) -> document.Backend:
    home = route.source.meta.namespace
    namespace = ref.namespace or home
    service = f"{namespace}/{ref.name}"
    objection = _objection(draft, home, namespace, ref)
    if objection is not None:
        return _refused(route, rule, ref, at, objection)
    key = f"{service}:{ref.port}"
    left_out = _left_out(service, draft.services.selection(key))
    # A drained backend (weight 0) is often scaled to zero on purpose.
    if ref.weight and not draft.services.endpoints(key):
        message = f"Service {service} has no ready endpoints"
        _add_unresolved(route, rule, at, (Reason.NO_ENDPOINTS, "; ".join((message, *left_out))))
    elif left_out:
        route.left_out += [text for text in left_out if text not in route.left_out]
    return document.Backend(
        weight=ref.weight, priority=ref.priority, service=key, forwarded_headers=ref.forwarded_headers
    )


def _objection(draft: Draft, home: str, namespace: str, ref: BackendRef) -> Objection | None:
    service = f"{namespace}/{ref.name}"
    # First: without permission the message must not reveal whether the Service exists.
    if not draft.services.may_name(home, namespace, ref.name or ""):
        return (
            Reason.REF_NOT_PERMITTED,
            f"Service {service} not permitted: no ReferenceGrant in {namespace} allows it for GatewayRoutes of {home}",
        )
    if service == services.API_SERVER and not draft.world.settings.standalone:
        return Reason.REF_NOT_PERMITTED, f"Service {service} not permitted: the API server is never a backend"
    target = draft.services.find(service)
    if target is None:
        return Reason.BACKEND_NOT_FOUND, f"Service {service} not found{_hint(draft, namespace, ref.name or '')}"
    if target.is_external_name:
        return (
            Reason.BACKEND_NOT_FOUND,
            f"Service {service} has type ExternalName, which may point anywhere: use a url with the host instead",
        )
    ports = [number for number, _ in target.ports]
    if ref.port not in ports:
        existing = ", ".join(str(number) for number in ports) or "none"
        return Reason.PORT_NOT_FOUND, f"port {ref.port} not found in Service {service} (its TCP ports: {existing})"
    protocol = draft.services.unsupported_protocol(target, dict(target.ports)[ref.port])
    if protocol is not None:
        message = f"port {ref.port} of Service {service} has appProtocol {protocol}"
        advice = "Services are reached by HTTP/1.1 without TLS; a url may be https"
        return Reason.UNSUPPORTED_PROTOCOL, f"{message}: {advice}"
    return None


def _left_out(service: str, selection: Selection) -> list[str]:
    """Return a message for each kind of endpoints that are left out. Numbers that change with every pod are not in it."""
    texts = []
    if selection.forbidden:
        listed = [f"{address} ({reason})" for address, reason in selection.forbidden[:_SHOWN_ADDRESSES]]
        more = len(selection.forbidden) - len(listed)
        rest = f" and {more} more" if more else ""
        texts.append(f"addresses of Service {service} are left out: {', '.join(listed)}{rest}")
    if selection.excess:
        texts.append(f"Service {service} has more endpoints than {MAX_ENDPOINTS}: the rest gets no requests")
    return texts


def _hint(draft: Draft, namespace: str, name: str) -> str:
    # In a cluster each new Service could change the message, and with it the status of every such route.
    if not draft.world.settings.standalone:
        return ""
    near = get_close_matches(name, draft.services.names(namespace), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _refused(route: RouteDraft, rule: RuleDraft, ref: BackendRef, at: Path, objection: Objection) -> document.Backend:
    _add_unresolved(route, rule, at, objection)
    detail = messages.joined((objection[1],), _DETAIL_CHARACTERS) if len(route.unresolved) <= _MOST_DETAILS else ""
    return document.Backend(weight=ref.weight, priority=ref.priority, refusal="backend_not_found", detail=detail)


def _add_unresolved(route: RouteDraft, rule: RuleDraft, at: Path, objection: Objection) -> None:
    reason, message = objection
    route.unresolved.append((reason, FieldError((*rule.path, *at), message)))
