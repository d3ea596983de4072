"""The client's address: the peer's, or X-Forwarded-For from a trusted proxy."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST: Final = 64  # characters of an address; longer texts are refused, which bounds the memo in bytes


def address(text: str) -> Address | None:
    """Parse an address, with or without a port, brackets or a zone; IPv4-mapped IPv6 becomes IPv4."""
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
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        # A zone names an interface of the sender (RFC 4007 11): the address without it is the client's.
        return parsed.ipv4_mapped or (parsed if parsed.scope_id is None else IPv6Address(int(parsed)))
    return parsed


@lru_cache(maxsize=8192)
def network(text: str, prefix_v4: int, prefix_v6: int) -> str:
    """Return the client's network for a rate-limit key: `192.0.2.7` or `2001:db8::/64`."""
    parsed = address(text)
    if parsed is None:
        return text
    prefix = prefix_v4 if parsed.version == 4 else prefix_v6
    if prefix == parsed.max_prefixlen:
        return str(parsed)
    return str(ip_network((parsed, prefix), strict=False))


class TrustedProxies:
    """Networks of proxies whose X-Forwarded-For is trusted."""

    def __init__(self, networks: Sequence[str], hops: int = 1) -> None:
        """`hops`: take the N-th untrusted address from the right. `ValueError` names a malformed CIDR."""
        # More than 1 hop: proxies of unknown addresses are in front, such as a CDN's.
        self._hops = hops
        self._networks: tuple[Network, ...] = tuple(ip_network(text, strict=False) for text in networks)

    def trusts(self, text: str) -> bool:
        """Whether this address belongs to a trusted proxy."""
        parsed = address(text)
        return parsed is not None and any(parsed.version == net.version and parsed in net for net in self._networks)

    def client(self, peer: str, forwarded_for: Sequence[bytes]) -> str:
        """Walk X-Forwarded-For from the right to the client's address; several header lines form one list.

        Empty elements are ignored (RFC 9110 5.6.1.2).
        """
        nearest = peer
        left = self._hops
        for entry in reversed(b",".join(forwarded_for).split(b",")):
            if not entry.strip(b" \t"):
                continue
            if not self.trusts(nearest):
                left -= 1
                if not left:
                    return nearest
            parsed = address(entry.decode("latin-1"))
            if parsed is None:
                return nearest  # the entries to the left of a malformed one come from an unknown sender
            nearest = str(parsed)
        return nearest
