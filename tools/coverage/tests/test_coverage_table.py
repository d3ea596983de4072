"""The table of `make coverage`: sums by package, from a report that the installed `coverage` writes."""

import json
import subprocess
import sys
from pathlib import Path

from inferway_coverage.__main__ import by_package, table

BRANCHED = "def f(x):\n    if x:\n        return 1\n    return 2\n\n\nf(0)\n"


def test_lines_and_branches_are_summed_by_package(tmp_path: Path) -> None:
    package = tmp_path / "dataplane/src/shapes"
    (package / "core/limits").mkdir(parents=True)
    for folder in (package, package / "core", package / "core/limits"):
        (folder / "__init__.py").write_text("")
    (package / "main.py").write_text("import shapes.core.limits.bucket, shapes.core.one\n")
    (package / "core/one.py").write_text(BRANCHED)
    (package / "core/limits/bucket.py").write_text(BRANCHED + "f(1)\n")
    (tmp_path / "run.py").write_text(f"import sys; sys.path.insert(0, {str(package.parent)!r}); import shapes.main\n")

    def coverage(*arguments: str) -> str:
        command = [sys.executable, "-m", "coverage", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    coverage("run", "--branch", "--source=dataplane/src", "run.py")
    sums = by_package(json.loads(coverage("json", "-q", "-o", "-")))
    assert [line.split() for line in table(sums).splitlines()[1:]] == [
        ["shapes", "1", "100.0", "%", "0", "-"],
        ["shapes.core", "11", "90.9", "%", "4", "75.0", "%"],
        ["total", "12", "91.7", "%", "4", "75.0", "%"],
    ]
