"""`python -m inferway_prose`: find banned words, long test names and empty names. Exit code 1 on a hit.

Checked: Markdown without its code; docstrings and comments of Python; outside tests every string (messages are built anywhere).
"""

import argparse
import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import yaml

LONGEST_TEST_NAME: Final = 60  # characters
EMPTY_NAMES: Final = frozenset({"told", "said", "found", "made", "own"})
PRODUCT: Final = ("crds/src/", "operator/src/", "dataplane/src/", "cli/src/", "kube/src/")
TESTS: Final = re.compile(r"(^|/)tests/|^e2e/")
CODE: Final = re.compile(r"^ *(```+|~~~+).*?^ *\1|(`+)(?:(?!\n\s*\n).)+?\2|\]\([^)\n]*\)", re.MULTILINE | re.DOTALL)
RULES: Final = [
    (rule["word"], re.compile(rule["pattern"].replace(" ", r"\s+"), re.IGNORECASE), rule["better"])
    for rule in yaml.safe_load(Path(__file__).with_name("substitutions.yaml").read_text(encoding="utf-8"))
]


class Hit(NamedTuple):
    """Words that break a rule, and what to write instead."""

    line: int
    words: str
    better: str
    rule: str


def check_prose(text: str, first_line: int = 1) -> Iterator[Hit]:
    """Yield the hits in a text. A piece of code in it counts as one word."""
    prose = re.sub(r"(?m)^[ \t]+", "", CODE.sub(lambda code: re.sub(r"[^\n]", "_", code[0]), text))
    for rule, pattern, better in RULES:
        for match in pattern.finditer(prose):
            yield Hit(first_line + prose.count("\n", 0, match.start()), " ".join(match[0].split()), better, rule)


def check_python(source: str, path: str) -> Iterator[Hit]:
    """Yield the hits in a module's comments, strings and names."""
    is_product, is_test, inside = path.startswith(PRODUCT), TESTS.search(path), set[ast.AST]()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [(token.start[0], token.string.lstrip("# ")) for token in tokens if token.type == tokenize.COMMENT]
    # A sentence may span the comments of consecutive lines: such a block is one text.
    for _, group in groupby(enumerate(comments), lambda entry: entry[1][0] - entry[0]):
        lines, texts = zip(*(comment for _, comment in group), strict=True)
        yield from check_prose("\n".join(texts), lines[0])
    for node in ast.walk(ast.parse(source)):  # a node comes before its children
        match node:
            case ast.Expr(value=ast.Constant(value=str(text)) as docstring):
                inside.add(docstring)
                yield from check_prose(text, node.lineno)
            case ast.JoinedStr(values=parts) if not is_test:
                inside.update(parts)
                pieces = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts]
                yield from check_prose("".join(pieces), node.lineno)
            case ast.Constant(value=str(text)) if not (is_test or node in inside or text.isidentifier()):
                yield from check_prose(text, node.lineno)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test_") and len(name) > LONGEST_TEST_NAME:
                    yield Hit(node.lineno, name, f"at most {LONGEST_TEST_NAME} characters", "test name")
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) if name in EMPTY_NAMES and is_product:
                yield Hit(node.lineno, name, "the noun of what it is", "empty name")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every file below the working directory that git tracks or would add."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", action="store_true", help="a table of hits by rule and top folder")
    options = parser.parse_args(arguments)
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.py"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts: Counter[tuple[str, str]] = Counter()
    for path in filter(os.path.exists, listing.splitlines()):
        text = Path(path).read_text(encoding="utf-8")
        for hit in sorted(check_python(text, path) if path.endswith(".py") else check_prose(text)):
            counts.update((hit.rule, folder) for folder in ("all", path.split("/")[0] if "/" in path else "root"))
            if not options.counts:
                sys.stdout.write(f"{path}:{hit.line}: {hit.words} -> {hit.better}\n")
    if options.counts:
        rules, folders = sorted({rule for rule, _ in counts}), sorted({folder for _, folder in counts})
        table = [("", *folders), *((rule, *(counts[rule, folder] for folder in folders)) for rule in rules)]
        sys.stdout.writelines("".join(f"{cell:>16}" for cell in row) + "\n" for row in table)
    return int(bool(counts))


if __name__ == "__main__":
    sys.exit(main())
