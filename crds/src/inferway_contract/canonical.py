"""Canonical JSON: equal documents are equal bytes, so "nothing changed" is `==` and a revision is a hash."""

import hashlib
import json
from typing import Any, Final

from pydantic import BaseModel

REVISION_DIGITS: Final = 10
"""Hex digits of SHA-256 in a revision: 40 bits, never the only basis of a check."""


_LARGE: Final = 64
"""Items of a list or mapping that are written one by one."""


def canonical(document: BaseModel) -> bytes:
    """Return the document's canonical bytes: sorted keys, no spaces, UTF-8, no default values.

    Many items are written one by one: pydantic and `json` hold the interpreter's lock, and other threads need it.
    """
    large = {name: value for name in type(document).model_fields if _is_large(value := getattr(document, name))}
    small = document.model_copy(update={name: type(value)() for name, value in large.items()}) if large else document
    # Without defaults a document of 10,000 routes has a third of its size.
    plain = small.model_dump(mode="json", exclude_defaults=True)
    if not large:
        return _json(plain)
    fields = {name: _json(value) for name, value in plain.items()} | {
        name: _written(value) for name, value in large.items()
    }
    return b"{" + b",".join(_json(name) + b":" + text for name, text in sorted(fields.items())) + b"}"


def _is_large(value: object) -> bool:
    if isinstance(value, tuple):
        return len(value) > _LARGE and isinstance(value[0], BaseModel)
    return isinstance(value, dict) and len(value) > _LARGE


def _written(value: Any) -> bytes:
    if isinstance(value, BaseModel):
        return canonical(value)
    if isinstance(value, tuple):
        return b"[" + b",".join(map(_written, value)) + b"]"
    if isinstance(value, dict):
        return b"{" + b",".join(_json(key) + b":" + _written(item) for key, item in sorted(value.items())) + b"}"
    return _json(value)


def _json(plain: Any) -> bytes:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(content: bytes) -> str:
    """Return the SHA-256 of the content in hex."""
    return hashlib.sha256(content).hexdigest()


def revision(document: BaseModel) -> str:
    """Return the short name of this content: equal content has equal revisions on every machine."""
    return digest(canonical(document))[:REVISION_DIGITS]
