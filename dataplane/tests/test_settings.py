"""Settings that are parsed by ourselves."""

import pytest

from inferway_dataplane.settings import Settings


@pytest.mark.parametrize(("text", "found"), {"": "", "10.96.0.1": "10.96.0.1", "FD00:0::1": "fd00::1"}.items())
def test_api_server_setting_is_normalised_to_an_address(text: str, found: str) -> None:
    assert Settings(api_server=text).api_server == found


@pytest.mark.parametrize("text", ["kubernetes.default", "10.96.0.1:443", "https://10.96.0.1"])
def test_api_server_setting_rejects_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        Settings(api_server=text)


@pytest.mark.parametrize(
    ("listen", "admin"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "[::]:8080"),
        ("[::1]:8080", "[0:0::1]:8080"),
        ("localhost:8080", "127.0.0.1:8080"),
    ],
)
def test_one_port_for_both_listeners_is_refused(listen: str, admin: str) -> None:
    with pytest.raises(ValueError, match="have the same port: give one of them another port"):
        Settings(listen=listen, admin=admin)


@pytest.mark.parametrize("admin", ["127.0.0.1:8081", "127.0.0.2:8080", "[::1]:8080"])
def test_different_addresses_of_listeners_are_accepted(admin: str) -> None:
    assert Settings(listen="127.0.0.1:8080", admin=admin).admin == admin
    assert Settings(listen="127.0.0.1:0", admin="127.0.0.1:0").listen == "127.0.0.1:0"
