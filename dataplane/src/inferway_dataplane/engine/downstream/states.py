"""The states of a client connection on the gateway's side, and the events that lead from one to another.

The table is complete: an event that may not happen in a state raises `LookupError`. What the client still sends is the
parser's business (`http1/request_parser.py`, `place`), except for its FIN, which may come in any state.
"""

from typing import Final

FRESH: Final = 0  # no response has ended
OPEN: Final = 1  # kept alive after a response
DEAF: Final = 2  # bytes were refused, and the refusal is still to be sent; no more is parsed
LAST: Final = 3  # the current response is the last one
LINGERING: Final = 4  # the last response and a FIN were sent; what the client still sends is dropped
CLOSING: Final = 5  # closed as soon as the client has taken what was written
CLOSED: Final = 6  # cut or gone

STATE_NAMES: Final = ("fresh", "open", "deaf", "last", "lingering", "closing", "closed")

RESPONDED: Final = 0  # a response ended that keeps the connection
REFUSED: Final = 1  # bytes cannot become a request
STOPPED: Final = 2  # the process stops while a response is under way
LINGERED: Final = 3  # a response ended that closes
CLOSED_BY_US: Final = 4  # closed in order
LOST: Final = 5  # cut or gone

EVENT_NAMES: Final = ("responded", "refused", "stopped", "lingered", "closed by us", "lost")

_ENDS: Final = {CLOSED_BY_US: CLOSING, LOST: CLOSED}
_BEFORE_THE_LAST: Final = {STOPPED: LAST, LINGERED: LINGERING, **_ENDS}

TRANSITIONS: Final[tuple[dict[int, int], ...]] = (
    {RESPONDED: OPEN, REFUSED: DEAF, **_BEFORE_THE_LAST},  # FRESH
    {RESPONDED: OPEN, REFUSED: DEAF, **_BEFORE_THE_LAST},  # OPEN
    {RESPONDED: DEAF, **_BEFORE_THE_LAST},  # DEAF: until the refusal is sent, which closes
    {REFUSED: LAST, **_BEFORE_THE_LAST},  # LAST
    _ENDS,  # LINGERING
    {LINGERED: CLOSING, **_ENDS},  # CLOSING
    {RESPONDED: CLOSED, LINGERED: CLOSED, CLOSED_BY_US: CLOSED, LOST: CLOSED},  # CLOSED
)


def after(state: int, event: int) -> int:
    """The state after an event. Raises `LookupError` if the event may not happen in this state."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise LookupError(f"{EVENT_NAMES[event]} in state {STATE_NAMES[state]}") from None
