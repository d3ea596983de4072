"""How loud a failed attempt is: a conflict is ordinary, any other refusal is not."""

import asyncio
import logging

import pytest

from inferway_kube.api_health import ApiHealth
from inferway_kube.errors import ApiError
from inferway_operator.reconcile.retry_loop import retry_forever


@pytest.mark.parametrize(("status", "level"), [(409, logging.INFO), (422, logging.WARNING), (413, logging.WARNING)])
def test_only_a_conflict_is_no_warning(caplog: pytest.LogCaptureFixture, status: int, level: int) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            raise asyncio.CancelledError
        raise ApiError(f"PATCH /status: {status}", status, is_status=True)

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await retry_forever(attempt, "statuses", ApiHealth(logging.getLogger(__name__)), lambda: None)

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (level, f"statuses: PATCH /status: {status}")
    ]
