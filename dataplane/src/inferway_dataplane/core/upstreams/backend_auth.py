"""Credentials that the gateway sends to upstreams (`backendRefs[].auth`)."""

from typing import Final

from inferway_dataplane.core.messages.field_kinds import Fields

_LONGEST: Final = 16 << 10  # bytes of a secret


class Credential:
    """A credential without its secret, which is looked up with each request because files change."""

    __slots__ = ("file", "header", "prefix")

    def __init__(self, header: str, prefix: str, file: str) -> None:
        """`header`: lower case; `prefix`: put before the secret; `file`: the secret's name."""
        self.header = header.encode()
        self.prefix = prefix.encode()
        self.file = file

    def apply(self, fields: Fields, secret: bytes) -> Fields:
        """Replace the client's field of that name by the credential; return a new list."""
        # Many frameworks read `X_Model_Key` as the same header.
        kept = [field for field in fields if field[0].lower().replace(b"_", b"-") != self.header.replace(b"_", b"-")]
        kept.append((self.header, self.prefix + secret))
        return kept


def clean(content: bytes) -> bytes | None:
    """Strip white space around a secret; None when not a valid field value."""
    secret = content.strip(b"\r\n \t")
    if not secret or len(secret) > _LONGEST or any(byte < 0x20 or byte == 0x7F for byte in secret):
        return None
    return secret
