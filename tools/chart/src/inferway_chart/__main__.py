"""`python -m inferway_chart FOLDER`: write the chart into FOLDER/inferway, and FOLDER/inferway-VERSION.tgz."""

import shutil
import sys
from pathlib import Path

from inferway_chart import chart


def main() -> None:
    """Write folder and archive, and print their paths."""
    folder = Path(sys.argv[1])
    content = chart.files()
    unpacked, packed = folder / chart.NAME, folder / f"{chart.NAME}-{chart.version()}.tgz"
    if unpacked.exists():
        shutil.rmtree(unpacked)
    chart.write(content, unpacked)
    packed.write_bytes(chart.archive(content))
    sys.stdout.write(f"{unpacked}\n{packed}\n")


if __name__ == "__main__":
    main()
