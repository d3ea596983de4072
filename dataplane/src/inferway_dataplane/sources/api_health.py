"""Whether the API server answers, told once when that changes and not with every attempt."""

import logging
from typing import Final

from inferway_dataplane.sources.api import Unavailable

log = logging.getLogger("inferway.cluster")

_MEND: Final = (
    "nothing here, it is asked until it answers: see that it runs, and that NetworkPolicies let this pod reach it"
)


class ApiHealth:
    """What all who talk to the API server know of it together."""

    def __init__(self) -> None:
        self._troubles: dict[str, Unavailable] = {}

    @property
    def trouble(self) -> str:
        """What is wrong with it; "" = it answers."""
        error = next(iter(self._troubles.values()), None)
        if error is None:
            return ""
        if error.mend:
            return f"the API server refuses what this pod asks for: {error}: {error.mend}"
        return f"the API server cannot be reached: {error}"

    def failed(self, who: str, error: Unavailable) -> None:
        """An attempt of `who` failed."""
        if not self._troubles:
            what = "refuses what this pod asks for" if error.mend else "does not answer"
            log.warning(
                "the API server %s, what is served goes on",
                what,
                extra={"what": who, "error": str(error), "mend": error.mend or _MEND},
            )
        self._troubles[who] = error

    def answered(self, who: str) -> None:
        """An attempt of `who` worked."""
        if self._troubles.pop(who, None) is not None and not self._troubles:
            log.info("the API server answers again")
