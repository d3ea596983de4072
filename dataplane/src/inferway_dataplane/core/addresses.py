"""Which addresses an upstream connection may go to, whatever name led there."""

from ipaddress import ip_address
from typing import Literal

Policy = Literal["Cluster", "Standalone"]


def is_allowed(address: str, policy: Policy) -> bool:
    """Link-local addresses (cloud metadata at 169.254.169.254) never; loopback only outside a cluster."""
    found = ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None:
        found = mapped
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return False
    return policy == "Standalone" or not found.is_loopback
