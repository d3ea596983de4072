"""Which addresses a gateway may be sent to. The data plane checks the connected address again; this is said earlier."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_API_SERVER: Final = re.compile(r"kubernetes(\.default(\.svc(\..+)?)?)?")
# RFC 6052: the IPv4 address at the end of these is where a NAT64 gateway goes.
_NAT64: Final = 0x0064FF9B << 96


def objection(host: str, *, standalone: bool) -> str | None:
    """Why this host is refused, or None. Of names only the API server's: what others lead to is seen when it is used."""
    try:
        found = ip_address(host)
    except ValueError:
        if not standalone and _API_SERVER.fullmatch(host.lower().rstrip(".")):
            return "it is the API server, which is never a backend"
        return None
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        return "an address with a zone means another host on every machine"
    meant = _meant(found)
    if meant.is_link_local:
        return "link-local addresses are never allowed: metadata services answer there"
    if meant.is_multicast:
        return "a multicast address is no backend"
    if not standalone and (meant.is_loopback or meant.is_unspecified):
        return "loopback addresses are not allowed in a cluster: they are the data plane itself"
    return None


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if int(address) >> 32 == _NAT64 >> 32:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
