"""What a rule has going on, whatever document it came with."""


class RuleCounters:
    """Counters of one rule that outlive runtimes: a new document must not forget what is in flight.

    `changes` grows whenever a member of the rule becomes available or unavailable: who keeps a view of them compares
    it, so that a runtime which is still used by older requests sees what a newer one has learnt.
    """

    __slots__ = ("changes", "in_flight", "pending", "retrying")

    def __init__(self) -> None:
        self.changes = 0
        self.in_flight = 0  # requests on their way to upstreams and back
        self.pending = 0  # of those, waiting for a connection
        self.retrying = 0  # of those, in a further try or waiting for it
