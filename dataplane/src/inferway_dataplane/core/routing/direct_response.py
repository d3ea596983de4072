"""Responses that a rule gives without a backend: CORS preflights, redirects and direct responses."""

from typing import NamedTuple

from inferway_contract.document import DirectResponse, Redirect
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import url_rewrite
from inferway_dataplane.core.routing.cors import CorsRules
from inferway_dataplane.core.routing.header_modifiers import HeaderModifiers


class RuleResponse(NamedTuple):
    """A response of the rule's own."""

    status: int
    fields: Fields
    content_type: bytes = b""
    content: bytes = b""


class RuleResponses:
    """The responses of one rule."""

    __slots__ = ("_cors", "_direct", "_edits", "_redirect")

    def __init__(
        self,
        cors: CorsRules | None,
        redirect: Redirect | None,
        direct: DirectResponse | None,
        edits: HeaderModifiers | None,
    ) -> None:
        """`edits`: of response headers; they do not apply to preflights."""
        self._cors = cors
        self._redirect = redirect
        self._direct = direct
        self._edits = edits

    def decide(self, head: RequestHead, prefix: bytes, scheme: bytes) -> RuleResponse | None:
        """The response to this request; None = the next stage follows. `prefix`: the matched path; `scheme`: the connection's."""
        if self._cors is not None:
            fields = self._cors.preflight(head)
            if fields is not None:
                return RuleResponse(204, fields)
        if self._redirect is not None:
            location = url_rewrite.location(self._redirect, head, prefix, scheme)
            return RuleResponse(self._redirect.status, self._edited([(b"location", location)]))
        if self._direct is not None:
            direct = self._direct
            return RuleResponse(direct.status, self._edited([]), direct.content_type.encode(), direct.body.encode())
        return None

    def _edited(self, fields: Fields) -> Fields:
        return fields if self._edits is None else self._edits.apply(fields)
