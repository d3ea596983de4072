"""The peer that is waited for at each moment of a request at an upstream, and so the time limit that runs.

A client's pace is never an endpoint's fault: while the gateway waits for the client, only the client's limits run.
"""

from typing import Final

CLIENT_SENDS: Final = "client_sends"
"""More of the request's body: bounded by the limits on bodies (408)."""
UPSTREAM_TAKES: Final = "upstream_takes"
"""The upstream has stopped reading the body, so the gateway has stopped reading the client: `backendRequest`."""
UPSTREAM_ANSWERS: Final = "upstream_answers"
"""The final head, for a complete request: `backendRequest` and `request`."""
UPSTREAM_STREAMS: Final = "upstream_streams"
"""The next piece of the response's body: `streamIdle`."""
CLIENT_READS: Final = "client_reads"
"""The client has stopped reading, so the gateway has stopped reading the upstream: bounded by `unread_timeout`."""


def awaited(*, has_head: bool, is_request_whole: bool, takes_body: bool, client_reads: bool) -> str:
    """Return the peer that is waited for.

    `has_head`: the final head was read; `is_request_whole`: all of the request was handed over; `takes_body`: the upstream
    reads what it is sent; `client_reads`: the gateway reads the response.
    """
    if not client_reads:
        return CLIENT_READS
    if not is_request_whole:
        return CLIENT_SENDS if takes_body else UPSTREAM_TAKES
    return UPSTREAM_STREAMS if has_head else UPSTREAM_ANSWERS
