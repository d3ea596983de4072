"""Canonical JSON: equal documents are equal bytes, so "nothing changed" is `==` and a revision is a hash."""

import hashlib
import json
from typing import Final

from pydantic import BaseModel

REVISION_DIGITS: Final = 10
"""Hex digits of SHA-256 in a revision: 40 bits, never the only basis of a check."""


def canonical(document: BaseModel) -> bytes:
    """Return the document's canonical bytes: sorted keys, no spaces, UTF-8, no default values."""
    # Without defaults a document of 10,000 routes has a third of its size.
    plain = document.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(content: bytes) -> str:
    """Return the SHA-256 of the content in hex."""
    return hashlib.sha256(content).hexdigest()


def revision(document: BaseModel) -> str:
    """Return the short name of this content: equal content has equal revisions on every machine."""
    return digest(canonical(document))[:REVISION_DIGITS]
