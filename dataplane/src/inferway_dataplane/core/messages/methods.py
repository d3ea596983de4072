"""The request methods that the gateway serves: not CONNECT and TRACE, which it refuses."""

from typing import Final

METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")

ALLOW: Final = b", ".join(METHODS)
"""The value of Allow (RFC 9110 10.2.1)."""
