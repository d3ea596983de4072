"""Which hosts a gateway may connect to. The compiler asks for the host as written, a pod for the connected address."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

API_SERVER_OBJECTION: Final = "it is the API server, which is never a backend"

_API_SERVER: Final = re.compile(r"kubernetes(\.default(\.svc(\..+)?)?)?")
# RFC 6052: a NAT64 gateway connects to the IPv4 address at the end of these.
_NAT64: Final = 0x0064FF9B << 64


def objection(host: str, *, standalone: bool, api_server: str = "") -> str | None:
    """Return why the host is not allowed, or None. A name is checked only against those of the API server.

    `api_server`: its address, where the caller knows it.
    """
    try:
        written = ip_address(host)
    except ValueError:
        is_api_server = not standalone and _API_SERVER.fullmatch(host.lower().rstrip("."))
        return API_SERVER_OBJECTION if is_api_server else None
    if isinstance(written, IPv6Address) and written.scope_id is not None:
        return "an address with a zone is another host on every machine"
    address = _reached(written)
    if address.is_link_local:
        return "link-local addresses are never allowed: metadata services answer there"
    if address.is_multicast:
        return "a multicast address cannot be a backend"
    if address.is_unspecified:
        return "the unspecified address is never allowed: write the address of a host"
    if standalone:
        return None
    if address.is_loopback:
        return "loopback addresses are not allowed in a cluster: they are the data plane itself"
    return API_SERVER_OBJECTION if str(address) == api_server else None


def reached(host: str) -> str:
    """Return the address that a connection to this one leads to, in its one spelling; a name as it is."""
    try:
        return str(_reached(ip_address(host)))
    except ValueError:
        return host


def _reached(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if int(address) >> 32 == _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
