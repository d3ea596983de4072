"""The access log: one JSON line for each request that is logged, written by one thread off the loop.

Up to the rate every request is logged; above it a sample: half of each second's lines are reserved for failed requests.
The requests left out are counted, and the count is a line of its own.
"""

import json
import os
import queue
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from inferway_dataplane.observability.finished_request import FinishedRequest

# Batches that may wait for a slow reader of standard output; further lines are dropped and counted.
_WAITING_BATCHES: Final = 64

FIELDS: Final[Mapping[str, str]] = {
    "time": "end of the response (RFC 3339, UTC, milliseconds)",
    "level": "`error` where the gateway or an upstream failed with a 5xx, else `info`",
    "event": "`request`",
    "request_id": "the value of `X-Request-Id`",
    "trace_id": "of the `traceparent` sent upstream, or of the client's; empty = there is none",
    "method": "of the request",
    "host": "the requested host",
    "path": "the requested path, with the query if `access_log_query` is on",
    "route": "`NAMESPACE/NAME` of the GatewayRoute; empty = none matched",
    "rule": "name of the rule in its route",
    "backend": "name of the backend that was tried last; empty = none",
    "status": "HTTP status sent to the client; 499 = it left before there was one",
    "code": "[code](problems.md) of the problem that was the response or cut it short; `client_gone` = the client left",
    "bytes": "content bytes sent to the client",
    "duration_ms": "from the head of the request to the end of the response",
    "upstream_ms": "of it, from sending the request upstream to the head of the response; 0 = none was asked",
    "upstream_request_id": "the X-Request-Id of the upstream's response (at most 128 bytes), which its support asks for",
    "cache": "`hit`, `miss`, `bypass`; empty = the rule has no cache, or was not reached",
    "client_ip": "the client's address, from X-Forwarded-For behind trusted proxies",
}
"""The fields of a line `request`, in this order, with their meanings. `make reference` writes docs/log-fields.md."""

LEFT_OUT_FIELDS: Final[Mapping[str, str]] = {
    "time": "end of the period (RFC 3339, UTC, milliseconds)",
    "level": "`info`",
    "event": "`requests_not_logged`",
    "count": "finished requests without a line of their own in the period",
    "seconds": "length of the period",
}
"""The fields of a line `requests_not_logged`, the same way."""


class AccessLog:
    """Collects lines on the loop, and hands them over with each turn of the wheel."""

    def __init__(self, rate: int, *, enabled: bool = True, query: bool = False, fd: int = 1) -> None:
        """`rate`: lines a second. `query`: log query strings. `fd`: where lines go (standard output)."""
        self._rate = rate if enabled else 0
        self._enabled = enabled
        self._query = query
        self._fd = fd
        self.left = self._rate
        self._left_for_failed = 0
        self._since: float | None = None  # the second that is counted, monotonic; it begins with the first turn
        self._lines: list[str] = []
        self.left_out = 0
        self.dropped = 0
        self._counted = 0
        self._batches: queue.Queue[bytes | None] = queue.Queue(_WAITING_BATCHES)
        self._writer: threading.Thread | None = None
        if enabled:
            self._writer = threading.Thread(target=self._write_batches, name="access-log", daemon=True)
            self._writer.start()

    def wants(self, *, is_failed: bool) -> bool:
        """Whether this request gets a line, which takes a place. The caller counts the others in `left_out`."""
        if self.left > 0:
            self.left -= 1
            return True
        if is_failed and self._left_for_failed > 0:
            self._left_for_failed -= 1
            return True
        return False

    def write(self, request: FinishedRequest) -> None:
        path = request.path
        if self._query and request.query is not None:
            path += b"?" + request.query
        line: dict[str, object] = {
            "time": _timestamp(),
            "level": "error" if request.is_failed else "info",
            "event": "request",
            "request_id": request.request_id,
            "trace_id": request.trace_id,
            "method": request.method,
            "host": request.host,
            "path": path.decode("utf-8", "backslashreplace"),
            "route": request.route,
            "rule": request.rule,
            "backend": request.backend,
            "status": request.status,
            "code": request.code,
            "bytes": request.bytes_sent,
            "duration_ms": round(request.seconds * 1000, 3),
            "upstream_ms": round(request.upstream_seconds * 1000, 3),
            "upstream_request_id": request.upstream_id,
            "cache": request.cache,
            "client_ip": request.client_ip,
        }
        # json escapes control characters, so a line stays one line whatever a client sent.
        self._lines.append(json.dumps(line, separators=(",", ":")))

    def tick(self, now: float) -> None:
        """Hand over the collected lines; the rate starts again each second. `now`: monotonic seconds."""
        if self._since is None:
            self._since = now
        elif self._enabled and now - self._since >= 1.0:
            # Half is reserved for failed requests only if the last second had more than the rate.
            asked = self._rate - self.left - self._left_for_failed + self.left_out - self._counted
            self._left_for_failed = self._rate // 2 if asked > self._rate else 0
            self.left = self._rate - self._left_for_failed
            self._count_left_out(now)
            self._since = now
        self._hand_over()

    def _count_left_out(self, now: float) -> None:
        """Add a line with the number of requests without one, and the period in which they ended."""
        if self.left_out > self._counted and self._since is not None:
            line = {
                "time": _timestamp(),
                "level": "info",
                "event": "requests_not_logged",
                "count": self.left_out - self._counted,
                "seconds": round(now - self._since, 3),
            }
            self._lines.append(json.dumps(line, separators=(",", ":")))
            self._counted = self.left_out

    def _hand_over(self) -> None:
        if self._lines:
            batch = ("\n".join(self._lines) + "\n").encode()
            try:
                self._batches.put_nowait(batch)
            except queue.Full:
                self.dropped += len(self._lines)
            self._lines.clear()

    def close(self) -> None:
        """Write the remaining lines and end the writer."""
        if self._enabled:
            self._count_left_out(monotonic())
        self._hand_over()
        if self._writer is not None:
            try:
                self._batches.put(None, timeout=1.0)
            except queue.Full:
                return  # the log is not read; the writer is a daemon and ends with the process
            self._writer.join(timeout=2.0)

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            view = memoryview(batch)
            try:
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                # The log is not read any more (a closed pipe): the gateway serves on, and counts the loss.
                self.dropped += batch.count(b"\n")


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
