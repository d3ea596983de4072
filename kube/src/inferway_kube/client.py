"""The API server's client: JSON in, JSON out. The only module that speaks HTTP with it.

Of the library `kubernetes` it uses the login and the generic client: the classes for each API take tens of megabytes, and
their models would be built only to be thrown away.
"""

import asyncio
import copy
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from inferway_kube import errors, events
from inferway_kube.deadlines import Deadlines
from inferway_kube.errors import ApiError, Gone, NotLeading
from inferway_kube.events import Event, Page
from inferway_kube.login import Login

PAGE_SIZE: Final = 500
"""Objects that a list is asked for at a time."""

Strings = Mapping[str, str]

_JSON: Final[Strings] = {"Accept": "application/json", "Content-Type": "application/json"}
_APPLY: Final[Strings] = {**_JSON, "Content-Type": "application/apply-patch+yaml"}
_MERGE: Final[Strings] = {**_JSON, "Content-Type": "application/merge-patch+json"}
_METADATA_ONLY: Final[Strings] = {
    **_JSON,
    "Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
}
_GOODBYE: Final = 0.2
"""Seconds for the end of a TLS connection."""


def path(group_version: str, plural: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return `/apis/<group>/<version>/namespaces/<namespace>/<plural>/<name>/<subresource>`, without parts that are ""."""
    inside = f"/namespaces/{quote(namespace)}" if namespace else ""
    return group_version + inside + "".join(f"/{quote(part)}" for part in (plural, name, subresource) if part)


class Client(AbstractAsyncContextManager["Client"]):
    """One client with connections of its own. Every call raises `ApiError`, after its deadline at the latest."""

    def __init__(
        self,
        login: Login,
        field_manager: str,
        deadlines: Deadlines | None = None,
        *,
        may_write: Callable[[], bool] = lambda: True,
        on_call: Callable[[str, ApiError | None], None] = lambda kind, error: None,
    ) -> None:
        """`field_manager`: the name of this client: the user agent, and the manager of the fields that it applies.

        `may_write` is asked before each write: without its consent the call raises `NotLeading`. `on_call`
        is called after each call, with the kind of the written object ("DELETE" = one was deleted, "" = it was a read) and the error.
        """
        self.deadlines = deadlines or Deadlines()
        self._login = login
        self._manager = field_manager
        self._may_write = may_write
        self._on_call = on_call
        self._api: ApiClient | None = None
        self._connector: aiohttp.TCPConnector | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client may be used again."""
        api, self._api = self._api, None
        connector, self._connector = self._connector, None
        if api is not None:
            await api.close()
        if connector is not None:
            await connector.close()
            if self._login.server.startswith("https"):
                # Connections that were cut before are not waited for by that; a loop that ends with one of them open hangs.
                await asyncio.sleep(_GOODBYE * 1.5)

    # --- reads ----------------------------------------------------------------------------------------------------------

    async def get(self, where: str) -> dict[str, Any]:
        """Read an object. `NotFound` when there is none."""
        with self._counted():
            return events.json_object(f"GET {where}", await self._call(f"GET {where}", {}, self.deadlines.read))

    async def list_all(self, where: str, query: Strings) -> Page:
        """Read a whole list, page by page. `NotFound` when there is no such kind."""
        page = await self._page(where, {**query, "limit": str(PAGE_SIZE)})
        items = page.items
        while page.continuation:
            try:
                page = await self._page(where, {**query, "limit": str(PAGE_SIZE), "continue": page.continuation})
            except Gone:
                # The list took so long that its state is forgotten: all of it at once, as client-go's pager does.
                return await self._page(where, query)
            items += page.items
        return Page(page.version, items, "")

    async def list_metadata(self, where: str, query: Strings) -> list[dict[str, Any]]:
        """Read the metadata of all objects of a list, and nothing else of them."""
        page = await self._page(where, query, _METADATA_ONLY)
        return [item["metadata"] for item in page.items]

    @asynccontextmanager
    async def watch(self, where: str, query: Strings, version: str) -> AsyncIterator[AsyncIterator[Event]]:
        """Open a watch from a version on. `Gone` when that is too old, here or while reading."""
        parameters = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self.deadlines.watch),
        }
        # The head comes at once, before any event.
        with self._counted():
            async with self._request(f"GET {where}", parameters, _now() + self.deadlines.read) as response:
                frozen = _now() + self.deadlines.watch + self.deadlines.watch_grace
                yield _events(response, f"watch {where}", frozen)

    # --- writes ---------------------------------------------------------------------------------------------------------

    async def create(self, where: str, body: Mapping[str, Any], *, is_trial: bool = False) -> dict[str, Any]:
        """Create an object in a collection. 409 when there is one of this name. A trial is checked and not kept."""
        trial = {"dryRun": "All"} if is_trial else {}
        return await self._write("POST", where, {"fieldManager": self._manager, **trial}, body)

    async def replace(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object. 409 when its resourceVersion is not that of `body`."""
        return await self._write("PUT", where, {"fieldManager": self._manager}, body)

    async def apply(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply fields (server-side apply): they become these, those of other managers stay.

        A `resourceVersion` in the metadata is a condition: 409 when the object has another one.
        """
        return await self._write("PATCH", where, {"fieldManager": self._manager, "force": "true"}, body, _APPLY)

    async def merge(self, where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields (JSON merge patch, RFC 7396): None removes one. A `resourceVersion` is a condition, as for `apply`."""
        return await self._write("PATCH", where, {"fieldManager": self._manager}, body, _MERGE)

    async def delete(self, where: str, uid: str = "") -> None:
        """Delete an object. `NotFound` when there is none; 409 when `uid` is given and it has another one."""
        await self._write("DELETE", where, {}, {"preconditions": {"uid": uid}} if uid else {})

    # --- requests -------------------------------------------------------------------------------------------------------

    async def _page(self, where: str, query: Strings, headers: Strings = _JSON) -> Page:
        with self._counted():
            answer = await self._call(f"GET {where}", query, self.deadlines.read, headers=headers)
            return events.page(f"GET {where}", answer)

    async def _write(
        self, method: str, where: str, query: Strings, body: Mapping[str, Any], headers: Strings = _JSON
    ) -> dict[str, Any]:
        call = f"{method} {where}"
        if not self._may_write():
            raise NotLeading(f"{call}: not written, another process may lead by now")
        with self._counted(str(body.get("kind") or method)):
            return events.json_object(call, await self._call(call, query, self.deadlines.write, body, headers))

    @contextmanager
    def _counted(self, kind: str = "") -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            self._on_call(kind, error)
            raise
        self._on_call(kind, None)

    async def _call(
        self, call: str, query: Strings, seconds: float, body: Any = None, headers: Strings = _JSON
    ) -> bytes:
        """Return the body of an answer of 2xx. `call`: method and path."""
        until = _now() + seconds
        async with self._request(call, query, until, body, headers) as response, _mapped(call, until):
            return await response.read()

    @asynccontextmanager
    async def _request(
        self, call: str, query: Strings, until: float, body: Any = None, headers: Strings = _JSON
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and yield a response of 2xx whose body is still to be read."""
        method, _, where = call.partition(" ")
        api = self._opened()
        async with _mapped(call, until):
            parameters = await api.param_serialize(
                method,
                where,
                query_params=list(query.items()),
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
            )
            limit: Any = aiohttp.ClientTimeout(total=None, sock_connect=self.deadlines.connect)
            response: aiohttp.ClientResponse = (await api.call_api(*parameters, _request_timeout=limit)).response
        try:
            if not 200 <= response.status < 300:
                async with _mapped(call, until):
                    reason = await response.read()
                raise errors.of_response(call, response.status, response.headers.get("Retry-After", ""), reason)
            yield response
        finally:
            # The pool gets the connection back when the body was read to its end.
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    def _opened(self) -> ApiClient:
        if self._api is None:
            configuration = copy.deepcopy(self._login.configuration)
            configuration.retries = None  # pauses are the caller's business
            api = ApiClient(configuration)
            api.user_agent = self._manager
            with warnings.catch_warnings():
                # aiohttp deprecates this parameter. Without it uvloop waits thirty seconds for the goodbye of a frozen
                # peer.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._connector = aiohttp.TCPConnector(
                    limit=0, ssl=api.rest_client.ssl_context, ssl_shutdown_timeout=_GOODBYE
                )
            configuration.client_session_kwargs = {"connector": self._connector}
            self._api = api
        return self._api


async def _events(response: aiohttp.ClientResponse, call: str, until: float) -> AsyncIterator[Event]:
    """Yield the events of a watch, until the API server ends it; at `until` (the loop's time) it counts as frozen."""
    while True:
        async with _mapped(call, until):
            try:
                line = await response.content.readline()
            except (ValueError, LineTooLong):
                raise errors.unusable(call, "a line is too long") from None
        if not line:
            return
        yield events.event(call, line)


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _mapped(call: str, until: float) -> AsyncIterator[None]:
    """Map network, TLS and token-file errors to `ApiError`; give up at `until` (the loop's time)."""
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError:
        raise ApiError(f"{call}: no answer in time") from None
    except (aiohttp.ClientError, HttpProcessingError, OSError, ssl.SSLError, ConfigException, ValueError) as error:
        raise ApiError(f"{call}: {error or type(error).__name__}") from error
