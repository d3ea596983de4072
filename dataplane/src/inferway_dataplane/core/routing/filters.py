"""Filters of a rule: header modifiers, URL rewrites, and the responses that it gives without a backend."""

from typing import Final, NamedTuple

from inferway_contract.document import DirectResponse, HeaderEdit, NewPath, Redirect
from inferway_contract.field_patterns import dashed
from inferway_dataplane.core.messages import authority, problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead


class HeaderModifiers:
    """A compiled header modifier (Gateway API HTTPHeaderFilter)."""

    __slots__ = ("_added", "_dropped", "_read_as")

    def __init__(self, edit: HeaderEdit) -> None:
        fields = [(entry.name.encode(), entry.value.encode()) for entry in (*edit.set, *edit.add)]
        removed = {name.lower().encode() for name in edit.remove}
        # `set` removes the field and adds its own value. `remove` wins over `set` and `add`.
        self._dropped = removed | {entry.name.lower().encode() for entry in edit.set}
        self._added = [field for field in fields if field[0].lower() not in removed]
        self._read_as = frozenset(map(dashed, self._dropped))

    def drops(self, name: bytes) -> bool:
        """Whether `set` or `remove` names a field, in lower case: then the gateway does not write its own."""
        # CGI-like frameworks read `X_Tenant` as `X-Tenant`: it is dropped with it, but not the other way round.
        return name in self._dropped or ((read_as := dashed(name)) != name and read_as in self._read_as)

    def strip(self, fields: Fields) -> Fields:
        """Return the fields that `set` and `remove` leave."""
        return [field for field in fields if not self.drops(field[0].lower())] if self._dropped else fields

    def apply(self, fields: Fields) -> Fields:
        """Return the modified fields as a new list."""
        return self.strip(fields) + self._added


def new_path(change: NewPath, raw: bytes, prefix: bytes) -> bytes:
    """Return the raw path after a change (Gateway API HTTPPathModifier). `prefix`: the PathPrefix that matched."""
    if change.full is not None:
        return change.full.encode() or b"/"
    # As many raw segments are removed as the prefix has, so escapes in the rest stay as sent.
    segments = 0 if prefix == b"/" else prefix.count(b"/")
    rest = raw.split(b"/")[segments + 1 :]
    new = (change.prefix or "").encode()
    if not rest:
        return new or b"/"
    return new.rstrip(b"/") + b"/" + b"/".join(rest)


def location(redirect: Redirect, head: RequestHead, prefix: bytes) -> bytes | None:
    """Build the absolute Location of a redirect (HTTPRequestRedirectFilter); parts not named are those of the client.

    None = the request has no host, and a relative reference could lead to another one: `//evil.example/`.
    """
    scheme = redirect.scheme.encode() if redirect.scheme else head.scheme
    host = redirect.hostname.encode() if redirect.hostname else authority.host_of(head.authority)
    if host is None:
        return None
    port = redirect.port
    if port is None and redirect.scheme is None:
        port = authority.port_of(head.authority)
    path = new_path(redirect.path, head.path, prefix) if redirect.path else head.path
    query = b"" if head.query is None else b"?" + head.query
    return scheme + b"://" + authority.normalise(host, scheme, port) + path + query


class RuleResponse(NamedTuple):
    """A response without Date and the fields that frame it."""

    status: int
    fields: Fields
    content: bytes = b""


_SERVER: Final = (b"server", b"inferway")


class RuleResponses:
    """The responses of one rule: redirects, direct responses."""

    __slots__ = ("_direct", "_edits", "_redirect")

    def __init__(self, redirect: Redirect | None, direct: DirectResponse | None, edits: HeaderModifiers | None) -> None:
        """`edits`: of response headers."""
        self._redirect = redirect
        self._direct = direct
        self._edits = edits

    def decide(self, head: RequestHead, prefix: bytes) -> RuleResponse | Problem | None:
        """Return the response to this request; None = a backend's. `prefix`: the matched path."""
        if self._redirect is not None:
            target = location(self._redirect, head, prefix)
            if target is None:
                return problems.BAD_HOST
            return RuleResponse(self._redirect.status, self._edited([(b"location", target)]))
        if self._direct is not None:
            direct = self._direct
            fields = self._edited([(b"content-type", direct.content_type.encode())])
            return RuleResponse(direct.status, fields, direct.body.encode())
        return None

    def _edited(self, fields: Fields) -> Fields:
        fields = [*fields, _SERVER]
        return fields if self._edits is None else self._edits.apply(fields)
