"""Backends of a rule: their members, path, host and credential, built from the documents."""

from collections.abc import Container, Iterable, Mapping
from typing import Any, Protocol

from inferway_contract import document
from inferway_contract.document import Endpoint, Url
from inferway_contract.field_patterns import dashed
from inferway_dataplane.core.messages import client_address, problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams.members import Member, RuleCounters


class EndpointFactory(Protocol):
    """Returns the one endpoint object of its addresses, which all rules and runtimes share."""

    def __call__(self, host: str, port: int, *, tls: bool, is_name: bool, further: tuple[str, ...] = ()) -> Any:
        """`is_name`: the host is to be resolved. `further`: other addresses of the same process."""


class Credential:
    """A credential without its secret, which is looked up with each request because files change."""

    __slots__ = ("file", "header", "prefix")

    def __init__(self, header: str, prefix: str, file: str) -> None:
        """`header`: lower case; `prefix`: put before the secret; `file`: the secret's name."""
        self.header = header.encode()
        self.prefix = prefix.encode()
        self.file = file

    def apply(self, fields: Fields, secret: bytes) -> Fields:
        """Replace the client's field of that name by the credential; return a new list."""
        # Many frameworks read `X_Model_Key` as the same header.
        read_as = dashed(self.header)
        kept = [field for field in fields if dashed(field[0].lower()) != read_as]
        kept.append((self.header, self.prefix + secret))
        return kept


class Backend:
    """One backend of a rule."""

    __slots__ = ("credential", "endpoints", "hides_client", "host", "members", "name", "own_fields", "path", "problem")

    def __init__(
        self,
        name: str,
        members: tuple[Member, ...],
        host: bytes | None,
        path: bytes,
        problem: Problem | None,
        credential: Credential | None = None,
        *,
        hides_client: bool = False,
        omitted: Container[bytes] = (),
    ) -> None:
        """`omitted`: fields that the rule's filters remove or replace, of those that the gateway writes."""
        self.name = name
        self.members = members
        self.endpoints: tuple[Any, ...] = tuple(member.endpoint for member in members)
        self.host = host  # replaces Host; None = keep the client's
        self.path = path  # prepended to the request's path
        self.problem = problem  # set = the response to this backend's share of requests
        self.credential = credential  # replaces the client's own field
        self.hides_client = hides_client  # no field describes the client
        # The end of a request head, as a format of the lines before, X-Forwarded-For, X-Request-Id and traceparent.
        # `%.0b` writes nothing.
        sent = ((b"x-forwarded-for", not hides_client), (b"x-request-id", True), (b"traceparent", True))
        self.own_fields = b"%%b%b\r\n" % b"".join(
            name + b": %b\r\n" if is_sent and name not in omitted else b"%.0b" for name, is_sent in sent
        )

    @property
    def is_broken(self) -> bool:
        """Whether the reference is invalid: its share of requests gets its problem."""
        return self.problem is not None and self.problem is not problems.NO_ENDPOINTS


Owner = tuple[str, str, str]
"""Route id, rule name and backend name."""

Members = dict[Owner, Mapping[str, Member]]
"""Members by owner and by address."""


