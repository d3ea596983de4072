"""Credentials of the gateway towards upstreams: which header, and what stands before the secret."""

from typing import Final

from inferway_dataplane.core.messages.field_kinds import Fields

_LONGEST: Final = 16 << 10


class Credential:
    """`backendRefs[].auth`, ready to be applied. The secret itself is looked up with each request: files change."""

    __slots__ = ("file", "header", "prefix")

    def __init__(self, header: str, prefix: str, file: str) -> None:
        """`header` in lower case; `file` is the secret's name."""
        self.header = header.encode()
        self.prefix = prefix.encode()
        self.file = file

    def apply(self, fields: Fields, secret: bytes) -> Fields:
        """The fields without what the client sent in that header, and with ours."""
        # `X_Model_Key` is the same header to many frameworks.
        kept = [field for field in fields if field[0].lower().replace(b"_", b"-") != self.header.replace(b"_", b"-")]
        kept.append((self.header, self.prefix + secret))
        return kept


def clean(content: bytes) -> bytes | None:
    """The secret of a file: without the line end that editors leave. None when it cannot stand in a header."""
    secret = content.strip(b"\r\n \t")
    if not secret or len(secret) > _LONGEST or any(byte < 0x20 or byte == 0x7F for byte in secret):
        return None
    return secret
