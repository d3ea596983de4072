"""Failed calls to the API server: what failed, whether it answered, and what helps. Pure."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

_CONTENT: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_LONGEST_MESSAGE: Final = 300
"""Characters of a message that are kept."""
_LEASES: Final = "/leases"
"""In the path of a call about a Lease, which the gateway's own admission policy guards."""

UNREACHABLE: Final = "check that the API server runs and that NetworkPolicies let this process reach it"
UNAUTHORIZED: Final = "the token is refused: let Kubernetes mount it (automountServiceAccountToken)"
FORBIDDEN: Final = "a role or its binding is missing: apply the manifests again (kubectl apply -k)"
FOREIGN_LEASE: Final = "let POD_NAME come from the downward API, and the token from Kubernetes"
DENIED: Final = "exempt the objects of Inferway from the admission policy or webhook that refuses them"
WEBHOOK: Final = "an admission webhook of the cluster fails: repair it, or exempt the objects of Inferway from it"
QUOTA: Final = "raise the ResourceQuota of the namespace, or remove objects from it (kubectl describe resourcequota)"
TERMINATING: Final = "the namespace is being deleted: install into another one, or create it again"
REFUSED: Final = "the error shows what refuses the request"
FAILING: Final = "see the API server's own log"
UNDEFINED: Final = "install the definitions in crds/ (kubectl apply -k crds) and apply the resources again"


class Cause(StrEnum):
    """Why the API server refused a call, as far as its message shows it. Several have the status 403."""

    NO_ROLE = "no role"
    ADMISSION = "admission"
    """An admission policy, webhook or plugin denied it: a policy may choose 401, 403, 413 or 422, a webhook any status."""
    WEBHOOK = "webhook"
    """An admission webhook did not answer."""
    QUOTA = "quota"
    TERMINATING = "terminating"
    """The namespace is being deleted."""
    UNKNOWN = ""


_REMEDIES: Final = {
    Cause.NO_ROLE: FORBIDDEN,
    Cause.ADMISSION: DENIED,
    Cause.WEBHOOK: WEBHOOK,
    Cause.QUOTA: QUOTA,
    Cause.TERMINATING: TERMINATING,
}
_SUMMARIES: Final = {
    Cause.ADMISSION: "an admission policy denies a write of this process",
    Cause.WEBHOOK: "an admission webhook fails, so that the API server refuses a write of this process",
    Cause.QUOTA: "a quota denies a write of this process",
    Cause.TERMINATING: "a namespace that this process writes to is being deleted",
}
_OBJECT: Final = re.compile(r"""[^\s"]+(?: "[^"]*")? is forbidden: """)
"""What the API server puts in front of a refusal: the resource, and the name of the object if there is one."""
_CAUSES: Final = (
    # As the API server's authorizer, its admission plugins and its webhook client write them, from their beginning on:
    # what follows may be the text of a policy.
    (re.compile(r"""(?:forbidden: )?User ".*?" cannot """), Cause.NO_ROLE),
    (re.compile(r"(?:exceeded|failed|insufficient|status unknown for) quota: "), Cause.QUOTA),
    (re.compile(r"unable to create new content in namespace \S+ because it is being terminated"), Cause.TERMINATING),
    (
        re.compile(r"""admission webhook "[^"]*" denied the request|(?:Valid|Mut)atingAdmissionPolicy '"""),
        Cause.ADMISSION,
    ),
    (re.compile(r"(?:Internal error occurred: )?failed calling webhook "), Cause.WEBHOOK),
)


class NoCluster(Exception):  # noqa: N818 - it names the situation
    """There is no configuration to reach an API server with. The message names what is missing."""


