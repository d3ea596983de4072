"""Repeat work until cancelled; after a failure, retry with a growing pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from inferway_contract.problem_log import ProblemLog
from inferway_kube.api_health import ApiHealth
from inferway_kube.errors import ApiError, NotLeading
from inferway_operator.watch.reflectors import new_backoff

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts; the API server may ask for more (Retry-After)."""


async def retry_forever(
    attempt: Callable[[], Awaitable[None]], caller: str, health: ApiHealth, on_unreachable: Callable[[], None]
) -> None:
    """Run until cancelled. `attempt` waits until it has something to do, but not when the one before has failed.

    `on_unreachable` is called when the API server does not answer.
    """
    problem = ProblemLog(logger)
    backoff = new_backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
    while True:
        try:
            await attempt()
            backoff.reset()
            problem.clear()
            health.answered(caller)
            continue
        except NotLeading as error:
            logger.info("%s", error)
            pause = LONGEST_PAUSE
        except ApiError as error:
            if error.is_outage:
                health.failed(caller, error)
            else:
                # A conflict is the ordinary answer to a write that another client overtook.
                is_conflict = error.status == HTTPStatus.CONFLICT
                problem.report(logging.INFO if is_conflict else logging.WARNING, f"{caller}: {error}")
            if not error.is_answer:
                on_unreachable()
            # A missing permission is not granted within a moment.
            pause = backoff.pause(LONGEST_PAUSE if error.is_refusal else error.retry_after)
        except Exception:
            # Retrying is right: the next change may not meet the bug, and pods serve the last good config.
            logger.exception("unexpected error: %s", caller)
            pause = backoff.pause()
        await asyncio.sleep(pause)
