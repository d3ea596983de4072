"""Fields that only trusted proxies may send: scheme and authority of a head, families, look-alikes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.messages import request_head, request_target
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.sender import Sender

CLAIMS = ClientClaims()
SENDERS = {
    (scheme, is_trusted): Sender(scheme, CLAIMS, is_trusted=is_trusted)
    for scheme in (b"http", b"https")
    for is_trusted in (False, True)
}

Lines = tuple[tuple[bytes, bytes], ...]


def read(
    *fields: tuple[bytes, bytes],
    host: bytes | None = b"a.example",
    scheme: bytes = b"http",
    is_trusted: bool = True,
    target: bytes = b"/",
    sender: Sender | None = None,
) -> RequestHead:
    lines = [*fields] if host is None else [(b"Host", host), *fields]
    head = request_head.read_request(b"GET", lines, host is not None, sender or SENDERS[scheme, is_trusted])
    assert isinstance(head, RequestHead), head
    assert request_target.locate(head, target) is None
    return head


# --- scheme and authority ---------------------------------------------------------------------------------------------

PROTO, FOR_HOST, PORT = b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port"

USED = {  # fields of a trusted proxy, Host -> scheme and authority that the client used
    "nothing": ((), b"a.example", b"http", b"a.example"),
    "https": (((PROTO, b"https"),), b"a.example", b"https", b"a.example"),
    "upper case": (((PROTO, b"HTTPS"),), b"A.Example", b"https", b"a.example"),
    "websocket": (((PROTO, b"wss"),), b"a.example", b"https", b"a.example"),
    "garbage for a scheme": (((PROTO, b"ftp"),), b"a.example", b"http", b"a.example"),
    "an empty scheme": (((PROTO, b""),), b"a.example", b"http", b"a.example"),
    "a list: the last": (((PROTO, b"http, https"),), b"a.example", b"https", b"a.example"),
    "two lines are one list": (((PROTO, b"http"), (PROTO, b"https")), b"a.example", b"https", b"a.example"),
    "empty elements": (((PROTO, b"https, ,"), (PROTO, b"")), b"a.example", b"https", b"a.example"),
    "garbage last": (((PROTO, b"https, ftp"),), b"a.example", b"http", b"a.example"),
    "a public host": (((FOR_HOST, b"Shop.example"),), b"gateway.internal:8080", b"http", b"shop.example"),
    "a public host with a port": (((FOR_HOST, b"shop.example:81"),), b"gateway.internal", b"http", b"shop.example:81"),
    "its scheme's default port": (((FOR_HOST, b"b:443"), (PROTO, b"https")), b"a.example", b"https", b"b"),
    "the other scheme's default port": (((FOR_HOST, b"b:80"), (PROTO, b"https")), b"a.example", b"https", b"b:80"),
    "an empty host": (((FOR_HOST, b""),), b"a.example:81", b"http", b"a.example:81"),
    "garbage for a host": (((FOR_HOST, b"evil/x"),), b"a.example", b"http", b"a.example"),
    "a list of hosts: the last": (((FOR_HOST, b"evil.example, b.example"),), b"a.example", b"http", b"b.example"),
    "IPv6": (((FOR_HOST, b"[2001:DB8::1]:81"),), b"a.example", b"http", b"[2001:db8::1]:81"),
    "a port": (((PORT, b"8443"), (PROTO, b"https")), b"a.example", b"https", b"a.example:8443"),
    "a port for Host's": (((PORT, b"443"), (PROTO, b"https")), b"gateway.internal:8080", b"https", b"gateway.internal"),
    "a port and a host": (((PORT, b"81"), (FOR_HOST, b"b.example")), b"a.example:82", b"http", b"b.example:81"),
    "a host's own port first": (((PORT, b"81"), (FOR_HOST, b"b.example:83")), b"a.example", b"http", b"b.example:83"),
    "garbage for a port": (((PORT, b"443x"),), b"a.example", b"http", b"a.example"),
    "port 0": (((PORT, b"0"),), b"a.example:81", b"http", b"a.example:81"),
    "a port that is too large": (((PORT, b"65536"),), b"a.example:81", b"http", b"a.example:81"),
    "HTTP/1.0 without a host": ((), None, b"http", b""),
    "HTTP/1.0 with a public host": (((FOR_HOST, b"b.example"),), None, b"http", b"b.example"),
    "a final dot": ((), b"a.example.", b"http", b"a.example"),
    "an empty port": ((), b"a.example:", b"http", b"a.example"),
    "a port with zeros": ((), b"a.example:0080", b"http", b"a.example"),
}


@pytest.mark.parametrize(("fields", "host", "scheme", "authority"), USED.values(), ids=USED)
def test_trusted_proxy_says_what_the_client_used(
    fields: Lines, host: bytes | None, scheme: bytes, authority: bytes
) -> None:
    head = read(*fields, host=host)
    assert (head.scheme, head.authority) == (scheme, authority)


@pytest.mark.parametrize(("fields", "host"), [row[:2] for row in USED.values()], ids=USED)
@pytest.mark.parametrize("scheme", [b"http", b"https"])
def test_stranger_changes_neither_scheme_nor_authority(fields: Lines, host: bytes | None, scheme: bytes) -> None:
    head, plain = (read(*lines, host=host, scheme=scheme, is_trusted=False) for lines in (fields, ()))
    assert (head.scheme, head.authority) == (scheme, plain.authority)


def test_public_host_does_not_select_the_route() -> None:
    head = read((FOR_HOST, b"b.example"), host=b"gateway.internal:8080")
    assert (head.host, head.raw_host) == (b"gateway.internal", b"gateway.internal:8080")


@pytest.mark.parametrize("is_trusted", [False, True])
def test_absolute_target_sets_the_authority_and_no_scheme(is_trusted: bool) -> None:
    head = read(host=b"a.example:81", target=b"https://B.example:82/x", is_trusted=is_trusted)
    assert (head.scheme, head.authority, head.host) == (b"http", b"b.example:82", b"b.example")


def test_forwarded_host_wins_over_an_absolute_target() -> None:
    head = read((FOR_HOST, b"c.example"), target=b"http://b.example/x")
    assert (head.authority, head.host) == (b"c.example", b"b.example")


# --- families -----------------------------------------------------------------------------------------------------------

CLAIMED_NAMES = """
X-Forwarded X-Forwarded-For X-Forwarded-Proto X-Forwarded-Protocol X-Forwarded-Scheme X-Forwarded-Ssl X-Forwarded-Host
X-Forwarded-Server X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-By X-Forwarded-User X-Forwarded-Client-Cert
X-Forwarded-Tls-Client-Cert X-Forwarded-Uri X-Forwarded-Method Forwarded Forwarded-For Forwarded-Proto X-Forward-For
X-Real-IP X-Real-Port X-Client-IP Client-IP X-Cluster-Client-IP True-Client-IP Fastly-Client-IP Fly-Client-IP
CF-Connecting-IP CF-Connecting-IPv6 CF-Visitor X-ProxyUser-Ip X-Azure-ClientIP X-Azure-SocketIP
X-NF-Client-Connection-IP X-Vercel-Forwarded-For X-AppEngine-User-IP X-Originating-IP X-Remote-IP X-Remote-Addr
X-Remote-User Remote-User Remote-Addr WL-Proxy-Client-IP WL-Proxy-SSL X-Envoy-External-Address X-Envoy-Original-Path
X-Original-URL X-Original-URI X-Original-Host X-Original-Method X-Original-Forwarded-For X-Rewrite-URL X-Replaced-Path
X-Host X-HTTP-Host-Override X-HTTP-DestinationURL Front-End-Https X-Url-Scheme X-Scheme CloudFront-Forwarded-Proto
CloudFront-Viewer-Address X-Client-Cert X-Client-Cert-Chain Client-Cert X-Client-DN X-Client-Verify X-SSL-Client-Cert
X-SSL-Client-Verify X-SSL-Client-S-DN SSL-Client-Cert SSL-Client-Verify X-ARR-ClientCert X-ARR-SSL
X-Amzn-Mtls-Clientcert-Subject X-Auth-Request-User X-Amzn-Oidc-Identity X-MS-Client-Principal-Name
X-Goog-Authenticated-User-Email X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Accel-Mapping X-Sendfile-Type
"""
KEPT_NAMES = """
Accept User-Agent X-Api-Key X-Goog-Api-Key Anthropic-Version OpenAI-Organization X-Stainless-Lang X-Request-Method
X-Tenant Host-Name Referer X-Forward X-Hostname X-Requested-With Sec-WebSocket-Key Via X-Amz-Security-Token Remote
X_Tenant Mcp-Session-Id Idempotency-Key X-Client-Name X-Ms-Client-Request-Id Tracestate Prefer Ocp-Apim-Subscription-Key
"""
CLAIMED, KEPT = CLAIMED_NAMES.split(), KEPT_NAMES.split()


def spellings(name: bytes) -> set[bytes]:
    return {
        name, name.lower(), name.upper(), name.replace(b"-", b"_"), name.replace(b"-", b"."), name.replace(b"-", b"_", 1)
    }  # fmt: skip


@pytest.mark.parametrize("name", CLAIMED)
def test_claim_of_a_stranger_ends_in_every_spelling(name: str) -> None:
    for spelled in spellings(name.encode()):
        head = read((spelled, b"forged"), is_trusted=False)
        assert head.fields == [(b"Host", b"a.example")], spelled
        assert head.passed == []
        assert head.value(spelled.lower()) is None


@pytest.mark.parametrize("name", KEPT)
def test_ordinary_field_of_a_stranger_is_kept(name: str) -> None:
    assert read((name.encode(), b"v"), is_trusted=False).passed == [(name.encode(), b"v")]


@pytest.mark.parametrize("name", CLAIMED)
def test_trusted_proxy_keeps_its_claims_but_no_look_alikes(name: str) -> None:
    field = (name.encode(), b"v")
    written_here = name.lower() in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")
    assert read(field).passed == ([] if written_here else [field])
    assert read(field).value(name.lower().encode()) == b"v"
    if "-" in name and not name.startswith("SSL"):
        assert read((name.replace("-", "_").encode(), b"v")).fields == [(b"Host", b"a.example")]


def test_mod_ssl_names_of_a_trusted_proxy_are_kept() -> None:
    field = (b"SSL_CLIENT_S_DN", b"CN=a")
    assert read(field).passed == [field]
    assert read(field, is_trusted=False).fields == [(b"Host", b"a.example")]


@given(st.sampled_from(CLAIMED), st.randoms(use_true_random=False), st.binary(max_size=9))
def test_claim_in_any_spelling_leaves_the_head_as_without(name: str, random: object, value: bytes) -> None:
    choose = random.choice  # type: ignore[attr-defined]
    spelled = "".join(choose("-_.") if one == "-" else choose((one.lower(), one.upper())) for one in name).encode()
    with_claim, without = read((spelled, value), is_trusted=False), read(is_trusted=False)
    for attribute in ("fields", "passed", "scheme", "authority", "host"):
        assert getattr(with_claim, attribute) == getattr(without, attribute)
    for attribute in ("forwarded_for", "forwarded_host", "forwarded_port", "credentials", "caching", "has_dropped"):
        assert getattr(with_claim.block, attribute) == getattr(without.block, attribute)


# --- the setting ------------------------------------------------------------------------------------------------------


def sender(*proxy_fields: str, is_trusted: bool = False) -> Sender:
    return Sender(b"http", ClientClaims(proxy_fields), is_trusted=is_trusted)


def test_setting_adds_names_and_patterns() -> None:
    of_setting = sender("X-Edge-*", "*-Country", "x-verified", "*tenant*")
    for name in (b"X-Edge-Id", b"x_edge_id", b"Geo-Country", b"X-Verified", b"X-Tenant-Id"):
        assert read((name, b"v"), sender=of_setting).passed == [], name
        assert read((name, b"v"), sender=sender()).passed == [(name, b"v")]
    assert read((b"X-Verified-Too", b"v"), sender=of_setting).passed == [(b"X-Verified-Too", b"v")]
    trusted = sender("x-verified", is_trusted=True)
    assert read((b"X-Verified", b"v"), sender=trusted).passed == [(b"X-Verified", b"v")]
    assert read((b"X_Verified", b"v"), sender=trusted).passed == []


def test_setting_makes_exceptions() -> None:
    of_setting = sender("!X-Http-Method-Override", "!*-client-ip")
    for name in (b"X-HTTP-Method-Override", b"True-Client-IP"):
        assert read((name, b"v"), sender=of_setting).passed == [(name, b"v")]
    assert read((b"X-HTTP-Method", b"v"), sender=of_setting).passed == []


BAD = {
    "": "not a field name", "*": "not a field name", "**": "not a field name", "!": "not a field name",
    "a b": "not a field name", "a:": "not a field name", "x-*-y": "not a field name", "ä": "not a field name",
    "Host": "covers host", "content-*": "covers content-length", "*n": "covers connection", "TE": "covers te",
    "!X-Forwarded-For": "covers x-forwarded-for", "!x-forwarded-*": "covers x-forwarded-for",
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "why"), BAD.items(), ids=BAD)
def test_setting_refuses_what_cannot_work(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ClientClaims([pattern])
