"""The facts about a finished request, for the access log and traces. Built only for requests that these want."""

from typing import NamedTuple


class FinishedRequest(NamedTuple):
    """One request and its response. Times are monotonic seconds, durations seconds."""

    request_id: str
    trace_id: str
    """As the upstream got it; where none was asked, the caller's or empty."""
    traceparent: bytes
    """Sent upstream, where the request is sampled; else empty."""
    parent: bytes | None
    """The caller's valid traceparent."""
    method: str
    host: str
    path: bytes
    query: bytes | None
    route: str
    rule: str
    backend: str
    status: int
    is_failed: bool
    """The gateway or an upstream failed, not the client."""
    code: str
    """Of the problem that was the response, or that cut it."""
    bytes_sent: int
    """Of content."""
    seconds: float
    upstream_id: str
    """The X-Request-Id of the upstream's response."""
    upstream_seconds: float
    started: float
    sent_at: float
    """When the request went to the first endpoint; 0 = to none."""
    cache: str
    client_ip: str
