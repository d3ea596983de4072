"""The archive of programs published by the Kubernetes project for tests, from an address given by the user.

The address ends with the hash of the file, from that project's index of archives:
`https://.../envtest-v1.34.0-linux-amd64.tar.gz#sha512=<hex>`. A local file is `file:///...`.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import httpx

from inferway_envtest.progress import print_progress
from inferway_envtest.versions import Program

TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # seconds; also between two pieces of the body
MAX_SIZE = 1 << 30  # bytes


class ArchiveError(Exception):
    """An address or an archive is unusable; the message names the cause."""


def fetch(address: str, programs: Sequence[Program], folder: Path) -> None:
    """Put the programs that the archive contains into the folder; each appears there complete or not at all.

    A network failure is printed and leaves the folder unchanged. Raises `ArchiveError`.
    """
    location, fragment = urldefrag(address)
    kind, _, expected = fragment.partition("=")
    if kind != "sha512" or not expected:
        raise ArchiveError(f"the address {location} needs the hash of its file: add #sha512=<hex>")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".archive-") as part:
        file = Path(part) / "archive.tar.gz"
        try:
            download(location, file)
        except httpx.TransportError as error:
            print_progress(f"no archive from {location}: {error!r}")
            return
        with file.open("rb") as stream:
            seen = hashlib.file_digest(stream, "sha512").hexdigest()
        if seen != expected.lower():
            raise ArchiveError(f"what {location} gives has the sha512 {seen}, not {expected}")
        unpack(file, programs, Path(part), folder)


def download(location: str, file: Path) -> None:
    """Download an address into a file. Raises `ArchiveError` for an answer other than 200, and for a too long one."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        file.write_bytes(Path(parts.path).read_bytes())
        return
    print_progress(f"fetching {location}")
    with httpx.stream("GET", location, timeout=TIMEOUT, follow_redirects=True) as answer, file.open("wb") as target:
        if answer.status_code != httpx.codes.OK:
            raise ArchiveError(f"{location} answered {answer.status_code}")
        size = 0
        for piece in answer.iter_raw():
            size += len(piece)
            if size > MAX_SIZE:
                raise ArchiveError(f"{location} is larger than {MAX_SIZE} bytes")
            target.write(piece)


def unpack(file: Path, programs: Sequence[Program], part: Path, folder: Path) -> None:
    """Extract the programs from any folder of the archive."""
    wanted = {program.name for program in programs}
    with tarfile.open(file) as archive:
        for member in archive:
            name = Path(member.name).name
            if name in wanted and member.isfile() and (source := archive.extractfile(member)) is not None:
                unpacked = part / name
                unpacked.write_bytes(source.read())
                unpacked.chmod(0o755)
                unpacked.rename(folder / name)
                print_progress(f"{name} from the archive")
