"""Backends: what a reference means, and why it means nothing. A reference that does not resolve keeps its weight."""

from inferway_contract import address_policy, document
from inferway_contract.conditions import Reason
from inferway_contract.field_errors import FieldError
from inferway_contract.resources.gateway_route import BackendRef
from inferway_operator.compiler import messages, services, urls
from inferway_operator.compiler.draft import Draft, Path, RouteDraft, RuleDraft

Objection = tuple[Reason, str]


def resolve(draft: Draft) -> None:
    """Give every rule its backends, and every route what does not resolve."""
    for route, rule in draft.rules():
        for index, ref in enumerate(rule.source.rule.backend_refs if rule.source.rule else ()):
            at = ("backendRefs", index)
            made = _by_url(draft, route, rule, ref, at) if ref.url else _by_name(draft, route, rule, ref, at)
            if made is not None:
                rule.backends.append(made)


def _by_url(draft: Draft, route: RouteDraft, rule: RuleDraft, ref: BackendRef, at: Path) -> document.Backend | None:
    try:
        url = urls.parse(ref.url or "")
    except ValueError as error:
        rule.complain(f"{messages.quoted(ref.url or '')}: {error}", *at, "url")
        return None
    settings = draft.world.settings
    objection = address_policy.objection(url.host, standalone=settings.standalone)
    if objection is None and not settings.standalone and not urls.is_allowed(url.host, settings.allowed_hosts):
        objection = "the operator's settings allow no such host: add it to the allowed backend hosts"
    if objection is not None:
        return _refused(route, rule, ref, at, (Reason.HOST_NOT_ALLOWED, f"host {url.host}: {objection}"))
    return document.Backend(weight=ref.weight, priority=ref.priority, url=url, auth=_auth(ref))


def _auth(ref: BackendRef) -> document.Auth | None:
    said = ref.auth
    return None if said is None else document.Auth(header=said.header.lower(), prefix=said.prefix, file=said.file)


def _by_name(draft: Draft, route: RouteDraft, rule: RuleDraft, ref: BackendRef, at: Path) -> document.Backend:
    home = route.source.meta.namespace
    namespace = ref.namespace or home
    service = f"{namespace}/{ref.name}"
    objection = _objection(draft, home, namespace, ref)
    if objection is not None:
        return _refused(route, rule, ref, at, objection)
    key = f"{service}:{ref.port}"
    # A drained backend (weight 0) is often scaled to nothing, on purpose.
    if ref.weight and not draft.services.endpoints(key):
        route.unresolved.append((Reason.NO_ENDPOINTS, _told(rule, at, f"Service {service} has no ready endpoint")))
    return document.Backend(weight=ref.weight, priority=ref.priority, service=key)


def _objection(draft: Draft, home: str, namespace: str, ref: BackendRef) -> Objection | None:
    service = f"{namespace}/{ref.name}"
    # First: whoever may not name a Service is not told either whether it exists.
    if not draft.services.may_name(home, namespace, ref.name or ""):
        return (
            Reason.REF_NOT_PERMITTED,
            f"no ReferenceGrant in namespace {namespace} lets a GatewayRoute of namespace {home} name Service {service}",
        )
    if service == services.API_SERVER and not draft.world.settings.standalone:
        return Reason.REF_NOT_PERMITTED, f"Service {service} is the API server, which is never a backend"
    found = draft.services.find(service)
    if found is None:
        return Reason.BACKEND_NOT_FOUND, f"there is no Service {service}"
    if found.is_external_name:
        return (
            Reason.BACKEND_NOT_FOUND,
            f"Service {service} is of type ExternalName, which may point anywhere: name the host with a url instead",
        )
    ports = [number for number, _ in found.ports]
    if ref.port not in ports:
        offered = ", ".join(str(number) for number in ports) or "none"
        return Reason.PORT_NOT_FOUND, f"Service {service} has no port {ref.port} (its TCP ports: {offered})"
    return None


def _refused(route: RouteDraft, rule: RuleDraft, ref: BackendRef, at: Path, objection: Objection) -> document.Backend:
    reason, message = objection
    route.unresolved.append((reason, _told(rule, at, message)))
    return document.Backend(weight=ref.weight, priority=ref.priority, refusal="backend_not_found")


def _told(rule: RuleDraft, at: Path, message: str) -> FieldError:
    return FieldError((*rule.path, *at), message)
