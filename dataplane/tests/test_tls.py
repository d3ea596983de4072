"""Certificates of the listener without sockets: which one a name gets, and what a change of files does."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from inferway_dataplane.system.tls import Certificates


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(authority: trustme.CA, directory: Path, name: str, *names: str) -> tuple[Path, Path]:
    """A pair of files."""
    made = authority.issue_cert(*names)
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key


class Handshake:
    """What the callback of a handshake is given."""

    def __init__(self) -> None:
        self.context: Any = None


def chosen_context(certificates: Certificates, name: str | None) -> Any:
    handshake = Handshake()
    certificates._choose(handshake, name, certificates.context)
    return handshake.context


@pytest.fixture
def pairs(authority: trustme.CA, tmp_path: Path) -> list[tuple[Path, Path]]:
    return [
        write(authority, tmp_path, "first", "first.example"),
        write(authority, tmp_path, "exact", "a.models.example", "b.example"),
        write(authority, tmp_path, "wild", "*.models.example", "b.example"),
    ]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("first.example", 0),
        ("b.example", 1),  # both have it: the first of them
        ("a.models.example", 1),  # exactly beats a wildcard
        ("x.models.example", 2),
        ("X.MODELS.example.", 2),
        ("x.y.models.example", 0),  # a wildcard is one label (RFC 9525 6.3)
        ("models.example", 0),
        ("other.example", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_server_name_gets_the_best_matching_certificate(
    pairs: list[tuple[Path, Path]], name: str | None, index: int
) -> None:
    certificates = Certificates(pairs)
    contexts = [certificates._first, certificates._exact["a.models.example"], certificates._wild["models.example"]]
    assert chosen_context(certificates, name) is contexts[index]


def test_contexts_require_tls_1_2_and_no_renegotiation(pairs: list[tuple[Path, Path]]) -> None:
    certificates = Certificates(pairs)
    for context in (certificates.context, certificates._first, *certificates._exact.values()):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
    assert certificates.files == tuple(path for pair in pairs for path in pair)


def test_reload_replaces_all_certificates_together(
    pairs: list[tuple[Path, Path]], authority: trustme.CA, tmp_path: Path
) -> None:
    certificates = Certificates(pairs)
    before = chosen_context(certificates, "first.example")
    write(authority, tmp_path, "first", "new.example")
    certificates.reload()
    assert chosen_context(certificates, "new.example") is certificates._first is not before
    assert chosen_context(certificates, "first.example") is certificates._first  # for want of a better one


def test_reload_of_a_bad_file_keeps_the_certificates(
    pairs: list[tuple[Path, Path]], authority: trustme.CA, tmp_path: Path
) -> None:
    certificates = Certificates(pairs)
    before = {name: chosen_context(certificates, name) for name in ("first.example", "b.example", "x.models.example")}
    write(authority, tmp_path, "first", "new.example")
    pairs[2][0].write_text("no certificate")  # the last one that is read
    with pytest.raises(ValueError, match=r"wild\.pem"):
        certificates.reload()
    pairs[2][0].unlink()
    with pytest.raises(OSError, match=r"wild\.pem"):
        certificates.reload()
    assert {name: chosen_context(certificates, name) for name in before} == before


def test_certificate_without_names_is_the_default(tmp_path: Path, authority: trustme.CA) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    certificate, key = write(authority, tmp_path, "named", "named.example")
    private: Any = load_pem_private_key(key.read_bytes(), None)
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    bare = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.subject)
        .public_key(private.public_key())
        .serial_number(7)
        .not_valid_before(leaf.not_valid_before_utc)
        .not_valid_after(leaf.not_valid_after_utc)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(bare.public_bytes(Encoding.PEM))
    certificates = Certificates([(certificate, key)])
    assert chosen_context(certificates, "named.example") is certificates._first
