"""The bytes of all request bodies that are kept for a further try, and the cap on them."""


class KeptBodies:
    """One for the process. Each `enter` that returns True needs a `leave` of as many bytes."""

    __slots__ = ("bytes", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0

    def enter(self, size: int) -> bool:
        """Count bytes in; False = they exceed the cap."""
        if self.bytes + size > self.most:
            return False
        self.bytes += size
        return True

    def leave(self, size: int) -> None:
        """Count bytes out."""
        self.bytes -= size
