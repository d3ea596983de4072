"""Attempts: doing something over and over, and again after a while when it fails. No failure ends it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from inferway_operator.kube import client as kube_client
from inferway_operator.kube import outage_log
from inferway_operator.watch.object_cache import ObjectCache

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts; the API server may ask for more (Retry-After)."""
_LONGEST_RETRY_AFTER: Final = 5.0
"""Seconds. One attempt then is no burden, and what changed meanwhile need not wait longer than for a fault of this length."""
_FIRST_FORBIDDEN_PAUSE: Final = 1.0
LONGEST_FORBIDDEN_PAUSE: Final = 5.0
"""Seconds, where permission is missing: somebody has to give it first, and then waits to see that it was the right one."""


async def retry_forever(
    attempt: Callable[[], Awaitable[None]],
    what: str,
    observed: ObjectCache,
    longest_forbidden: float = LONGEST_FORBIDDEN_PAUSE,
) -> None:
    """Until cancelled. `attempt` waits until it has something to do, but not when the one before has failed."""
    failures, last = 0, ""
    while True:
        try:
            await attempt()
            if last:
                logger.info("%s goes on", what, extra={"over": last})
            failures, last = 0, ""
            continue
        except kube_client.NotLeading as error:
            logger.info("%s", error)
            failures, pause = failures + 1, LONGEST_PAUSE
        except kube_client.KubeError as error:
            last = outage_log.kind_of(error)
            logger.warning("%s: %s", what, error, extra={"outage": last})
            if not error.status:
                observed.excuse_silence()  # who cannot connect here can hear nobody
            failures += 1
            pause = pause_after(error, failures, longest_forbidden)
        except Exception:
            # A mistake of ours. To go on is right: the next change may not meet it, and pods serve the last good config.
            logger.exception("%s failed", what)
            failures += 1
            pause = _back_off(failures)
        await asyncio.sleep(pause)


def pause_after(
    error: kube_client.KubeError, failures: int, longest_forbidden: float = LONGEST_FORBIDDEN_PAUSE
) -> float:
    """Seconds to wait after so many failures in a row, of which `error` is the last."""
    if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED) and longest_forbidden > LONGEST_PAUSE:
        return _back_off(failures, _FIRST_FORBIDDEN_PAUSE, longest_forbidden)
    return max(_back_off(failures), min(error.retry_after, _LONGEST_RETRY_AFTER))


def _back_off(failures: int, first: float = _FIRST_PAUSE, most: float = LONGEST_PAUSE) -> float:
    longest = min(most, first * float(1 << min(failures - 1, 10)))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - so that many operators do not ask at the same moment
