"""Looking again which kinds there are, while one of ours is not among them.

kopf (1.45) looks when a definition changes, and never after that: an API server that serves a new definition a moment later than
it tells of it (which it may) leaves kopf without a watch for ever. So whoever takes our definitions away and installs them again
would have to restart the operator.
"""

import asyncio
import logging
from typing import Any, Final

from kopf._cogs.clients import scanning
from kopf._core.reactor import observation

from inferway_contract.resources import API_GROUP

logger = logging.getLogger(__name__)

PAUSE: Final = 2.0
"""Seconds between two looks."""


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
    while True:
        await asyncio.sleep(PAUSE)
        if not _is_incomplete(registry, insights):
            continue
        resources = await scanning.scan_resources(groups={API_GROUP}, settings=settings, logger=logger)
        async with insights.revised:
            observation.revise_resources(resources=resources, insights=insights, registry=registry, group=API_GROUP)
            insights.revised.notify_all()


def _is_incomplete(registry: Any, insights: Any) -> bool:
    ours = (selector for selector in registry._watching.get_all_selectors() if selector.group == API_GROUP)
    return any(not selector.select(insights.watched_resources) for selector in ours)
