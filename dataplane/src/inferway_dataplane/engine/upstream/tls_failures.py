"""Why a TLS handshake with an upstream failed, in words for the log."""

import ssl
from typing import Final

_NO_TLS: Final = "the upstream does not speak TLS on this port"
_NO_VERSION: Final = "no common TLS version: at least 1.2 is needed"
_NO_CIPHERS: Final = "no common cipher suite, or the upstream wants a client certificate"

# By the reason of OpenSSL.
_REASONS: Final = {
    "HTTP_REQUEST": _NO_TLS,
    "HTTPS_PROXY_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "WRONG_SSL_VERSION": _NO_VERSION,
    "NO_SHARED_CIPHER": _NO_CIPHERS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CIPHERS,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the upstream wants a client certificate",
}


def describe(error: BaseException) -> str:
    """Return why a handshake failed with this error. It holds nothing that the upstream may choose, but names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL sets these, and nothing else does.
        return f"certificate not accepted: {getattr(error, 'verify_message', '') or error}"
    if not isinstance(error, ssl.SSLError):
        return "the upstream closed the connection during the handshake"
    reason: str = getattr(error, "reason", None) or ""
    words = reason.replace("_", " ").lower() or str(error)
    known = _REASONS.get(reason)
    return words if known is None else f"{known} ({words})"
