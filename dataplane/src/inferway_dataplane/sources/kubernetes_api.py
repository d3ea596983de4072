"""The API server by `kubernetes.aio`: the only module of the data plane that knows that library.

Of the library it uses configuration (a pod's own token, kubeconfig files) and the generic client: the classes for each API
take tens of megabytes, and models of ConfigMaps would be built only to be thrown away.
"""

import asyncio
import json
import ssl
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import config as loading
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.config_exception import ConfigException

from inferway_contract.sharding import INDEX_KEY, SHARD_KEY
from inferway_dataplane.sources.api import Gone, IndexEvent, Missing, Unavailable
from inferway_dataplane.sources.api_responses import event, failure, text

FIELD_MANAGER: Final = "inferway-dataplane"

_GOODBYE: Final = 0.2
"""Seconds for the end of a TLS connection."""

_Answer = aiohttp.ClientResponse


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. Nothing that is asked of the API server takes longer."""

    connect: float = 2.0
    """TCP and TLS."""
    request: float = 8.0
    """A request with its answer."""
    lease: float = 4.0
    """The same for a Lease, which has to be renewed every five seconds."""
    watch: int = 45
    """The server is asked to end a watch after so long."""
    watch_over: float = 5.0
    """A watch that is not ended so long after that is broken off: it is frozen."""


class NoCluster(Exception):  # noqa: N818 - it names what was found
    """There is no configuration to reach an API server with. The message says what is missing."""


async def configuration(kubeconfig: str) -> Configuration:
    """How to reach the API server: by a kubeconfig file, or as a pod does ("" = as a pod). `NoCluster`."""
    made = Configuration()
    if kubeconfig and not Path(kubeconfig).is_file():  # noqa: ASYNC240 - once, before anything is served
        raise NoCluster(f"the kubeconfig {kubeconfig} is not there")
    try:
        if kubeconfig:
            await loading.load_kube_config(config_file=kubeconfig, client_configuration=made, persist_config=False)
        else:
            # It reads the token anew every minute: the kubelet replaces it.
            loading.load_incluster_config(made)
    except (ConfigException, OSError, ValueError) as error:
        where = (
            f"the kubeconfig {kubeconfig} cannot be used"
            if kubeconfig
            else "this is no pod with a token (automountServiceAccountToken), and no kubeconfig is set"
        )
        raise NoCluster(f"{where}: {error}") from None
    made.retries = False  # pauses are the source's business
    return made


def address_of(found: Configuration) -> str:
    """The API server's IP address; "" where it is known by a name."""
    try:
        return str(ip_address(urlsplit(found.host).hostname or ""))
    except ValueError:
        return ""


class KubernetesApi:
    """One client with connections of its own. `Indexes`, `Shards` and `Leases` of one namespace."""

    def __init__(self, how: Configuration, namespace: str, limits: Limits) -> None:
        self._how = how
        self._limits = limits
        self._client: ApiClient | None = None
        self._config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def close(self) -> None:
        """Close the connections. It may be used again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            # Connections that were cut before are not waited for by that; a loop that ends with one of them open hangs.
            await asyncio.sleep(_GOODBYE * 1.5)

    async def list_index(self, name: str) -> IndexEvent:
        """As `Indexes` says."""
        try:
            found = await self._read(self._config_maps, [("fieldSelector", f"metadata.name={name}")])
        except (Missing, Gone) as error:
            # Of a list it means nothing: a server that starts, or something else at its address, answers so.
            raise Unavailable(f"it answers a list with {type(error).__name__.lower()}", is_answer=True) from None
        try:
            items = found["items"]
            return IndexEvent(found["metadata"]["resourceVersion"], text(items[0], INDEX_KEY) if items else None)
        except (LookupError, TypeError) as error:
            raise Unavailable(f"the API server's answer is no list: {error!r}") from None

    async def watch_index(self, name: str, version: str) -> AsyncGenerator[IndexEvent, None]:
        """As `Indexes` says. A watch that is silent for too long is `Unavailable`."""
        seconds = self._limits.watch
        query = [
            ("fieldSelector", f"metadata.name={name}"),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(seconds)),
        ]
        until = monotonic() + seconds + self._limits.watch_over
        async with self._asked("GET", self._config_maps, query, seconds + self._limits.watch_over) as answer:
            yield IndexEvent(version, None, is_bookmark=True)
            while True:
                async with _told("watching", until - monotonic()):
                    line = await answer.content.readline()
                if not line:
                    return
                yield event(line)

    async def read_shard(self, name: str) -> bytes:
        """As `Shards` says."""
        found = await self._read(f"{self._config_maps}/{name}", [])
        return (text(found, SHARD_KEY) or "").encode()

    async def apply_lease(self, name: str, lease: Mapping[str, Any]) -> None:
        """As `Leases` says: by server-side apply, which makes, changes and repairs in one request."""
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        async with (
            self._asked("PATCH", f"{self._leases}/{name}", query, self._limits.lease, lease) as answer,
            _told("writing the Lease", self._limits.lease),
        ):
            await answer.read()

    async def _read(self, path: str, query: list[tuple[str, str]]) -> Any:
        async with (
            self._asked("GET", path, query, self._limits.request) as answer,
            _told("reading", self._limits.request),
        ):
            content = await answer.read()
        try:
            return await asyncio.to_thread(json.loads, content)
        except ValueError as error:
            raise Unavailable(f"the API server's answer is no JSON: {error}") from None

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, query: list[tuple[str, str]], seconds: float, body: Any = None
    ) -> AsyncIterator[_Answer]:
        """An answer of 2xx, whose body is still to be read. `Gone`, `Missing`, `Unavailable`."""
        client = self._client
        if client is None:
            client = self._client = ApiClient(self._how)
            client.rest_client = _Rest(self._how)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"
        async with _told("asking", min(seconds, self._limits.request)):
            asked = await client.param_serialize(
                method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            limit: Any = aiohttp.ClientTimeout(total=seconds, sock_connect=self._limits.connect)
            answer: _Answer = (await client.call_api(*asked, _request_timeout=limit)).response
        try:
            if answer.status >= 300:
                async with _told("reading", self._limits.request):
                    raise failure(answer.status, answer.headers.get("Retry-After", ""), await answer.read())
            yield answer
        finally:
            _finish(answer)


def _finish(answer: _Answer) -> None:
    """What was read to its end goes back to the pool; anything else is closed."""
    if answer.content.at_eof():
        answer.release()
    else:
        answer.close()


class _Rest(RESTClientObject):
    """The library's, with connections that end in time."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        with warnings.catch_warnings():
            # aiohttp wants to be rid of this parameter. Without it uvloop waits thirty seconds for the goodbye of a frozen peer.
            warnings.simplefilter("ignore", DeprecationWarning)
            return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, ssl_shutdown_timeout=_GOODBYE)


@asynccontextmanager
async def _told(doing: str, seconds: float) -> AsyncIterator[None]:
    """Everything that the network, TLS or a token file does wrong, as `Unavailable`, after so many seconds at the latest."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable(f"{doing} took too long") from None
    except (aiohttp.ClientError, OSError, ssl.SSLError, ConfigException, ValueError) as error:
        raise Unavailable(f"{doing}: {error}" if str(error) else f"{doing}: {type(error).__name__}") from None
