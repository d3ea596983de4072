"""Certificates and secrets: files that may change while the process runs."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from inferway_contract.listener import Signature, signature
from inferway_contract.problem_log import ProblemLog

log = logging.getLogger("inferway")

EVERY: Final = 1.0
"""Seconds between two looks. A look is a `stat` of each file, which also sees the replaced link of a mounted Secret."""


async def follow(
    name: str,
    files: Callable[[], Iterable[Path]],
    reload: Callable[[], None],
    read: Signature | None = None,
    every: float = EVERY,
    wanted: asyncio.Event | None = None,
) -> None:
    """Call `reload` after each change, until cancelled. If it raises, that is logged and the previous version stays.

    `read`: the signature when the files were first read; None = as they are now. `every`: seconds. `wanted`: is set to
    have the files read at once, changed or not.

    After an `OSError` (a file that cannot be read, such as for want of a descriptor) each look tries again. After a
    `ValueError` (a file whose content is unusable) the next change is awaited.
    """
    last: Signature | None = signature(files()) if read is None else read
    problem = ProblemLog(log)
    wanted = wanted or asyncio.Event()
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(every):  # `wait_for` of Python 3.11 may lose a cancellation
                await wanted.wait()
        is_wanted = wanted.is_set()
        wanted.clear()
        try:
            newest = await asyncio.to_thread(lambda: signature(files()))
            if newest == last and not is_wanted:
                continue
            last = newest
            await asyncio.to_thread(reload)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                last = None
            problem.report(logging.ERROR, "reload failed, keeping the previous version", what=name, error=str(error))
        except Exception:
            log.exception("unexpected error while reloading", extra={"what": name})
        else:
            problem.clear()
            log.info("reloaded", extra={"what": name})
