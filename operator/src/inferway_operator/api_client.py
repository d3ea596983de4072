"""The operator's client of the API server: that of `inferway_kube`, with its writes counted by kind."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from inferway_kube.client import Client
from inferway_kube.deadlines import Deadlines
from inferway_kube.errors import ApiError, NotLeading
from inferway_kube.login import Login
from inferway_operator.metrics import OperatorMetrics

Written = TypeVar("Written")

FIELD_MANAGER: Final = "inferway-operator"
"""The name under which fields are applied: `kubectl get --show-managed-fields` shows it."""
_DEADLINES: Final = Deadlines(read=20.0)
"""A list of large ConfigMaps over a slow connection takes long."""


class ApiClient(Client):
    """Every write needs `may_write`'s consent, and is counted."""

    def __init__(self, login: Login, may_write: Callable[[], bool], metrics: OperatorMetrics) -> None:
        super().__init__(
            login,
            FIELD_MANAGER,
            _DEADLINES,
            may_write=may_write,
            on_error=lambda error: metrics.api_failed(error.status or None),
        )
        self._metrics = metrics
        self.written = 0
        """Objects so far."""

    async def create(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `Client` does."""
        return await self._count(str(body.get("kind")), super().create(where, body))

    async def apply(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `Client` does."""
        return await self._count(str(body.get("kind")), super().apply(where, body))

    async def delete(self, where: str, uid: str = "") -> None:
        """As `Client` does; only ConfigMaps are ever deleted."""
        await self._count("ConfigMap", super().delete(where, uid))

    async def _count(self, kind: str, write: Awaitable[Written]) -> Written:
        try:
            answer = await write
        except NotLeading:
            raise
        except ApiError as error:
            self._metrics.wrote(kind, "conflict" if error.status == HTTPStatus.CONFLICT else "failed")
            raise
        self._metrics.wrote(kind, "written")
        self.written += 1
        return answer
