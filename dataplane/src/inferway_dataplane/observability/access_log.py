"""The access log: one JSON line for each request that is logged, written by one thread off the loop.

Up to the rate every request is logged; above it a sample: half of each second's lines are reserved for failed requests.
The requests left out are counted, and the count is a line of its own.
"""

import json
import os
import queue
import threading
from datetime import UTC, datetime
from typing import Final

from inferway_dataplane.observability.finished_request import FinishedRequest

# Batches that may wait for a slow reader of standard output; further lines are dropped and counted.
_WAITING_BATCHES: Final = 64


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
        self._since = 0.0
        self._lines: list[str] = []
        self.left_out = 0
        self.dropped = 0
        self._counted = 0
        self._batches: queue.Queue[bytes | None] = queue.Queue(_WAITING_BATCHES)
        self._writer: threading.Thread | None = None
        if enabled:
            self._writer = threading.Thread(target=self._write_batches, name="access-log", daemon=True)
            self._writer.start()

    def wants(self, status: int) -> bool:
        """Whether this request gets a line, which takes a place. The caller counts the others in `left_out`."""
        if self.left > 0:
            self.left -= 1
            return True
        if status >= 500 and self._left_for_failed > 0:
            self._left_for_failed -= 1
            return True
        return False

    def write(self, request: FinishedRequest) -> None:
        path = request.path
        if self._query and request.query is not None:
            path += b"?" + request.query
        line: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "info" if request.status < 500 else "error",
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
            "cache": request.cache,
            "client_ip": request.client_ip,
        }
        # json escapes control characters, so a line stays one line whatever a client sent.
        self._lines.append(json.dumps(line, separators=(",", ":")))

    def tick(self, now: float) -> None:
        """Hand over the collected lines; the rate starts again each second. `now`: monotonic seconds."""
        if self._enabled and now - self._since >= 1.0:
            self._since = now
            # Half is reserved for failed requests only if the last second had more than the rate.
            asked = self._rate - self.left - self._left_for_failed + self.left_out - self._counted
            self._left_for_failed = self._rate // 2 if asked > self._rate else 0
            self.left = self._rate - self._left_for_failed
            if self.left_out > self._counted:
                line = {"event": "requests_not_logged", "level": "info", "count": self.left_out - self._counted}
                self._lines.append(json.dumps(line, separators=(",", ":")))
                self._counted = self.left_out
        if self._lines:
            batch = ("\n".join(self._lines) + "\n").encode()
            try:
                self._batches.put_nowait(batch)
            except queue.Full:
                self.dropped += len(self._lines)
            self._lines.clear()

    def close(self) -> None:
        """Write the remaining lines and end the writer."""
        self.tick(self._since)
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
