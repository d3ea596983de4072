"""`python -m inferway_release notes TAG` and `koyeb IMAGE`. Exit code 1 after an error, with one line that names it."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inferway_release import changelog, koyeb_api, koyeb_definition

ROOT: Final = Path(__file__).parents[4]
VERSION: Final = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "notes":
            _notes(given)
        else:
            _koyeb(given)
    except (changelog.NotReleasable, koyeb_definition.NotDeployable) as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inferway_release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    notes = commands.add_parser("notes", help="the section of CHANGELOG.md of a tag")
    notes.add_argument("tag")
    notes.add_argument("--into", type=Path, help="write it to this file instead of standard output")
    notes.add_argument("--outputs", type=Path, help="append version= and prerelease= to this file")
    koyeb = commands.add_parser("koyeb", help="run an image on Koyeb; the token is in KOYEB_TOKEN")
    koyeb.add_argument("image")
    koyeb.add_argument("--routes", type=Path, required=True, help="file of resources")
    koyeb.add_argument("--settings", type=Path, help="file of INFERWAY_NAME=value lines")
    koyeb.add_argument("--app", default="inferway")
    koyeb.add_argument("--region", default="fra")
    koyeb.add_argument("--instance", default="nano")
    koyeb.add_argument("--url", default=koyeb_api.URL, help="of the API")
    return parser


def _notes(given: argparse.Namespace) -> None:
    package = ROOT / "crds/src/inferway_contract/__init__.py"
    match = VERSION.search(package.read_text(encoding="utf-8"))
    if match is None:
        raise changelog.NotReleasable(f"{package.relative_to(ROOT)} has no __version__")
    notes = changelog.notes(given.tag, match[1], (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if given.into is None:
        sys.stdout.write(notes.text)
    else:
        given.into.write_text(notes.text, encoding="utf-8")
    if given.outputs is not None:
        with given.outputs.open("a", encoding="utf-8") as outputs:
            outputs.write(f"version={notes.version}\nprerelease={str(notes.prerelease).lower()}\n")


def _koyeb(given: argparse.Namespace) -> None:
    token = os.environ.get("KOYEB_TOKEN", "")
    if not token:
        raise koyeb_definition.NotDeployable("KOYEB_TOKEN is not set")
    lines = given.settings.read_text(encoding="utf-8").splitlines() if given.settings else []
    wish = koyeb_definition.Wish(
        given.image,
        given.routes.read_text(encoding="utf-8"),
        koyeb_definition.settings(lines),
        given.region,
        given.instance,
    )
    koyeb = koyeb_api.Koyeb(token, given.url)
    deployment = koyeb_api.deploy(koyeb, given.app, wish)
    sys.stdout.write(f"{given.image}: deployment {deployment}\n")
    koyeb_api.wait_until_healthy(koyeb, deployment)
    sys.stdout.write("healthy\n")


if __name__ == "__main__":
    sys.exit(main())
