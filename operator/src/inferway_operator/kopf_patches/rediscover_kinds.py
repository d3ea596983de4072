"""Looking again which kinds there are, while one that is watched is not among them.

kopf (1.45) looks when a definition changes, and never after that: an API server that serves a new definition a moment later than
it tells of it (which it may) leaves kopf without a watch for ever. So whoever takes our definitions away and installs them again
would have to restart the operator, and so would whoever installs the definition of an optional kind later.
"""

import asyncio
import itertools
import logging
from typing import Any, Final

from kopf._cogs.clients import scanning
from kopf._core.reactor import observation

from inferway_contract.resources import API_GROUP

logger = logging.getLogger(__name__)

PAUSE: Final = 2.0
"""Seconds between two looks."""
OPTIONAL_EVERY: Final = 4
"""Only every so many looks are for what is not ours, and may never be there."""


async def observe_resources(observe: Any, **given: Any) -> None:
    """kopf's `resource_observer`, and beside it what it lacks. Until cancelled, or until one of both fails."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(observe(**given))
            tasks.create_task(_look_again(**given))
    except* Exception as group:
        raise group.exceptions[0] from None


async def _look_again(*, settings: Any, registry: Any, insights: Any) -> None:
    await insights.ready_resources.wait()
    for number in itertools.count(1):
        await asyncio.sleep(PAUSE)
        for group in _incomplete(registry, insights):
            if group != API_GROUP and number % OPTIONAL_EVERY:
                continue
            resources = await scanning.scan_resources(groups={group}, settings=settings, logger=logger)
            if not resources and group != API_GROUP:
                continue
            async with insights.revised:
                observation.revise_resources(resources=resources, insights=insights, registry=registry, group=group)
                insights.revised.notify_all()


def _incomplete(registry: Any, insights: Any) -> set[str]:
    """Groups of kinds that are to be watched, and cannot be as far as kopf knows."""
    selectors = registry._watching.get_all_selectors()
    return {selector.group for selector in selectors if not selector.select(insights.watched_resources)}
