"""The cached response, as stores keep it."""


class CacheEntry:
    """A stored response. `head`: status line, field lines and cache status, without the fields of one exchange (Age)."""

    __slots__ = ("age", "body", "expires", "head", "received", "size", "status")

    def __init__(self, status: int, head: bytes, body: bytes, age: float, received: float, expires: float) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.age = age  # seconds old when it was received
        self.received = received  # monotonic seconds
        self.expires = expires  # monotonic seconds
        self.size = len(head) + len(body)
