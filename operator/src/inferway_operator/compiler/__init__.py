"""Compiles a world to documents and verdicts. Use it qualified: `compiler.compile(world)`."""

from inferway_operator.compiler.draft import Memo
from inferway_operator.compiler.passes import PASSES, Compilation, compile  # noqa: A004 - see above
from inferway_operator.compiler.verdicts import Verdict

__all__ = ["PASSES", "Compilation", "Memo", "Verdict", "compile"]
