"""What messages show about their connection: how long it may be unused, and whether it carries a user's identity."""

from typing import Final

from inferway_dataplane.core.messages.field_kinds import Fields

_MARGIN: Final = 1.0
"""Seconds that a connection is closed before its server does: a request that crosses a FIN on its way is lost."""

_LONGEST: Final = 300.0
"""Seconds that a server may ask for; a longer time is cut to this."""

_SCHEMES: Final = (b"ntlm", b"negotiate")
_CHALLENGES: Final = (b"www-authenticate", b"proxy-authenticate")


def keep_idle(value: bytes, earlier: float | None = None) -> float | None:
    """Read `timeout` of a Keep-Alive field (RFC 2068 19.7.1.1) into the seconds for which reuse is safe.

    `earlier`: of a field before this one; the shorter time counts. None = the field has no readable timeout.
    """
    for parameter in value.split(b","):
        name, _, text = parameter.partition(b"=")
        text = text.strip(b' \t"')
        if name.strip(b" \t").lower() == b"timeout" and text.isdigit():
            # More digits are cut anyway, and parsing a number of a thousand digits is expensive.
            seconds = min(float(text), _LONGEST + _MARGIN) if len(text) <= 9 else _LONGEST + _MARGIN
            safe = max(seconds - _MARGIN, 0.0)
            earlier = safe if earlier is None else min(earlier, safe)
    return earlier


def is_negotiated(value: bytes) -> bool:
    """Whether credentials authenticate the connection and not the request (RFC 4559 6)."""
    return value[:9].lower().startswith(_SCHEMES)


def is_negotiating(fields: Fields) -> bool:
    """Whether a response asks for such credentials: among the challenges of any of its fields (RFC 9110 11.6.1)."""
    return any(
        is_negotiated(challenge.lstrip(b" \t"))
        for name, value in fields
        if name.lower() in _CHALLENGES
        for challenge in value.split(b",")
    )
