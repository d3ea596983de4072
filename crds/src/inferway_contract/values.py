"""Values that both planes and both documents use: durations, sizes, names, paths.

Everything here is a plain function or a pattern; nothing knows Kubernetes or the network.
"""

import re
from functools import lru_cache
from typing import Final

DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""GEP-2257 durations (Gateway API): `1h30m`, `500ms`, `0s`. No sign, no fraction, no space."""

QUANTITY_PATTERN: Final = r"^[0-9]{1,12}(k|M|G|Ki|Mi|Gi)?$"
"""The whole-number forms of Kubernetes quantities, for sizes in bytes."""

# RFC 9110 5.6.2: token
TOKEN_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$"  # noqa: S105 - a token of RFC 9110, not a secret
# RFC 9110 5.5: no control characters, no white space at either end
FIELD_VALUE_PATTERN: Final = r"^([^\x00-\x20\x7f]([^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$"
# Gateway API's Hostname
HOSTNAME_PATTERN: Final = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
# RFC 1123 label, the form of most Kubernetes names; and a subdomain of them, also Gateway API's PreciseHostname
LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
# Visible ASCII without `?`, `#` and `\`: upstreams differ in their reading of other characters
_PATH: Final = r'/[!-"$->@-\[\]-~]*'
_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?"
_ADDRESS: Final = r"\[[0-9A-Fa-f:.]+\]"
REPLACEMENT_PATH_PATTERN: Final = f"^({_PATH})?$"
URL_PATTERN: Final = f"^https?://({_HOST}|{_ADDRESS})(:{_PORT})?({_PATH})?$"
"""An upstream: scheme, name or address, port and path; no user, no query, no fragment."""
CHECK_PATH_PATTERN: Final = r'^/[!-"$-\[\]-~]*$'
"""A path with its query, of visible ASCII; no fragment, no `\\`."""
FILE_NAME_PATTERN: Final = r"^[A-Za-z0-9_\-][A-Za-z0-9._\-]*$"
"""A key of a Secret that is also the name of a visible file: no slash, no dot in front."""
PREFIX_PATTERN: Final = r"^([!-~][ -~]*)?$"
"""Text in front of a credential: visible ASCII and spaces, but no space in front."""
ORIGIN_PATTERN: Final = rf"^(\*|null|https?://(\*|(\*\.)?{_HOST}|{_ADDRESS})(:{_PORT})?)$"
"""An origin of the Fetch standard, or one with `*` in place of its host or of the labels in front of it."""

_DURATION_PART = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_QUANTITY = re.compile(r"([0-9]{1,12})(k|M|G|Ki|Mi|Gi)?")
_FACTOR: Final = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}

NEVER_STORED: Final = frozenset((206, 304, 428, 429, 431, 511))
"""Statuses that no cache stores: parts of responses (RFC 9111 3), and answers to one client (RFC 6585)."""


# Thousands of rules have the same few durations and sizes.
@lru_cache(maxsize=1024)
def milliseconds(duration: str) -> int:
    """Convert a GEP-2257 duration to whole milliseconds; raise `ValueError` for anything else."""
    if re.fullmatch(DURATION_PATTERN[1:-1], duration) is None:
        raise ValueError(f"{duration!r} is not a duration such as 500ms, 30s or 1h30m")
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(duration))


@lru_cache(maxsize=1024)
def size(quantity: int | str) -> int:
    """Convert a Kubernetes quantity to whole bytes; raise `ValueError` for anything else."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a size such as 64Ki, 10Mi or 1048576")
    return int(match[1]) * _FACTOR[match[2]]