class BackendResolver:
    """Resolves backends while a runtime is built; members of the older runtime are kept."""

    def __init__(
        self,
        services: Mapping[str, tuple[Endpoint, ...]],
        endpoint_of: EndpointFactory,
        older: Members,
        now: float,
        live: Members | None = None,
    ) -> None:
        """`live`: members that requests use, where the older runtime was never swapped in; they come first."""
        self.members: Members = {}
        self.upstreams: set[Any] = set()
        self.secrets: set[str] = set()  # file names
        self._services = services
        self._endpoint_of = endpoint_of
        self._older = older
        self._live = live or {}
        self._now = now
        self._resolved: dict[str, list[tuple[str, Any]]] = {}  # by Service, because many rules share one

    def resolve(
        self, backend: document.Backend, rule: tuple[str, str], counters: RuleCounters, omitted: Container[bytes] = ()
    ) -> Backend:
        """Resolve a backend of a rule (route id, name). `LookupError` if a Service has no entry.

        `omitted`: fields that the rule's filters remove or replace, of those that the gateway writes.
        """
        if backend.url is not None:
            return self._by_url(backend, backend.url, rule, counters, omitted)
        if backend.refusal is not None or backend.service is None:
            return Backend(backend.service or "", (), None, b"", problems.BACKEND_NOT_FOUND)
        name = backend.service
        members = self._members((*rule, name), self._endpoints(name), counters)
        problem = None if members else problems.NO_ENDPOINTS
        hides_client = backend.forwarded_headers == "Omit"
        return Backend(name, members, None, b"", problem, hides_client=hides_client, omitted=omitted)

    def is_current(
        self, backends: Iterable[document.Backend], resolved: Iterable[Backend], rule: tuple[str, str]
    ) -> bool:
        """Whether resolving these backends of a rule again would have the same members. `LookupError` as `resolve`."""
        for backend, known in zip(backends, resolved, strict=True):
            live = self._live.get((*rule, known.name))
            if live is not None and any(live.get(member.name, member) is not member for member in known.members):
                return False
            if (url := backend.url) is not None:
                if known.endpoints != (self._endpoint_of_url(url),):
                    return False
            elif backend.refusal is None and backend.service is not None:
                named = [(member.name, member.endpoint) for member in known.members]
                if named != self._endpoints(backend.service):
                    return False
        return True

    def keep(self, rule: tuple[str, str], backends: Iterable[Backend]) -> None:
        """Keep the backends of a rule (route id, name) of the older runtime, which are current."""
        for backend in backends:
            owner = (*rule, backend.name)
            if owner in self._older:
                self.members[owner] = self._older[owner]
            self.upstreams.update(backend.endpoints)
            if backend.credential is not None:
                self.secrets.add(backend.credential.file)

    def _endpoints(self, service: str) -> list[tuple[str, Any]]:
        resolved = self._resolved.get(service)
        if resolved is None:
            listed = self._services.get(service)
            if listed is None:
                # Endpoints are published before the config that names them: a missing entry means a partial document.
                raise LookupError(f"the endpoints document has no entry for {service}")
            resolved = self._resolved[service] = [
                (
                    _authority(item.address, item.port),
                    self._endpoint_of(item.address, item.port, tls=False, is_name=False, further=item.further),
                )
                for item in listed
            ]
            self.upstreams.update(endpoint for _, endpoint in resolved)
        return resolved

    def _by_url(
        self,
        backend: document.Backend,
        url: Url,
        rule: tuple[str, str],
        counters: RuleCounters,
        omitted: Container[bytes],
    ) -> Backend:
        authority = _authority(url.host, None if url.port == (443 if url.scheme == "https" else 80) else url.port)
        name = f"{url.scheme}://{authority}"
        endpoint = self._endpoint_of_url(url)
        self.upstreams.add(endpoint)
        members = self._members((*rule, name), [(authority, endpoint)], counters)
        credential = None
        if (auth := backend.auth) is not None:
            self.secrets.add(auth.file)
            credential = Credential(auth.header, auth.prefix, auth.file)
        return Backend(
            name,
            members,
            authority.encode(),
            url.path.encode(),
            None,
            credential,
            hides_client=backend.forwarded_headers == "Omit",
            omitted=omitted,
        )

    def _endpoint_of_url(self, url: Url) -> Any:
        is_name = client_address.address(url.host) is None
        return self._endpoint_of(url.host, url.port, tls=url.scheme == "https", is_name=is_name)

    def _members(self, owner: Owner, endpoints: list[tuple[str, Any]], counters: RuleCounters) -> tuple[Member, ...]:
        # A rule may name a backend twice, with two weights: both share its members.
        by_address = self.members.get(owner)
        if by_address is None:
            by_address = {}
            older = self._older.get(owner, {})
            if owner in self._live:
                older = {**older, **self._live[owner]}
            for address, endpoint in endpoints:
                member = older.get(address)
                if member is None or member.endpoint != endpoint:
                    member = Member(address, endpoint, counters, self._now)
                by_address[address] = member
            self.members[owner] = by_address
        return tuple(by_address.values())


def _authority(host: str, port: int | None) -> str:
    text = f"[{host}]" if ":" in host else host
    return text if port is None else f"{text}:{port}"
