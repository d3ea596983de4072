"""Whether the API server answers, told once when that changes and not with every attempt."""

import logging

log = logging.getLogger("inferway.cluster")


class Contact:
    """What all who talk to the API server know of it together."""

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """Why it cannot be reached; "" = it answers."""
        return next(iter(self._troubles.values()), "")

    def failed(self, who: str, error: str) -> None:
        """An attempt of `who` failed."""
        if not self._troubles:
            log.warning("the API server does not answer, what is served goes on", extra={"what": who, "error": error})
        self._troubles[who] = error

    def answered(self, who: str) -> None:
        """An attempt of `who` worked."""
        if self._troubles.pop(who, None) is not None and not self._troubles:
            log.info("the API server answers again")
