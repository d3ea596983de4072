"""The operator's client of the API server: that of `inferway_kube`, with its calls counted."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from inferway_kube.client import Client, Deadlines
from inferway_kube.errors import ApiError
from inferway_kube.login import Login
from inferway_operator.metrics import OperatorMetrics, WriteOutcome

FIELD_MANAGER: Final = "inferway-operator"
"""The name under which fields are applied: `kubectl get --show-managed-fields` shows it."""
_DEADLINES: Final = Deadlines(read=20.0)
"""A list of large ConfigMaps over a slow connection takes long."""


def connect(login: Login, may_write: Callable[[], bool], metrics: OperatorMetrics) -> Client:
    """Return a client whose writes need `may_write`'s consent."""

    def count(kind: str, error: ApiError | None) -> None:
        if error is not None:
            metrics.api_failed(error.status or None)
        if kind:
            is_conflict = error is not None and error.status == HTTPStatus.CONFLICT
            outcome: WriteOutcome = "written" if error is None else "conflict" if is_conflict else "failed"
            # Nothing but ConfigMaps is ever deleted.
            metrics.wrote("ConfigMap" if kind == "DELETE" else kind, outcome)

    return Client(login, FIELD_MANAGER, _DEADLINES, may_write=may_write, on_call=count)