class ApiError(Exception):
    """A call that failed: the API server refused it, gave an unusable answer, or did not answer in time."""

    def __init__(
        self,
        message: str,
        status: int = 0,
        retry_after: float = 0.0,
        *,
        is_status: bool = False,
        cause: Cause = Cause.UNKNOWN,
    ) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP; 0 = there was no answer."""
        self.retry_after = retry_after
        """Seconds that the API server asks to wait; 0 = it asked for nothing."""
        self.is_status = is_status
        """Whether the answer was a Status, which a proxy's page or an unknown path is not."""
        self.cause = cause

    @property
    def reason(self) -> str:
        """The message without the call."""
        return str(self).partition(": ")[2]

    @property
    def is_answer(self) -> bool:
        """Whether something answered."""
        return self.status > 0

    @property
    def is_refusal(self) -> bool:
        """Whether asking again cannot help before a person grants a permission."""
        return self.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or self.is_denied

    @property
    def is_denied(self) -> bool:
        """Whether the API server would let this process do it, and denied this very object."""
        return self.cause in (Cause.ADMISSION, Cause.QUOTA, Cause.TERMINATING)

    @property
    def is_about_content(self) -> bool:
        """Whether the API server may have refused what the object contains, and accept another one."""
        if self.cause is not Cause.UNKNOWN:
            return self.cause is Cause.ADMISSION
        return self.is_status and self.status in _CONTENT

    @property
    def is_outage(self) -> bool:
        """Whether the API server is at fault, or what it allows, and not this one request."""
        return (
            not self.is_answer
            or self.is_refusal
            or self.status in (HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS)
            or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )

    @property
    def summary(self) -> str:
        """The kind of trouble, in a few words that stay the same during an outage."""
        if not self.is_answer:
            return "the API server cannot be reached"
        if self.cause in _SUMMARIES:
            return _SUMMARIES[self.cause]
        if self.is_refusal:
            return "the API server refuses a request of this process"
        if self.status == HTTPStatus.NOT_FOUND:
            # Callers report it only of kinds, because an object may be absent.
            return "the API server does not know a kind that this process needs"
        return "the API server fails"

    @property
    def remedy(self) -> str:
        """What a person can do about it; "" = nothing that is known here."""
        if not self.is_answer:
            return UNREACHABLE
        if self.cause is Cause.ADMISSION and _LEASES in str(self).partition(": ")[0]:
            return FOREIGN_LEASE
        if self.cause in _REMEDIES:
            return _REMEDIES[self.cause]
        if self.status == HTTPStatus.UNAUTHORIZED:
            return UNAUTHORIZED
        if self.status == HTTPStatus.FORBIDDEN:
            return REFUSED
        if self.status == HTTPStatus.TOO_MANY_REQUESTS or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return FAILING
        return UNDEFINED if self.status == HTTPStatus.NOT_FOUND else ""


class NotFound(ApiError):  # noqa: N818 - it names the situation
    """404: there is no such object, or no such kind."""


class Gone(ApiError):  # noqa: N818 - it names the situation
    """410: the version to continue from is too old, list again."""


class NotLeading(ApiError):  # noqa: N818 - it names the situation
    """Not written: another process may lead by now."""


def of_response(call: str, status: int, retry_after: str, body: bytes) -> ApiError:
    """Return the error that a response without 2xx stands for. `retry_after`: that field, "" without it."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    return _of(call, status, answer, seconds(retry_after))


def of_status(call: str, status: Any) -> ApiError:
    """Return the error of a Status object, which a watch brings in an event of type ERROR."""
    code = status.get("code") if isinstance(status, dict) else None
    # A Status without a usable code is an answer all the same.
    return _of(call, code if type(code) is int and 400 <= code < 600 else int(HTTPStatus.BAD_GATEWAY), status, 0.0)


def unusable(call: str, why: str) -> ApiError:
    """Return the error of an answer of 2xx that is not what was asked for: a proxy's page, half an object."""
    return ApiError(f"{call}: {why}", int(HTTPStatus.BAD_GATEWAY))


def seconds(retry_after: str) -> float:
    """Read Retry-After (RFC 9110, 10.2.3). 0 for a date, which means nothing without the server's clock."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0


def _of(call: str, code: int, status: Any, retry_after: float) -> ApiError:
    kinds: dict[int, type[ApiError]] = {HTTPStatus.NOT_FOUND: NotFound, HTTPStatus.GONE: Gone}
    is_status = isinstance(status, dict) and status.get("kind") == "Status"
    # The text of anything else may be long, and is not the API server's.
    message = str(status.get("message") or "") if is_status else ""
    return kinds.get(code, ApiError)(
        f"{call}: {code} {message[:_LONGEST_MESSAGE]}".rstrip(),
        code,
        retry_after,
        is_status=is_status,
        cause=_cause(code, message, status) if is_status else Cause.UNKNOWN,
    )


def _cause(code: int, message: str, status: Mapping[str, Any]) -> Cause:
    """Read why a call was refused from a Status with this message."""
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    for item in causes if isinstance(causes, list) else ():
        if isinstance(item, dict) and item.get("reason") == "NamespaceTerminating":
            return Cause.TERMINATING
    subject = _OBJECT.match(message)
    text = message[subject.end() :] if subject else message
    for pattern, cause in _CAUSES:
        if pattern.match(text):
            return cause
    # What is forbidden, but not to a user, is forbidden by a plugin.
    return Cause.ADMISSION if subject and code == HTTPStatus.FORBIDDEN else Cause.UNKNOWN
