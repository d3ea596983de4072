"""Canonical JSON: equal documents are equal bytes, so "nothing changed" is `==` and a revision is a hash."""

import hashlib
import json
from typing import Final

from pydantic import BaseModel

REVISION_DIGITS: Final = 10
"""Hex digits of SHA-256 that are shown: 40 bits, and never the only thing a check relies on."""


def canonical(document: BaseModel) -> bytes:
    """The document's canonical bytes: sorted keys, no blanks, UTF-8, defaults left out."""
    # Leaving defaults out keeps a document of 10,000 routes a third of its size, and still has one form.
    plain = document.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(content: bytes) -> str:
    """SHA-256 of the content, in hex."""
    return hashlib.sha256(content).hexdigest()


def revision(document: BaseModel) -> str:
    """The short name of this content; equal content, equal revision, on every machine."""
    return digest(canonical(document))[:REVISION_DIGITS]
