"""The client's address, with and without trusted proxies."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.messages import client_address
from inferway_dataplane.core.messages.client_address import TrustedProxies

TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"])

WALKS = {  # peer, lines of X-Forwarded-For -> client
    "no proxy, no header": ("203.0.113.9", [], "203.0.113.9"),
    "R5 forged by a stranger": ("203.0.113.9", [b"1.1.1.1"], "203.0.113.9"),
    "a proxy that says nothing": ("10.0.0.1", [], "10.0.0.1"),
    "an empty line": ("10.0.0.1", [b""], "10.0.0.1"),
    "one proxy": ("10.0.0.1", [b"1.1.1.1"], "1.1.1.1"),
    "R5 forged on the left": ("10.0.0.1", [b"6.6.6.6, 1.1.1.1"], "1.1.1.1"),
    "two proxies": ("10.0.0.1", [b"1.1.1.1, 10.0.0.2"], "1.1.1.1"),
    "two proxies, forged on the left": ("10.0.0.1", [b"6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
    "only proxies": ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    "R5 several lines are one list": ("10.0.0.1", [b"6.6.6.6", b"1.1.1.1, 10.0.0.3", b"10.0.0.2"], "1.1.1.1"),
    "R5 garbage on the left": ("10.0.0.1", [b"garbage, 1.1.1.1"], "1.1.1.1"),
    "R5 garbage on the right": ("10.0.0.1", [b"1.1.1.1, garbage"], "10.0.0.1"),
    "R5 garbage between proxies": ("10.0.0.1", [b"1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
    "R5 an empty member": ("10.0.0.1", [b"1.1.1.1, , 10.0.0.2"], "1.1.1.1"),
    "an empty member last": ("10.0.0.1", [b"1.1.1.1 , "], "1.1.1.1"),
    "an empty second line": ("10.0.0.1", [b"1.1.1.1", b""], "1.1.1.1"),
    "empty members between proxies": ("10.0.0.1", [b",6.6.6.6,,1.1.1.1", b"\t, 10.0.0.2 ,"], "1.1.1.1"),
    "empty members alone": ("10.0.0.1", [b" ,, ", b""], "10.0.0.1"),
    "R5 bytes that are no text": ("10.0.0.1", [b"1.1.1.1, \xff\xfe"], "10.0.0.1"),
    "R5 an obfuscated name": ("10.0.0.1", [b"_hidden"], "10.0.0.1"),
    "R5 a port": ("10.0.0.1", [b"1.1.1.1:4711"], "1.1.1.1"),
    "R5 IPv6": ("10.0.0.1", [b"2001:DB8:2::1"], "2001:db8:2::1"),
    "R5 IPv6 in brackets with a port": ("10.0.0.1", [b'"[2001:db8:2::1]:4711"'], "2001:db8:2::1"),
    "an IPv6 proxy": ("2001:db8:1::5", [b"1.1.1.1"], "1.1.1.1"),
    "an IPv6 stranger": ("2001:db8:2::5", [b"1.1.1.1"], "2001:db8:2::5"),
    "a mapped client": ("10.0.0.1", [b"::ffff:1.1.1.1"], "1.1.1.1"),
    "a mapped proxy in the list": ("10.0.0.1", [b"1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1"),
    "a mapped peer": ("::ffff:10.0.0.1", [b"1.1.1.1"], "1.1.1.1"),
    "a single trusted address": ("192.0.2.7", [b"1.1.1.1"], "1.1.1.1"),
    "its neighbour": ("192.0.2.8", [b"1.1.1.1"], "192.0.2.8"),
    "a zone": ("10.0.0.1", [b"fe80::1%eth0"], "fe80::1"),
    "a zone in brackets with a port": ("10.0.0.1", [b"[fe80::1%25eth0]:4711"], "fe80::1"),
    "two zones of one address": ("10.0.0.1", [b"6.6.6.6, fe80::1%1"], "fe80::1"),
    "blanks and tabs": ("10.0.0.1", [b"\t1.1.1.1 ,\t10.0.0.2 "], "1.1.1.1"),
    "R5 garbage after brackets": ("10.0.0.1", [b"[2001:db8:2::1]x"], "10.0.0.1"),
    "R5 brackets not closed": ("10.0.0.1", [b"[2001:db8:2::1"], "10.0.0.1"),
    "R5 garbage for a port": ("10.0.0.1", [b"1.1.1.1:x"], "10.0.0.1"),
}


@pytest.mark.parametrize(("peer", "lines", "client"), WALKS.values(), ids=WALKS)
def test_client_address_is_the_first_untrusted_from_the_right(peer: str, lines: list[bytes], client: str) -> None:
    assert TRUSTED.client(peer, lines) == client


def test_forwarded_for_is_ignored_without_trusted_proxies() -> None:
    assert not TrustedProxies([]).trusts("127.0.0.1")
    assert TrustedProxies([]).client("127.0.0.1", [b"1.1.1.1"]) == "127.0.0.1"


def test_trusted_ipv4_network_does_not_contain_ipv6() -> None:
    everyone = TrustedProxies(["0.0.0.0/0"])
    assert everyone.trusts("203.0.113.9")
    assert everyone.trusts("::ffff:203.0.113.9")
    assert not everyone.trusts("2001:db8::1")


@pytest.mark.parametrize("text", ["10.0.0.0/33", "example.com", "", "10.0.0.0/8/8"])
def test_invalid_trusted_network_is_rejected_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        TrustedProxies([text])


ADDRESSES = {
    "IPv4": ("192.0.2.1", "192.0.2.1"),
    "IPv4 and port": ("192.0.2.1:80", "192.0.2.1"),
    "IPv6": ("2001:DB8::1", "2001:db8::1"),
    "IPv6 in brackets": ("[2001:db8::1]", "2001:db8::1"),
    "IPv6 and port": ("[2001:db8::1]:80", "2001:db8::1"),
    "quoted": ('"192.0.2.1"', "192.0.2.1"),
    "mapped": ("::ffff:192.0.2.1", "192.0.2.1"),
    "a name": ("example.com", None),
    "a zone": ("fe80::1%eth0", "fe80::1"),
    "empty": ("", None),
    "octal": ("192.0.2.010", None),
    "three parts": ("192.0.2", None),
    "a network": ("192.0.2.0/24", None),
    "too long": ("1" * 1_000, None),
}


@pytest.mark.parametrize(("text", "parsed"), ADDRESSES.values(), ids=ADDRESSES)
def test_address_of_a_forwarded_for_entry_is_parsed(text: str, parsed: str | None) -> None:
    assert client_address.address(text) == (None if parsed is None else ip_address(parsed))


NETWORKS = {
    "one IPv4 client": ("192.0.2.7", 32, 64, "192.0.2.7"),
    "an IPv4 network": ("192.0.2.7", 24, 64, "192.0.2.0/24"),
    "R6 an IPv6 /64": ("2001:db8::1:2:3:4", 32, 64, "2001:db8::/64"),
    "one IPv6 client": ("2001:db8::1", 32, 128, "2001:db8::1"),
    "mapped": ("::ffff:192.0.2.7", 24, 64, "192.0.2.0/24"),
    "all of IPv4": ("192.0.2.7", 0, 64, "0.0.0.0/0"),
    "no address": ("", 32, 64, ""),
}


@pytest.mark.parametrize(("text", "v4", "v6", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_network_of_an_address_is_cut_to_its_prefix(text: str, v4: int, v6: int, expected: str) -> None:
    assert client_address.network(text, v4, v6) == expected


@given(
    st.lists(st.sampled_from([b"1.1.1.1", b"10.0.0.2", b"garbage", b"", b"2001:db8:1::5", b" 3.3.3.3:1 "]), max_size=6)
)
def test_client_address_agrees_with_a_naive_walk(entries: list[bytes]) -> None:
    chain = ["10.0.0.1"]
    for entry in reversed(entries):
        text = entry.decode().strip()
        text = text.partition(":")[0] if "." in text else text
        if not text:
            continue
        try:
            chain.append(str(ip_address(text)))
        except ValueError:
            break
    expected = next((one for one in chain if not TRUSTED.trusts(one)), chain[-1])
    assert TRUSTED.client("10.0.0.1", entries) == expected


@given(st.binary(max_size=60))
def test_client_address_from_any_bytes_is_an_address(line: bytes) -> None:
    ip_address(TRUSTED.client("10.0.0.1", [line]))


@pytest.mark.parametrize(
    ("hops", "forwarded_for", "client"),
    [
        (1, b"1.1.1.1, 2.2.2.2, 10.0.0.7", "2.2.2.2"),
        (2, b"1.1.1.1, 2.2.2.2, 10.0.0.7", "1.1.1.1"),
        (3, b"1.1.1.1, 2.2.2.2, 10.0.0.7", "1.1.1.1"),  # no further entries
        (2, b"garbage, 2.2.2.2, 10.0.0.7", "2.2.2.2"),
        (2, b"1.1.1.1, 10.0.0.8, 2.2.2.2, 10.0.0.7", "1.1.1.1"),  # trusted ones are not counted
    ],
)
def test_client_address_skips_the_configured_number_of_hops(hops: int, forwarded_for: bytes, client: str) -> None:
    assert TrustedProxies(["10.0.0.0/8"], hops).client("10.0.0.1", [forwarded_for]) == client
