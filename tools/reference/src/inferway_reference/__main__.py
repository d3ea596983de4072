"""`python -m inferway_reference FOLDER`: write the pages of the reference."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from inferway_reference import admin_pages, credential_fields, log_fields, metrics, problems, settings

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "admin-pages.md": admin_pages.text,
    "credential-fields.md": credential_fields.text,
    "log-fields.md": log_fields.text,
    "metrics.md": metrics.text,
    "problems.md": problems.text,
    "settings.md": settings.text,
}


def main() -> None:
    """Write every page into the folder of the command line."""
    folder = Path(sys.argv[1])
    for name, text in PAGES.items():
        (folder / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
