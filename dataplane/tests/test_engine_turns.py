"""Long computations on the event loop: its other work continues, results and errors come through."""

import asyncio
from time import monotonic

import pytest

from inferway_dataplane.core.steps import Steps, completed
from inferway_dataplane.engine.turns import SLICE, between_turns


def busy(steps: int, seconds: float) -> Steps[int]:
    """Each step takes this time."""
    for _ in range(steps):
        until = monotonic() + seconds
        while monotonic() < until:
            pass
        yield
    return steps


def test_other_work_runs_between_the_steps() -> None:
    async def main() -> tuple[int, int]:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        result = await between_turns(busy(20, SLICE))
        task.cancel()
        return result, turns

    result, turns = asyncio.run(main())
    assert result == 20
    assert turns >= 19


def test_short_steps_share_a_turn() -> None:
    async def main() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await between_turns(busy(1000, 0.0))
        task.cancel()
        return turns

    assert asyncio.run(main()) < 500


def test_error_of_a_step_reaches_the_caller() -> None:
    def failing() -> Steps[None]:
        yield
        raise LookupError("no entry")

    with pytest.raises(LookupError, match="no entry"):
        asyncio.run(between_turns(failing()))
    with pytest.raises(LookupError, match="no entry"):
        completed(failing())
