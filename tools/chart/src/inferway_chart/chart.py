"""The chart: its files, and the archive that `helm install` takes."""

import gzip
import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from inferway_chart import rendering, templates, values
from inferway_contract import __version__
from inferway_dataplane.settings import ClusterSettings, Settings
from inferway_operator.settings import HttpSettings, OperatorSettings

SOURCE: Final = Path(__file__).resolve().parents[2] / "chart"
NAME: Final = "inferway"
_CANDIDATE: Final = re.compile(r"(?P<version>\d+\.\d+\.\d+)(?:(?P<kind>a|b|rc)(?P<number>\d+))?")
_KINDS: Final = {"a": "alpha", "b": "beta", "rc": "rc"}


def version() -> str:
    """Return the chart's version: that of the package as Semantic Versioning writes it (`0.2.0-rc.1` of `0.2.0rc1`)."""
    match = _CANDIDATE.fullmatch(__version__)
    if match is None:
        raise ValueError(f"{__version__}: the version of a chart is MAJOR.MINOR.PATCH, with a, b or rc and a number")
    return match["version"] + (f"-{_KINDS[match['kind']]}.{match['number']}" if match["kind"] else "")


def files() -> dict[str, str]:
    """Return the content of every file by its path in the chart."""
    objects = rendering.everything()
    production = values.of(objects)
    about = yaml.safe_load((SOURCE / "Chart.yaml").read_text(encoding="utf-8"))
    return {
        "Chart.yaml": _yaml({**about, "version": version(), "appVersion": __version__}),
        "values.yaml": values.filled(SOURCE / "values.yaml", production),
        "values-dev.yaml": _dev(production),
        "values.schema.json": json.dumps(schema(), indent=1) + "\n",
        **{
            str(file.relative_to(SOURCE)): file.read_text(encoding="utf-8")
            for file in sorted((SOURCE / "templates").iterdir())
        },
        **dict(templates.of(objects, rendering.overlay("production"))),
    }


def schema() -> dict[str, Any]:
    """Return the schema of the values, with the names of the settings that the chart does not write itself."""
    content: dict[str, Any] = json.loads((SOURCE / "values.schema.json").read_text(encoding="utf-8"))
    operator = [
        f"INFERWAY_OPERATOR_{name.upper()}" for kind in (OperatorSettings, HttpSettings) for name in kind.model_fields
    ]
    gateway = [f"INFERWAY_{name.upper()}" for kind in (Settings, ClusterSettings) for name in kind.model_fields]
    for plane, settings in (("operator", operator), ("gateway", gateway)):
        allowed = sorted(name for name in {*settings} if not values.is_set_by_the_chart(name))
        content["$defs"][f"{plane}Settings"]["propertyNames"] = {"enum": allowed}
    webhook = sorted(name for name in operator if name.startswith(values.OF_THE_WEBHOOK))
    content["properties"]["webhook"]["properties"]["settings"]["propertyNames"] = {"enum": webhook}
    return content


def archive(content: Mapping[str, str]) -> bytes:
    """Return the chart as a `.tgz`; equal files give equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, text in sorted(content.items()):
            data = text.encode()
            entry = tarfile.TarInfo(f"{NAME}/{path}")
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def write(content: Mapping[str, str], folder: Path) -> None:
    """Write the chart's files into a folder."""
    for path, text in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _dev(production: values.Values) -> str:
    head = "# The values of overlays/dev: Kind on a local machine. `helm install -f values-dev.yaml`.\n"
    return head + _yaml(values.of_overlay(rendering.overlay("dev"), production))


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
