"""Every golden case: manifests in, documents and conditions out. `make golden` writes the expected halves again."""

from pathlib import Path

import golden_cases
import pytest

FILES = golden_cases.case_files()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden_case_compiles_to_its_expected_half(file: Path) -> None:
    text = file.read_text()
    assert golden_cases.rewrite(text) == text, "run `make golden` and read the difference"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden_case_begins_with_a_comment(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# ")
    assert text.count(golden_cases.DIVIDER) == 1
