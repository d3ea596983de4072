"""Secrets from files: which names are files, what content is a secret, and what becomes of one that goes or fails."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from inferway_dataplane.core.steps import completed
from inferway_dataplane.system.secret_files import SecretFiles


@pytest.fixture
def secrets(tmp_path: Path) -> SecretFiles:
    """A directory with one key."""
    (tmp_path / "key").write_bytes(b"one\n")
    return SecretFiles(str(tmp_path))


def test_secret_is_read_once_a_document_names_it(secrets: SecretFiles, tmp_path: Path) -> None:
    assert secrets.get("key") is None
    completed(secrets.wanting({"key"}))
    assert secrets.get("key") == b"one"
    assert secrets.files() == [tmp_path / "key"]


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"one", b"one"),
        (b"one\r\n", b"one"),
        (b"  a b\t\n", b"a b"),
        ("schlüssel".encode(), "schlüssel".encode()),
        (b"", None),
        (b"\n\n", None),
        (b"a\nb", None),
        (b"a\rb", None),
        (b"a\x00b", None),
        (b"a\x7fb", None),
        (b"x" * (16 << 10), b"x" * (16 << 10)),
        (b"x" * ((16 << 10) + 1), None),
        (b"x" * (1 << 20), None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_secret_content_must_be_a_valid_field_value(tmp_path: Path, content: bytes, secret: bytes | None) -> None:
    (tmp_path / "key").write_bytes(content)
    secrets = SecretFiles(str(tmp_path))
    completed(secrets.wanting({"key"}))
    assert secrets.get("key") == secret


@pytest.mark.parametrize("name", ["../outside", "sub/key", "/etc/hostname", ".hidden", "..", ".", "sub", "missing"])
def test_secret_must_be_a_plain_file_of_the_directory(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "secrets"
    (directory / "sub").mkdir(parents=True)
    for path in (tmp_path / "outside", directory / "sub" / "key", directory / ".hidden"):
        path.write_text("secret")
    secrets = SecretFiles(str(directory))
    completed(secrets.wanting({name}))
    assert secrets.get(name) is None


def test_secret_is_absent_without_a_directory() -> None:
    secrets = SecretFiles("")
    completed(secrets.wanting({"key"}))
    assert secrets.get("key") is None
    assert secrets.files() == []


def test_secret_no_longer_named_is_dropped(secrets: SecretFiles) -> None:
    completed(secrets.wanting({"key"}))
    completed(secrets.wanting(set()))
    assert secrets.get("key") is None
    assert secrets.files() == []


def test_changed_secret_is_read_by_a_refresh(secrets: SecretFiles, tmp_path: Path) -> None:
    completed(secrets.wanting({"key"}))
    (tmp_path / "key").write_text("two")
    assert secrets.get("key") == b"one"
    secrets.refresh()
    assert secrets.get("key") == b"two"


def test_secret_created_later_is_read_by_a_refresh(secrets: SecretFiles, tmp_path: Path) -> None:
    completed(secrets.wanting({"later"}))
    (tmp_path / "later").write_text("here")
    secrets.refresh()
    assert secrets.get("later") == b"here"


def test_secret_of_a_deleted_file_is_dropped(secrets: SecretFiles, tmp_path: Path) -> None:
    completed(secrets.wanting({"key"}))
    (tmp_path / "key").unlink()
    secrets.refresh()
    assert secrets.get("key") is None


def test_unreadable_secret_is_kept_and_others_are_read(
    secrets: SecretFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_text("one")
    completed(secrets.wanting({"key", "other"}))
    for name in ("key", "other"):
        (tmp_path / name).write_text("two")
    real = Path.open

    def opened(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "key":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="Too many open files"):
            secrets.refresh()
        assert (secrets.get("key"), secrets.get("other")) == (b"one", b"two")
        completed(secrets.wanting({"key", "other"}))  # a new document changes nothing of it
        assert secrets.get("key") == b"one"
    secrets.refresh()
    assert secrets.get("key") == b"two"


def test_unreadable_new_secret_does_not_reject_the_document(
    secrets: SecretFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path, *args: Any, **options: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        completed(secrets.wanting({"key"}))
    assert secrets.get("key") is None
    secrets.refresh()
    assert secrets.get("key") == b"one"


def test_secret_log_lines_contain_names_only(
    secrets: SecretFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    completed(secrets.wanting({"key", "missing"}))
    (tmp_path / "key").write_text("tw0-secret")
    secrets.refresh()
    logged = "".join(str(record.__dict__) for record in caplog.records)
    assert "'file': 'key'" in logged
    assert "'file': 'missing'" in logged
    assert "tw0-secret" not in logged
