"""The fakes (services/fakes). They are not part of the distribution, so this module puts their folder on the path."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "services" / "fakes" / "src"

if str(SOURCE) not in sys.path:
    sys.path.append(str(SOURCE))

from inferway_fakes import yaml_builders  # noqa: E402 - its folder is on the path only now
from inferway_fakes.faulty_tcp import Accepting, FaultyTcp, Flow  # noqa: E402 - its folder is on the path only now

__all__ = ["SOURCE", "Accepting", "FaultyTcp", "Flow", "yaml_builders"]
