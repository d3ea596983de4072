"""Which addresses an upstream connection may go to, whatever name led there."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

Policy = Literal["Cluster", "Standalone"]

# RFC 6052: a NAT64 gateway goes to the IPv4 address at the end of these.
_NAT64: Final = 0x0064FF9B << 64


def is_allowed(address: str, policy: Policy, api_server: str = "") -> bool:
    """Link-local addresses (cloud metadata at 169.254.169.254) never; loopback and the API server only outside a cluster.

    `api_server`: its address as pods are told it; empty or a name = nothing to compare with.
    """
    found = _meant(ip_address(address))
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return False
    if policy == "Standalone":
        return True
    return not found.is_loopback and str(found) != api_server


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if int(address) >> 32 == _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
