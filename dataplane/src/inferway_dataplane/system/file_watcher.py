"""Files beside the document that may change while the process runs: certificates and secrets."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from inferway_contract.listener import Signature, signature

log = logging.getLogger("inferway")

EVERY: Final = 1.0
"""Seconds between two looks. Looking is a `stat` for each file; mounted Secrets change by a swapped link, which it sees."""


async def follow(
    name: str, paths: Callable[[], Iterable[Path]], reload: Callable[[], None], known: Signature | None = None
) -> None:
    """Call `reload` after each change, until cancelled. When it raises, what was there before goes on, and it is told.

    `known`: the signature when the files were first read; None = they are now as they were then.

    A file that cannot be read (`OSError`, as when there is no descriptor) is tried again with each look; one that can be
    read and is no good (`ValueError`) waits for its next change.
    """
    if known is None:
        known = signature(paths())
    told = ""
    while True:
        await asyncio.sleep(EVERY)
        try:
            seen = await asyncio.to_thread(lambda: signature(paths()))
            if seen == known:
                continue
            known = seen
            await asyncio.to_thread(reload)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                known = None
            if str(error) != told:
                log.error(
                    "a change was refused, what was there before goes on", extra={"what": name, "error": str(error)}
                )
            told = str(error)
        except Exception:
            log.exception("reading anew failed in a way that is not foreseen", extra={"what": name})
        else:
            told = ""
            log.info("read anew", extra={"what": name})
