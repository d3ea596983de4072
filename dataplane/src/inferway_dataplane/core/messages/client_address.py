"""Who the client is: the peer, unless the peer is a proxy that we trust to say so."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


_LONGEST: Final = 64
"""Characters; nothing longer is an address, and the memo of what clients write must stay small."""


def address(text: str) -> Address | None:
    """The address that is written there, with IPv4-mapped IPv6 as IPv4; a port or brackets may stand around it."""
    return _address(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=8192)
def _address(text: str) -> Address | None:
    text = text.strip(" \t").strip('"')
    after = ""
    if text.startswith("["):
        text, closed, after = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        after = colon + port
    if after and not (after.startswith(":") and after[1:].isdecimal()):
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        return found.ipv4_mapped or found
    return found


@lru_cache(maxsize=8192)
def network(text: str, prefix_v4: int, prefix_v6: int) -> str:
    """The client's network as a limit counts it: `192.0.2.7` or `2001:db8::/64`."""
    found = address(text)
    if found is None:
        return text
    prefix = prefix_v4 if found.version == 4 else prefix_v6
    if prefix == found.max_prefixlen:
        return str(found)
    return str(ip_network((found, prefix), strict=False))


class TrustedProxies:
    """Networks whose X-Forwarded-For is believed."""

    def __init__(self, networks: Sequence[str], hops: int = 1) -> None:
        """`hops`: the client is the so-manieth address from the right that is not trusted (more than 1 where proxies of
        unknown addresses, such as a CDN's, stand before ours). `ValueError` for what is no CIDR, naming it."""
        self._hops = hops
        self._networks: tuple[Network, ...] = tuple(ip_network(text, strict=False) for text in networks)

    def trusts(self, text: str) -> bool:
        """Whether this address is one of ours."""
        found = address(text)
        return found is not None and any(found.version == net.version and found in net for net in self._networks)

    def client(self, peer: str, forwarded_for: Sequence[bytes]) -> str:
        """The client's address, walking X-Forwarded-For from the right; the last good one where there are not enough.

        Several header lines are one list. Garbage ends the walk at the last good address: what stands left of it was
        written by somebody we do not know.
        """
        nearest = peer
        left = self._hops
        for entry in reversed(b",".join(forwarded_for).split(b",")):
            if not self.trusts(nearest):
                left -= 1
                if not left:
                    return nearest
            found = address(entry.decode("latin-1"))
            if found is None:
                return nearest
            nearest = str(found)
        return nearest
