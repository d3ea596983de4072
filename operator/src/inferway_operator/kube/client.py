"""The only module that talks to the API server, beside kopf, which watches.

Every call has a time limit, and fails in one way: `KubeError`. Writes ask first whether this process still leads.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration

from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import WRITE_SECONDS

FIELD_MANAGER: Final = "inferway-operator"
"""Under which name fields are applied: `kubectl get --show-managed-fields` tells whose they are."""

READ_SECONDS: Final = 20.0
"""Of one read: some thousand objects over a slow connection."""

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_APPLY: Final = "application/apply-patch+yaml"


class NoCluster(Exception):  # noqa: N818 - it is what was found, and no fault
    """There is no way to an API server: this is no pod, and no kubeconfig can be used."""


class KubeError(Exception):
    """A call that failed: the API server's answer, or that there was none."""

    def __init__(self, message: str, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP; 0 = no answer."""
        self.retry_after = retry_after
        """Seconds that the API server asks to wait; 0 = it said nothing."""


class NotDefined(KubeError):  # noqa: N818 - it is what was found, and no fault
    """The API server does not know one of our kinds, or is about to forget it."""


class NotLeading(KubeError):  # noqa: N818 - it is what was found, and no fault
    """Not written: another operator may lead by now."""


def path(group_version: str, plural: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`/apis/<group>/<version>/namespaces/<namespace>/<plural>/<name>/<subresource>`; what is "" is left out."""
    inside = f"/namespaces/{quote(namespace)}" if namespace else ""
    return group_version + inside + "".join(f"/{quote(part)}" for part in (plural, name, subresource) if part)


async def client() -> ApiClient:
    """A client by the Pod's own ServiceAccount, else by $KUBECONFIG or `~/.kube/config`: the order that kopf has too."""
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    return ApiClient(configuration)


async def find_cluster() -> None:
    """Whether there is a way to an API server, without asking it anything; `NoCluster` when there is none."""
    try:
        api = await client()
    except (config.ConfigException, OSError) as error:
        raise NoCluster(
            f"this is no pod with a token (automountServiceAccountToken), and there is no kubeconfig to use: {error}"
        ) from None
    await api.close()


class Kube(AbstractAsyncContextManager["Kube"]):
    """JSON in, JSON out. `may_write` is asked before each write."""

    def __init__(self, api: ApiClient, may_write: Callable[[], bool], metrics: OperatorMetrics) -> None:
        self._api = api
        self._may_write = may_write
        self._metrics = metrics
        self.written = 0
        """Objects so far."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def get(self, where: str, **query: str) -> dict[str, Any]:
        """An object, or a whole list."""
        return await self._call("GET", where, query, seconds=READ_SECONDS)

    async def metadata(self, where: str, **query: str) -> list[dict[str, Any]]:
        """The metadata of all objects of a list, and nothing else of them."""
        found = await self._call("GET", where, query, accept=_METADATA_ONLY, seconds=READ_SECONDS)
        return [item["metadata"] for item in found.get("items") or ()]

    async def create(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """409 when there is one of this name."""
        return await self._write("POST", where, {"fieldManager": FIELD_MANAGER}, body)

    async def apply(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply: the object's fields that are ours become these, others' stay.

        A `resourceVersion` in the metadata is a condition: 409 when the object has another one.
        """
        return await self._write("PATCH", where, {"fieldManager": FIELD_MANAGER, "force": "true"}, body, _APPLY)

    async def delete(self, where: str, uid: str = "") -> None:
        """404 when there is none; 409 when `uid` is given and it has another one."""
        body = {"preconditions": {"uid": uid}} if uid else {}
        await self._write("DELETE", where, {}, body)

    async def _write(
        self, method: str, where: str, query: dict[str, str], body: Mapping[str, Any], content: str = "application/json"
    ) -> dict[str, Any]:
        if not self._may_write():
            raise NotLeading(f"{method} {where}: not written, for another operator may lead by now")
        kind = str(body.get("kind", "ConfigMap"))  # nothing else is ever deleted
        try:
            found = await self._call(method, where, query, body, content=content, seconds=WRITE_SECONDS)
        except KubeError as error:
            self._metrics.wrote(kind, "conflict" if error.status == HTTPStatus.CONFLICT else "failed")
            raise
        self._metrics.wrote(kind, "written")
        self.written += 1
        return found

    async def _call(
        self,
        method: str,
        where: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        accept: str = "application/json",
        content: str = "application/json",
        seconds: float,
    ) -> dict[str, Any]:
        try:
            return await self._ask(method, where, query, body, accept, content, seconds)
        except KubeError as error:
            self._metrics.api_failed(error.status or None)
            raise

    async def _ask(
        self,
        method: str,
        where: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        accept: str,
        content: str,
        seconds: float,
    ) -> dict[str, Any]:
        headers = {"Accept": accept, "Content-Type": content}
        try:
            async with asyncio.timeout(seconds):
                parameters = await self._api.param_serialize(
                    method, where, query_params=list(query.items()), header_params=headers, body=body,
                    auth_settings=["BearerToken"],
                )  # fmt: skip
                answer = await self._api.call_api(*parameters, _request_timeout=seconds)
                content_read: bytes = await answer.read()
        except TimeoutError:
            raise KubeError(f"{method} {where}: no answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise KubeError(f"{method} {where}: {error or type(error).__name__}") from error
        except ApiException as error:
            raise KubeError(f"{method} {where}: {error.reason}", error.status or 0) from error
        return _result(f"{method} {where}", answer.status, answer.headers, content_read)


def _result(what: str, status: int, headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content) if content else {}
    except ValueError:
        found = None  # a proxy's page, or half an answer
    if not 200 <= status < 300:
        told = found.get("message") if isinstance(found, dict) else None
        raise KubeError(f"{what}: {status} {told or ''}".rstrip(), status, _seconds(headers.get("Retry-After")))
    if not isinstance(found, dict):
        raise KubeError(f"{what}: the answer is no JSON object")
    return found


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0
