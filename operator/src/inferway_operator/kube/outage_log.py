"""Outages in the log: everybody who asks the API server meets them, kopf with every attempt of every watch. One line tells
what is wrong and how to mend it, another one a minute later while it lasts, and one that it is over.
"""

import logging
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import aiohttp

from inferway_operator.kube import client as kube_client

QUIET: Final = 60.0
"""Seconds without another line of the same kind."""
PATIENCE: Final = 5.0
"""Seconds in which an API server that answers with failures may come to itself: a definition that is new, a restart."""
SETTLING: Final = 10.0
"""Seconds after the end of an outage in which no other begins: its last attempts still fail, and an API server that has just
started refuses this and that."""

UNREACHABLE: Final = "unreachable"
FORBIDDEN: Final = "forbidden"
UNDEFINED: Final = "undefined"
FAILING: Final = "failing"
"""Kinds that have words of their own, with what mends them."""

WORDS: Final = {
    UNREACHABLE: "the API server cannot be reached: pods serve what they have, and the operator goes on as soon as it answers;"
    " see that it runs, and that NetworkPolicies let this pod reach it",
    FAILING: "the API server fails or asks to wait: pods serve what they have, and the operator tries again; see its own log",
    FORBIDDEN: "the API server forbids what the operator needs: a role or its binding is missing, apply the manifests again"
    " (kubectl apply -k)",
    UNDEFINED: "the API server does not know our resources: install the definitions in crds/ (kubectl apply -k crds) and apply"
    " the resources again; pods serve what was published last",
}

_ATTEMPT: Final = re.compile(r"Request attempt \S+ failed; will retry: \S+ (?P<url>\S+)(?: -> (?P<error>\w+))?")
_UNRESOLVED: Final = "Unresolved resources cannot be served"
"""kopf's words (1.45)."""
_OURS: Final = ("gatewayroutes", "ratelimitpolicies")
_BY_ERROR: Final = {
    "APIForbiddenError": FORBIDDEN,
    "APITooManyRequestsError": FAILING,
    "APIServerError": FAILING,
}
_NO_ANSWER: Final = re.compile(r"Client|Server(Disconnected|Timeout)|Timeout|Connection")
"""What errors of aiohttp and of Python begin with where there was no answer."""


def kind_of(error: BaseException) -> str:
    """The kind of outage that an error belongs to."""
    match error:
        case kube_client.NotDefined():
            return UNDEFINED
        case kube_client.KubeError(status=0) | aiohttp.ClientError() | TimeoutError() | OSError():
            return UNREACHABLE
    status = getattr(error, "status", None)
    if status == HTTPStatus.FORBIDDEN:
        return FORBIDDEN
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        isinstance(status, int) and status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return FAILING
    return f"{type(error).__name__} {status}"


class OutageLogFilter(logging.Filter):
    """Lets one line in a minute pass for each kind, and says how many it did not.

    A line is of an outage by kopf's words, or by its attribute `outage`: the kind. One with the attribute `over`, a kind, passes
    when that was told before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self._failing = (float("-inf"), float("-inf"))
        """Since when the API server fails, and when that was last seen."""
        self._ended = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written."""
        if over := getattr(record, "over", ""):
            self._untold.pop(over, None)
            if self._told.pop(over, None) is None:
                return False
            self._ended = self._clock()
            return True
        message = record.getMessage()
        if message.startswith(_UNRESOLVED):
            # An optional kind is one of them in most clusters.
            if not any(plural in message for plural in _OURS):
                return False
            kind = UNDEFINED
        else:
            kind = str(getattr(record, "outage", "")) or _kind(message)
        if not kind:
            return True
        now = self._clock()
        if now - self._ended < SETTLING or (kind == FAILING and self._may_pass(now)):
            return False
        if now - self._told.get(kind, float("-inf")) < QUIET:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return False
        self._told[kind] = now
        if kind in WORDS:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            message = f"{WORDS[kind]} ({message})"
        untold = self._untold.pop(kind, 0)
        record.msg = f"{message} (and {untold} times before, untold)" if untold else message
        record.args = ()
        return True

    def _may_pass(self, now: float) -> bool:
        """Whether it fails for so short a time that it may be over before anybody has read of it."""
        since, last = self._failing
        if now - last > PATIENCE:
            since = now
        self._failing = since, now
        return now - since < PATIENCE


def _kind(message: str) -> str:
    """By kopf's words; "" when the line tells of no attempt."""
    attempt = _ATTEMPT.match(message)
    if attempt is None:
        return ""
    error = attempt["error"] or ""
    if error in _BY_ERROR:
        return _BY_ERROR[error]
    if _NO_ANSWER.match(error):
        return UNREACHABLE
    # The plural ends the path of a list or watch.
    return attempt["url"].partition("?")[0].rpartition("/")[2]
