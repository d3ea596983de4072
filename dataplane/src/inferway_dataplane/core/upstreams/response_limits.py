"""What a rule allows a response: times in seconds, sizes in bytes."""

from inferway_contract.document import Rule


class ResponseLimits:
    """The limits that an upstream connection enforces. It keeps them while it is idle, so they hold no other part of a rule."""

    __slots__ = ("head_timeout", "keep_idle", "max_head", "stream_idle")

    def __init__(self, rule: Rule) -> None:
        timeouts = rule.timeouts
        self.head_timeout = timeouts.backend_request / 1000 or float("inf")
        self.stream_idle = timeouts.stream_idle / 1000 or float("inf")
        # How long the connection is kept unused; None = the process's setting decides.
        self.keep_idle = None if timeouts.upstream_idle is None else timeouts.upstream_idle / 1000 or float("inf")
        self.max_head = rule.max_response_header
