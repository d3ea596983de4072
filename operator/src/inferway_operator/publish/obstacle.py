"""Why the config cannot be published, for the conditions of the objects that wait for it. Pure: the time is a parameter."""

import re
from http import HTTPStatus
from typing import Final

from inferway_contract.field_errors import printable
from inferway_kube.errors import ApiError, Cause

PATIENCE: Final = 5.0
"""Seconds for which a failure may pass by itself and is not reported: a restart of the API server, a conflict."""
_CERTAIN: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_WORDS: Final = {
    Cause.NO_ROLE: "the operator lacks a role",
    Cause.ADMISSION: "an admission policy denies it",
    Cause.WEBHOOK: "an admission webhook fails",
    Cause.QUOTA: "a quota denies it",
    Cause.TERMINATING: "the gateway's namespace is being deleted",
}
_NAME: Final = re.compile(r"""^(?:[0-9]{3} )?(?:[^\s"]+(?: "[^"]*")? is forbidden: )?""")
"""The status and the object in front of a message: the object's name differs from attempt to attempt."""


class Obstacle:
    """The present failure of publishing; its text stays while the failure does, so that statuses stay too."""

    def __init__(self) -> None:
        self._kind: tuple[int, Cause] | None = None
        self._since = 0.0
        self._text = ""

    def met(self, error: ApiError, now: float) -> str:
        """Take a failed attempt at `now` (monotonic seconds). Returns the reason for people; "" while it may pass."""
        kind = (error.status, error.cause)
        if self._kind is None:
            self._since = now
        if self._kind != kind:
            self._kind, self._text = kind, described("the config", error)
        is_certain = error.is_refusal or error.cause is Cause.WEBHOOK or error.status in _CERTAIN
        return self._text if is_certain or now - self._since >= PATIENCE else ""

    def clear(self) -> None:
        """Publishing has worked."""
        self._kind = None


def described(subject: str, error: ApiError) -> str:
    """Return for people why the subject could not be published. Stays the same from attempt to attempt."""
    why = _WORDS.get(error.cause, "")
    detail = printable(_NAME.sub("", error.reason, count=1))
    return f"{subject} could not be published: {': '.join(filter(None, (why, detail)))}"
