"""Settings that are parsed by ourselves."""

import pytest

from inferway_dataplane.settings import address_and_port

ADDRESSES = {
    "127.0.0.1:8080": ("127.0.0.1", 8080),
    "[::1]:0": ("::1", 0),
    "[::]:65535": ("::", 65535),
    "gateway:80": ("gateway", 80),
}


@pytest.mark.parametrize(("text", "found"), ADDRESSES.items(), ids=ADDRESSES)
def test_address_and_port(text: str, found: tuple[str, int]) -> None:
    assert address_and_port(text) == found


# An empty host would listen on all addresses, and nobody has asked for that.
@pytest.mark.parametrize("text", ["", ":80", "[]:80", "[[:80", "a", "a:", "a:x", "a:-1", "a:65536", "a:\u00b2"])
def test_what_is_no_address_and_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not address:port"):
        address_and_port(text)
