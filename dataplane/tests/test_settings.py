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
