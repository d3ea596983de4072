"""Files, modules, sections and targets exist that Markdown, docstrings and comments name; the glossary is sorted."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from fnmatch import filter as matching
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIST = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
FILES = frozenset(subprocess.run(LIST, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
FOLDERS = frozenset(str(folder) for file in FILES for folder in Path(file).parents)
NAMES = frozenset(Path(file).name for file in FILES)
PAGES = sorted(file for file in FILES if file.endswith(".md"))
PACKAGES = {
    Path(file).parent.name: Path(file).parent for file in FILES if re.search(r"src/inferway_\w+/__init__\.py$", file)
}
TARGETS = frozenset(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

BASES = ("", "manifests/", *(f"{folder}/" for folder in PACKAGES.values()), "dataplane/src/inferway_dataplane/engine/")
"""Where a path may begin, in addition to the folder of the text: the root, the manifests, a package, the engine."""
PAST = ("docs/decisions/0007-", "docs/decisions/0008-")
"""Records that name the modules of their time."""
NO_PATH = re.compile(
    r"/|\.\./|\.\.\./|[\w-]+(\.[\w-]+)+/|application/|build/|\d"  # addresses, hosts, media types, results of runs, numbers
    r"|((http|HTTP)/1\.1|inferway/envtest|test/request|test/response|tests/requests|prometheus/rules\.yml)$"  # of other programs
    r"|(operator/__init__\.py|src/)$"  # it must not exist; any package's
)


def exists(path: str, folder: str) -> bool:
    """Return whether a path is a file, a folder, or a module without its suffix. NAME and * stand for any characters."""
    pattern = re.sub(r"[A-Z]{4,}", "*", path.removeprefix("./").rstrip("/"))
    paths = [f"{base}{pattern}" for base in (*BASES, f"{folder}/")]
    return any(matching(FILES, each) or matching(FOLDERS, each) or f"{each}.py" in FILES for each in paths)


def is_defined(name: str) -> bool:
    """Return whether a dotted name of a package is a module, or occurs in one."""
    package, *rest = name.split(".")
    path = PACKAGES.get(package)
    if path is None:
        return False
    while rest and (str(path / rest[0]) in FOLDERS or f"{path / rest[0]}.py" in FILES):
        path /= rest.pop(0)
    module = path / "__init__.py" if str(path) in FOLDERS else path.with_suffix(".py")
    return not rest or re.search(rf"\b{rest[0]}\b", (ROOT / module).read_text(encoding="utf-8")) is not None


def anchors(text: str) -> set[str]:
    """Return GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unknown_in_text(text: str, file: str) -> Iterator[str]:
    """Yield the files and modules in a text of a file that do not exist."""
    folder = str(Path(file).parent)
    paths = re.findall(r"(?<![\w/.:*-])(?:[\w-]+/)+[\w-]+\.(?:py|md|yaml|toml)\b", text)
    yield from (path for path in paths if not exists(path, folder) and not NO_PATH.match(path))
    if not file.startswith(PAST):
        yield from (name for name in re.findall(r"`(\w+\.(?:py|md|toml))`", text) if name not in NAMES)
    yield from (name for name in re.findall(r"\binferway_[a-z]+(?:\.[a-zA-Z_]\w*)+", text) if not is_defined(name))


def unknown_in_page(text: str, file: str) -> Iterator[str]:
    """Yield the names in a page that do not exist: also modules without suffix, targets of make, links, anchors."""
    prose = re.sub(r"^ *(```+).*?^ *\1", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from unknown_in_text(prose, file)
    for span in re.findall(r"`([\w.*-]*(?:/[\w.*-]*)+)`", prose):
        is_file = re.fullmatch(r"[^*]+\.(py|md|yaml|toml)", span)  # of these the text was searched
        if not is_file and not NO_PATH.match(span) and not exists(span, str(Path(file).parent)):
            yield span
    yield from (f"make {name}" for name in re.findall(r"`make ([a-z0-9-]+)", prose) if name not in TARGETS)
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", prose):
        linked = (ROOT / file).parent / path
        if not linked.exists():
            yield path
        elif anchor and anchor not in anchors(linked.read_text(encoding="utf-8") if path else text):
            yield f"{path}#{anchor}"


def texts(source: str) -> Iterator[str]:
    """Yield the docstrings and comments of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


@pytest.mark.parametrize("page", PAGES)
def test_names_in_a_page_exist(page: str) -> None:
    assert sorted(unknown_in_page((ROOT / page).read_text(encoding="utf-8"), page)) == []


def test_names_in_docstrings_and_comments_exist() -> None:
    unknown = [
        f"{file}: {name}"
        for file in sorted(FILES)
        if file.endswith(".py")
        for text in texts((ROOT / file).read_text(encoding="utf-8"))
        for name in unknown_in_text(text, file)
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("`watch/reflectors`, `core/runtime.py`, `crds/*.yaml`, `manifests/overlays/load/jobs/NAME`", []),
        ("`watch/observed`", ["watch/observed"]),
        ("see docs/absent.md", ["docs/absent.md"]),
        ("`absent.py`", ["absent.py"]),
        ("`inferway_contract.document.Rule`, inferway_kube.reflector", []),
        ("inferway_contract.absent, `inferway_contract.document.Absent`", ["inferway_contract.absent", "inferway_contract.document.Absent"]),
        ("`make test`, `make absent`", ["make absent"]),
        ("[a](glossary.md), [b](architecture.md#tests), [c](#here)\n# Here", []),
        ("[a](absent.md), [b](architecture.md#absent), [c](#absent)", ["absent.md", "architecture.md#absent", "#absent"]),
        ("`/readyz`, `inferway.dev/v1alpha1`, `application/json`", []),
    ],
)  # fmt: skip
def test_unknown_names_of_a_page(text: str, unknown: list[str]) -> None:
    assert list(unknown_in_page(text, "docs/page.md")) == unknown


def test_glossary_is_sorted_and_defines_no_word_twice() -> None:
    rows = re.findall(r"^\| (?!word )([^|]+) \|", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == sorted(rows, key=str.lower)
    words = [word for row in rows for word in row.split(", ")]
    assert len(words) > 50
    assert sorted(words) == sorted(set(words))
