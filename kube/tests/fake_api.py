"""A small API server on 127.0.0.1, over real HTTP: collections in memory, list in pages, watch, and faults between."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from inferway_kube.login import Login


@dataclass
class Fault:
    """An answer to requests that match."""

    pattern: str
    """Of `METHOD path?query`."""
    status: int = 200
    """0 = the server answers as without the fault, after the delay."""
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    delay: float = 0.0
    """Seconds until it answers."""
    hits: int = 0

    def meets(self, request: str) -> bool:
        """Whether it answers this request; counts it."""
        is_met = self.hits < self.times and re.search(self.pattern, request) is not None
        self.hits += is_met
        return is_met


class FakeApi:
    """Objects of collections, by path."""

    def __init__(self) -> None:
        self.port = 0
        self.version = 10
        self.oldest = 0
        """Watches from before this version are answered with 410."""
        self.collections: dict[str, dict[str, dict[str, Any]]] = {}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        """Version, path of the collection, event."""
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.page_size = 500
        self.has_changed = asyncio.Event()
        self.is_frozen = False
        """Watches send nothing, and do not end."""
        self.cuts = 0
        self._open: set[web.StreamResponse] = set()

    @property
    def login(self) -> Login:
        """To this server."""
        return Login(Configuration(host=f"http://127.0.0.1:{self.port}"), "default")

    def fault(self, pattern: str, status: int = 200, body: str = "", **more: Any) -> Fault:
        """Answer the next request that matches like this."""
        self.faults.append(Fault(pattern, status, body, **more))
        return self.faults[-1]

    def define(self, path: str) -> None:
        """The API server knows this collection."""
        self.collections.setdefault(path, {})

    def put(self, path: str, name: str, **more: Any) -> dict[str, Any]:
        """Create or change an object."""
        known = self.collections[path]
        before = known.get(name)
        uid = before["metadata"]["uid"] if before else f"uid-{name}-{self.version}"
        manifest = {"kind": "Thing", "metadata": {"name": name, "uid": uid, "managedFields": [{}]}, **more}
        known[name] = manifest
        self._change(path, "MODIFIED" if before else "ADDED", manifest)
        return manifest

    def remove(self, path: str, name: str) -> None:
        """Delete an object."""
        self._change(path, "DELETED", self.collections[path].pop(name))

    def forget_history(self) -> None:
        """Watches from an older version are too old."""
        self.history.clear()
        self.oldest = self.version

    def cut(self) -> None:
        """End every watch without a word."""
        self.cuts += 1
        self.has_changed.set()

    def _change(self, path: str, kind: str, manifest: dict[str, Any]) -> None:
        self.version += 1
        manifest["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, path, {"type": kind, "object": json.loads(json.dumps(manifest))}))
        self.has_changed.set()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path_qs}"
        self.requests.append(line)
        for fault in self.faults:
            if fault.meets(line):
                await asyncio.sleep(fault.delay)
                if not fault.status:
                    break
                return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
        path, query = request.path, request.query
        body = await request.json() if request.can_read_body else {}
        if request.method == "GET" and path in self.collections:
            return await (self._watch(request) if query.get("watch") else self._list(path, query))
        collection, _, name = path.rpartition("/")
        objects = self.collections.get(collection, {})
        if request.method == "POST" and path in self.collections:
            if body["metadata"]["name"] in self.collections[path]:
                return self._status(409, "AlreadyExists")
            body["metadata"]["uid"] = f"uid-{self.version}"
            self.collections[path][body["metadata"]["name"]] = body
            self._change(path, "ADDED", body)
            return web.json_response(body, status=201)
        if name not in objects:
            # As the API server answers: a Status for an object, text for a path that it does not know.
            if collection in self.collections:
                return self._status(404, "it is not there")
            return web.Response(status=404, text="404 page not found\n")
        if request.method == "GET":
            return web.json_response(objects[name])
        if request.method == "DELETE":
            self.remove(collection, name)
            return web.json_response({"kind": "Status", "status": "Success"})
        expected = body["metadata"].get("resourceVersion")
        if expected and expected != objects[name]["metadata"]["resourceVersion"]:
            return self._status(409, "the object has been modified")
        body["metadata"] = {**objects[name]["metadata"], **body["metadata"]}
        objects[name] = body
        self._change(collection, "MODIFIED", body)
        return web.json_response(body)

    async def _list(self, path: str, query: Any) -> web.Response:
        items = list(self.collections[path].values())
        start = int(query.get("continue") or 0)
        size = min(int(query.get("limit") or len(items) or 1), self.page_size if "limit" in query else len(items) or 1)
        rest = items[start : start + size]
        more = str(start + size) if start + size < len(items) else ""
        metadata = {"resourceVersion": str(self.version), "continue": more}
        return web.json_response({"kind": "ThingList", "metadata": metadata, "items": rest})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        seen = int(request.query["resourceVersion"])
        if seen < self.oldest:
            return self._status(410, "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        until, cuts = loop.time() + float(request.query["timeoutSeconds"]), self.cuts
        while cuts == self.cuts and (self.is_frozen or loop.time() < until):
            for version, path, event in [] if self.is_frozen else list(self.history):
                if version > seen and path == request.path:
                    await response.write(json.dumps(event).encode() + b"\n")
                seen = max(seen, version)
            self.has_changed.clear()
            try:
                async with asyncio.timeout(0.02):
                    await self.has_changed.wait()
            except TimeoutError:
                pass
        if cuts != self.cuts and request.transport is not None:
            request.transport.abort()
        else:
            bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(seen)}}}
            await response.write(json.dumps(bookmark).encode() + b"\n")
        return response

    def _status(self, code: int, message: str) -> web.Response:
        return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


@asynccontextmanager
async def fake_api(*paths: str) -> AsyncIterator[FakeApi]:
    """Serve, with these collections, until the block ends."""
    api = FakeApi()
    for path in paths:
        api.define(path)
    runner = web.ServerRunner(web.Server(api._answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.port = runner.addresses[0][1]
    try:
        yield api
    finally:
        api.is_frozen = False
        api.cut()
        await runner.cleanup()
