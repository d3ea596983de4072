"""TLS towards upstreams: the certificate is verified for the name in the URL, with any address."""

from __future__ import annotations

import datetime
import http.client
import ssl

import pytest
import trustme

from inferway_fakes.fake_dns import resolving
from inferway_fakes.upstream import Close, Drop, Pause, Upstream
from inferway_fakes.yaml_builders import route, rule
from inferway_testing.until import until

NAME = "models.test"
NOW = datetime.datetime.now(tz=datetime.timezone.utc)  # noqa: UP017 - as trustme has it


@pytest.fixture(scope="module")
def authority():
    """Create the authority that the gateway trusts."""
    return trustme.CA()


@pytest.fixture
def upstream_ca(authority, tmp_path):
    """Write its certificate to a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def names():
    """Resolve names to this machine."""
    with resolving() as fake_names:
        fake_names.resolve(NAME, "127.0.0.1")
        yield fake_names


class Server(Upstream):
    """An upstream with TLS that records its handshakes."""

    def __init__(self, certificate, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = versions
        context.set_alpn_protocols(["h2", "http/1.1"])
        certificate.configure_cert(context)
        context.sni_callback = self._note
        super().__init__(tls=context)
        self.asked_for = []
        self.spoken = []

    def _note(self, connection, name, context):
        self.asked_for.append(name)
        self._last = connection

    @property
    def protocol(self):
        """Return the ALPN protocol of the last handshake."""
        return self._last.selected_alpn_protocol()


def text(port, name=NAME, *parts):
    """Return a route to this upstream, by TLS."""
    return route(rule(*parts, f'backendRefs: [{{url: "https://{name}:{port}"}}]'))


def test_upstream_with_a_valid_certificate_is_used(serve, authority, upstream_ca):
    with Server(authority.issue_cert(NAME)) as upstream:
        gateway = serve(text(upstream.port), upstream_ca=upstream_ca)
        assert [gateway.request().status for _ in range(3)] == [200] * 3
        assert upstream.asked_for == [NAME]  # once: the connection is kept
        assert upstream.protocol == "http/1.1"
        assert upstream.seen[0].header("host") == f"{NAME}:{upstream.port}"
        assert upstream.seen[0].header("x-forwarded-proto") == "http"  # the client's scheme


def test_certificate_for_an_address_is_valid_without_sni(serve, authority, upstream_ca):
    with Server(authority.issue_cert("127.0.0.1")) as upstream:
        gateway = serve(text(upstream.port, "127.0.0.1"), upstream_ca=upstream_ca)
        assert gateway.request().status == 200
        assert upstream.asked_for == [None]  # RFC 6066 3: names only


def assert_tls_failed(serve, certificate, upstream_ca, **server):
    with Server(certificate, **server) as upstream:
        gateway = serve(text(upstream.port), upstream_ca=upstream_ca)
        answer = gateway.request()
        assert (answer.status, answer.code) == (502, "tls_failed")
        assert gateway.metric("upstream_errors_total", reason="tls_failed") == 1
        assert not upstream.seen
        until(lambda: gateway.plane.gateway.pools.limiter.taken == 0, "its seat to be free")


@pytest.mark.case("U1")
def test_certificate_for_another_name_is_rejected(serve, authority, upstream_ca):
    assert_tls_failed(serve, authority.issue_cert("other.test"), upstream_ca)


@pytest.mark.case("U1")
def test_certificate_for_the_address_of_a_name_is_rejected(serve, authority, upstream_ca):
    assert_tls_failed(serve, authority.issue_cert("127.0.0.1"), upstream_ca)


@pytest.mark.case("U1")
def test_certificate_of_an_unknown_authority_is_rejected(serve, upstream_ca):
    assert_tls_failed(serve, trustme.CA().issue_cert(NAME), upstream_ca)


@pytest.mark.case("U1")
def test_private_authority_without_the_setting_is_rejected(serve, authority):
    assert_tls_failed(serve, authority.issue_cert(NAME), "")


@pytest.mark.case("U1")
def test_expired_certificate_is_rejected(serve, authority, upstream_ca):
    yesterday = NOW - datetime.timedelta(days=1)
    assert_tls_failed(serve, authority.issue_cert(NAME, not_after=yesterday), upstream_ca)


@pytest.mark.case("U1")
def test_certificate_not_yet_valid_is_rejected(serve, authority, upstream_ca):
    assert_tls_failed(serve, authority.issue_cert(NAME, not_before=NOW + datetime.timedelta(days=1)), upstream_ca)


@pytest.mark.case("U1")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_tls_versions_of_an_upstream_are_rejected(serve, authority, upstream_ca):
    assert_tls_failed(
        serve, authority.issue_cert(NAME), upstream_ca, versions=(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    )


def test_upstream_with_tls_1_2_is_used(serve, authority, upstream_ca):
    with Server(authority.issue_cert(NAME), versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)) as upstream:
        assert serve(text(upstream.port), upstream_ca=upstream_ca).request().status == 200


def test_health_check_verifies_the_certificate(serve, authority, upstream_ca):
    check = "healthCheck: {path: /healthz, interval: 1s, timeout: 1s, unhealthyThreshold: 1}"
    with Server(authority.issue_cert(NAME)) as good, Server(authority.issue_cert("other.test")) as bad:
        gateway = serve(text(good.port, NAME, check), upstream_ca=upstream_ca)
        until(lambda: any(seen.target == "/healthz" for seen in good.seen), "a check")
        assert gateway.metric("backend_healthy") == 1
        assert set(good.asked_for) == {NAME}
        assert good.seen[0].header("host") == f"{NAME}:{good.port}"
        gateway.apply(text(bad.port, NAME, check))
        until(lambda: gateway.metric("backend_healthy") == 0, "the other one to be unhealthy")
        assert not bad.seen


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_unusable_upstream_ca_file_is_named_at_the_start(serve, tmp_path, content):
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OSError, match=r"authorities\.pem"):
        serve(text(1), upstream_ca=str(path))


@pytest.mark.case("U2")
@pytest.mark.parametrize(("end", "is_whole"), [(Close, True), (Drop, False)], ids=["alert", "no alert"])
def test_response_ended_by_close_requires_a_close_notify(serve, authority, upstream_ca, end, is_whole):
    """An attacker on the path can send a FIN (RFC 9112 9.8)."""
    with Server(authority.issue_cert(NAME)) as server:
        server.script = lambda seen: [b"HTTP/1.1 200 OK\r\n\r\nhello", Pause(0.1), end()]
        gateway = serve(text(server.port), upstream_ca=upstream_ca)
        if is_whole:
            assert gateway.request().body == b"hello"
        else:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                gateway.request()
