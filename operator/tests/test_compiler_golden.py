"""Every golden case: manifests in, documents and conditions out. `make golden` writes the expected halves again."""

from pathlib import Path

import golden_cases
import pytest

FILES = golden_cases.case_files()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_case(file: Path) -> None:
    text = file.read_text()
    assert golden_cases.rewrite(text) == text, "run `make golden` and read the difference"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_case_says_what_it_shows(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# ")
    assert text.count(golden_cases.DIVIDER) == 1
