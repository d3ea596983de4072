"""What the listeners of both planes share."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from inferway_contract.listener import address_and_port, signature, tls_context

ADDRESSES = {
    "127.0.0.1:8080": ("127.0.0.1", 8080),
    "[::1]:0": ("::1", 0),
    "[::]:65535": ("::", 65535),
    "gateway:80": ("gateway", 80),
}


@pytest.mark.parametrize(("text", "parts"), ADDRESSES.items(), ids=ADDRESSES)
def test_listen_address_splits_into_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert address_and_port(text) == parts


# An empty host would listen on all addresses.
@pytest.mark.parametrize("text", ["", ":80", "[]:80", "[[:80", "a", "a:", "a:x", "a:-1", "a:65536", "a:\u00b2"])
def test_invalid_listen_address_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not address:port"):
        address_and_port(text)


def test_key_with_a_passphrase_is_rejected(tmp_path: Path) -> None:
    """OpenSSL would ask for it on the terminal, and the process would wait."""
    issued = trustme.CA().issue_cert("gateway.test")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "tls.crt").write_bytes(issued.cert_chain_pems[0].bytes())
    (tmp_path / "tls.key").write_bytes(encrypted)
    with pytest.raises(ValueError, match=r"tls\.key has a passphrase"):
        tls_context(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_signature_differs_after_a_change_behind_a_link(tmp_path: Path) -> None:
    """As the kubelet changes a mounted Secret: the link is replaced, the file's size and time may stay."""
    link = tmp_path / "tls.crt"
    assert signature([link]) == (None,)
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    link.symlink_to("old")
    older = signature([link])
    link.unlink()
    link.symlink_to("new")
    assert signature([link]) != older
