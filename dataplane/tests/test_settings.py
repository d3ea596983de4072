"""Settings that are parsed by ourselves."""

import pytest

from inferway_dataplane.settings import Settings, address_and_port

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


@pytest.mark.parametrize(("text", "found"), {"": "", "10.96.0.1": "10.96.0.1", "FD00:0::1": "fd00::1"}.items())
def test_the_api_server_is_an_address_as_upstreams_are_compared_with_it(text: str, found: str) -> None:
    assert Settings(api_server=text).api_server == found


@pytest.mark.parametrize("text", ["kubernetes.default", "10.96.0.1:443", "https://10.96.0.1"])
def test_a_name_of_the_api_server_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        Settings(api_server=text)
