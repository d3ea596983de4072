"""Files that were whole and have lost their content: editors, copies and full disks truncate before they write.

An emptied file must not remove its objects, as a broader rule would then take their requests. A deleted file does.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from inferway_cli.manifests.diagnostics import Diagnostic
from inferway_cli.manifests.reader import File, Loaded

ADVICE: Final = "its objects stay as they were until it is whole; delete the file to remove them"


def whole(files: Iterable[File], loaded: Loaded) -> dict[str, bytes]:
    """Return the content of each file that has a manifest, by name."""
    names = {manifest.file for manifest in loaded.manifests}
    return {file.name: file.content for file in files if file.content is not None and file.name in names}


def errors(files: Iterable[File], loaded: Loaded, before: Mapping[str, bytes]) -> Iterator[Diagnostic]:
    """Yield an error for each file that is empty or cut off now. `before`: content of the whole files."""
    names = {manifest.file for manifest in loaded.manifests}
    names |= {diagnostic.file for diagnostic in (*loaded.errors, *loaded.notes)}
    for file in files:
        if file.content is None or file.name not in before:
            continue
        if file.name not in names:
            yield Diagnostic(file.name, 1, (), (), f"is empty, it has no manifest any more: {ADVICE}")
        elif _is_beginning(file.content, before[file.name]) and not file.content.endswith(b"\n"):
            line = file.content.count(b"\n") + 1
            yield Diagnostic(file.name, line, (), (), f"is cut off within this line: {ADVICE}")


def are_shorter(files: Iterable[File], before: Mapping[str, bytes]) -> bool:
    """Whether a file is gone, or is only a beginning of what it was: a write may be under way."""
    now = {file.name: file.content for file in files}
    return any(name not in now or _is_beginning(now[name], content) for name, content in before.items())


def _is_beginning(now: bytes | None, before: bytes) -> bool:
    return now is not None and len(now) < len(before) and before.startswith(now)
