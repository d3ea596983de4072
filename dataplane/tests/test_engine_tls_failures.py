"""Why TLS handshakes with upstreams failed, in the log: once in a while, and not for each request."""

import logging
import ssl
from typing import Any

import pytest
from fake_transport import Wire

from inferway_dataplane.engine.upstream import tls_failures


def certificate_error(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_message = message
    return error


def error_of(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (certificate_error("certificate has expired"), ["certificate not accepted", "expired"]),
        (certificate_error("Hostname mismatch, certificate is not valid for 'a.test'."), ["mismatch", "a.test"]),
        (certificate_error("self-signed certificate"), ["self-signed"]),
        (error_of("WRONG_VERSION_NUMBER"), ["does not speak TLS", "wrong version number"]),
        (error_of("HTTP_REQUEST"), ["does not speak TLS"]),
        (error_of("TLSV1_ALERT_PROTOCOL_VERSION"), ["no common TLS version"]),
        (error_of("SSLV3_ALERT_HANDSHAKE_FAILURE"), ["no common cipher"]),
        (error_of("SOMETHING_NEW"), ["something new"]),
        (ssl.SSLError(1, "bare"), ["bare"]),
        (ssl.SSLCertVerificationError(1, "bare"), ["certificate not accepted", "bare"]),
        (ConnectionResetError(104, "reset"), ["closed the connection during the handshake"]),
    ],
)
def test_failure_is_described_by_its_cause(error: OSError, words: list[str]) -> None:
    text = tls_failures.describe(error)
    assert [word for word in words if word not in text] == []


def test_failures_of_an_endpoint_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    seconds = [100.0]
    wire = Wire(idle=0, now=lambda: seconds[0])
    endpoint: Any = wire.gateway.pools.endpoint("a.test", 443, tls=True, is_name=True)
    with caplog.at_level(logging.WARNING, "inferway"):
        for _ in range(130):
            endpoint._log_tls_failure(certificate_error("certificate has expired"))
            seconds[0] += 1
    assert [(record.endpoint, record.suppressed) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("a.test:443", 0),
        ("a.test:443", 59),
        ("a.test:443", 59),
    ]
    assert "expired" in caplog.records[0].error  # type: ignore[attr-defined]
