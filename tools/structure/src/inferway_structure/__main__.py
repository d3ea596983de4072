"""`python -m inferway_structure FILE`: write the drawing of the import contracts between the markers of a Markdown file."""

import sys
from configparser import ConfigParser
from itertools import permutations, product
from pathlib import Path
from typing import Final

CONTRACTS: Final = Path(__file__).parents[4] / ".importlinter"
START: Final = "<!-- `make drawing` writes the lines from here -->\n"
END: Final = "<!-- to here -->\n"
WIDTH: Final = 92  # characters of a line
TITLES: Final = {
    "inferway_cli": "cli/: the command line",
    "inferway_contract": "crds/: the contract",
    "inferway_dataplane": "dataplane/: the data plane",
    "inferway_kube": "kube/: the client of the API server",
    "inferway_operator": "operator/: the control plane",
}


class Contracts:
    """The packages of an `.importlinter`, the imports forbidden between modules, and the layers of modules."""

    def __init__(self, text: str) -> None:
        parser = ConfigParser()
        parser.read_string(text)
        self.packages = parser["importlinter"]["root_packages"].split()
        self.forbidden: set[tuple[str, str]] = set()
        self.layers: dict[str, list[list[str]]] = {}
        self.sentences: list[str] = []
        for contract in (parser[section] for section in parser.sections() if ":contract:" in section):
            self.sentences.append(contract["name"])
            if contract["type"] == "independence":
                self.forbidden.update(permutations(contract["modules"].split(), 2))
            elif contract["type"] == "forbidden":
                sources, targets = contract["source_modules"].split(), contract["forbidden_modules"].split()
                self.forbidden.update(product(sources, targets))
            elif contract["type"] == "layers":
                lines = contract["layers"].strip().split("\n")
                self.layers[contract["containers"]] = [
                    [name.strip("( )") for name in line.split("|")] for line in lines
                ]

    def level(self, package: str) -> int:
        """Return the longest chain of packages that a package may import; 0: it may import none."""
        allowed = (name for name in self.packages if name != package and (package, name) not in self.forbidden)
        return max((1 + self.level(name) for name in allowed), default=0)


def box(title: str, rows: list[str], width: int) -> list[str]:
    """Return the lines of a box with a title in its upper edge."""
    top = f"┌─ {title} ".ljust(width - 1, "─") + "┐"
    return [top, *(f"│ {row}".ljust(width - 1) + "│" for row in rows), "└" + "─" * (width - 2) + "┘"]


def rows_of(container: str, contracts: Contracts, width: int) -> list[str]:
    """Return the layers of a module. A module with layers of its own is a box."""
    rows = []
    for names in contracts.layers.get(container, []):
        boxes = [name for name in names if f"{container}.{name}" in contracts.layers]
        rows += [" | ".join(name for name in names if name not in boxes)] if boxes != names else []
        for name in boxes:
            rows += box(name, rows_of(f"{container}.{name}", contracts, width - 4), width - 4)
    return rows


def draw(contracts: Contracts) -> str:
    """Draw the packages of one level next to each other, above those that they may import."""
    lines = []
    levels = {package: contracts.level(package) for package in contracts.packages}
    for level in sorted(set(levels.values()), reverse=True):
        packages = [package for package in contracts.packages if levels[package] == level]
        width = (WIDTH + 2) // len(packages) - 2
        rows = [rows_of(package, contracts, width) for package in packages]
        height = max(map(len, rows))
        boxes = [
            box(TITLES[package], each + [""] * (height - len(each)), width)
            for package, each in zip(packages, rows, strict=True)
        ]
        lines += ["  ".join(parts) for parts in zip(*boxes, strict=True)]
    return "\n".join(["```", *lines, "```", "", *(f"- {sentence}." for sentence in contracts.sentences), ""])


def updated(text: str, contracts: Contracts) -> str:
    """Return a Markdown text with the present drawing. Raises `ValueError` if a marker is missing."""
    return text[: text.index(START)] + START + draw(contracts) + text[text.index(END) :]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text("utf-8"), Contracts(CONTRACTS.read_text("utf-8"))), "utf-8")
