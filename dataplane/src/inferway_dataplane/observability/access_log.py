"""The access log: one JSON line for each request that is logged, written by one thread off the loop.

Every request is logged while they are fewer than the rate; above it a sample: half of each second's lines are kept for
failed requests. What was left out is counted, and the count is a line of its own.
"""

import json
import os
import queue
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from inferway_dataplane.core.messages import trace_context

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange.exchange import Exchange

# Batches that may wait for a slow reader of standard output; beyond it lines are dropped and counted.
_WAITING_BATCHES: Final = 64


class AccessLog:
    """Collects lines on the loop, hands them over with each turn of the wheel."""

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
        self._told = 0
        self._batches: queue.Queue[bytes | None] = queue.Queue(_WAITING_BATCHES)
        self._writer: threading.Thread | None = None
        if enabled:
            self._writer = threading.Thread(target=self._write_batches, name="access-log", daemon=True)
            self._writer.start()

    def wants(self, status: int) -> bool:
        """Whether this request gets a line; takes its place when it does. The caller counts the others in `left_out`."""
        if self.left > 0:
            self.left -= 1
            return True
        if status >= 500 and self._left_for_failed > 0:
            self._left_for_failed -= 1
            return True
        return False

    def write(self, exchange: "Exchange", total: float) -> None:
        """The line of a finished exchange. `total`: seconds."""
        head = exchange.head
        rule = exchange.rule
        path = head.path
        if self._query and head.query is not None:
            path += b"?" + head.query
        line: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "info" if exchange.status < 500 else "error",
            "event": "request",
            "request_id": exchange.request_id.decode("latin-1"),
            "trace_id": _trace_id(exchange),
            "method": head.method.decode("latin-1"),
            "host": head.host.decode("latin-1"),
            "path": path.decode("utf-8", "backslashreplace"),
            "route": rule.route if rule is not None else "",
            "rule": rule.name if rule is not None else "",
            "backend": _backend(exchange),
            "status": exchange.status,
            "code": exchange.code,
            "bytes": exchange.bytes_sent,
            "duration_ms": round(total * 1000, 3),
            "upstream_ms": round(exchange.upstream_seconds * 1000, 3),
            "cache": (exchange.outcome or "").lower(),
            "client_ip": exchange.client_ip,
        }
        # json escapes control characters, so a line stays one line whatever a client sent.
        self._lines.append(json.dumps(line, separators=(",", ":")))

    def tick(self, now: float) -> None:
        """Hand over what was collected; once a second the rate starts anew. `now`: monotonic seconds."""
        if self._enabled and now - self._since >= 1.0:
            self._since = now
            # Half is kept for failed requests only where the last second had more than the rate.
            asked = self._rate - self.left - self._left_for_failed + self.left_out - self._told
            self._left_for_failed = self._rate // 2 if asked > self._rate else 0
            self.left = self._rate - self._left_for_failed
            if self.left_out > self._told:
                counted = {"event": "requests_not_logged", "level": "info", "count": self.left_out - self._told}
                self._lines.append(json.dumps(counted, separators=(",", ":")))
                self._told = self.left_out
        if self._lines:
            batch = ("\n".join(self._lines) + "\n").encode()
            try:
                self._batches.put_nowait(batch)
            except queue.Full:
                self.dropped += len(self._lines)
            self._lines.clear()

    def close(self) -> None:
        """Write what is left and end the writer."""
        self.tick(self._since)
        if self._writer is not None:
            try:
                self._batches.put(None, timeout=1.0)
            except queue.Full:
                return  # nobody reads the log; the writer is a daemon and ends with the process
            self._writer.join(timeout=2.0)

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            view = memoryview(batch)
            try:
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                # Nobody reads the log any more (a closed pipe): serving goes on, the loss is counted.
                self.dropped += batch.count(b"\n")


def _backend(exchange: "Exchange") -> str:
    tries = exchange.tries
    return tries.destination.name if tries is not None and tries.destination is not None else ""


def _trace_id(exchange: "Exchange") -> str:
    """The trace that the upstream was told of; where none was asked, the caller's."""
    told = trace_context.well_formed(exchange.head.block.traceparent)
    return (exchange.trace_id or (told[3:35] if told is not None else b"")).decode("latin-1")
