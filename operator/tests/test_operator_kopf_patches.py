"""kopf's tasks that begin again, and its words about an outage: the seam itself. Against a real API server: _answers."""

import asyncio
import inspect
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from types import CodeType
from typing import Any
from unittest.mock import Mock

import kopf
import pytest
from kopf._cogs.aiokits.aiotoggles import ToggleSet
from kopf._cogs.clients import watching
from kopf._cogs.structs.references import Resource
from kopf._core.reactor import observation, orchestration, queueing, running
from kubernetes.aio.client import ApiException

from inferway_operator.kopf_patches import restart_watchers
from inferway_operator.kopf_patches.restart_watchers import SEAM, begun_again
from inferway_operator.kube import client as kube_client
from inferway_operator.kube.outage_log import (
    FAILING,
    FORBIDDEN,
    PATIENCE,
    QUIET,
    SETTLING,
    UNDEFINED,
    UNREACHABLE,
    OutageLogFilter,
    kind_of,
)


def _names(code: CodeType) -> set[str]:
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def test_patched_names_are_called_by_kopf() -> None:
    """Fails when kopf calls them otherwise, and the seam has no effect any more."""
    for caller, module, name in (
        (orchestration.spawn_missing_watchers, "queueing", "watcher"),
        (inspect.unwrap(observation.namespace_observer), "queueing", "watcher"),
        (inspect.unwrap(observation.resource_observer), "queueing", "watcher"),
        (running.spawn_tasks, "observation", "namespace_observer"),
        (running.spawn_tasks, "observation", "resource_observer"),
        (inspect.unwrap(queueing.watcher), "watching", "infinite_watch"),
    ):
        assert {module, name} <= _names(caller.__code__), caller
    for owner, name, _ in SEAM:
        begin = inspect.unwrap(getattr(owner, name))
        assert inspect.iscoroutinefunction(begin) or inspect.isasyncgenfunction(begin), name


@pytest.mark.case("K1")
def test_task_restarts_until_it_is_cancelled() -> None:
    began: list[int] = []
    last = asyncio.Event()

    async def watch(*, resource: str) -> None:
        began.append(len(began))
        task = asyncio.current_task()
        assert task is not None
        match len(began):
            case 1:
                raise ValueError(resource)
            case 2:  # what kopf does when a worker fails
                task.cancel()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    raise RuntimeError("a worker failed") from None
            case 3:  # what its time limit for a silent watch does when it is up while the watcher hands on an event
                task.cancel()
                await asyncio.Event().wait()
            case _:
                last.set()
                await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(begun_again(watch, pause=0.0)(resource="routes"))
        async with asyncio.timeout(5):
            await last.wait()
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(run())
    assert len(began) == 4


async def start_and_cancel(watch: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """It ends in order. `watch` tells when it has begun."""
    has_begun = asyncio.Event()
    task = asyncio.create_task(begun_again(watch, pause=0.0)(has_begun))
    async with asyncio.timeout(5):
        await has_begun.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


def test_cancelled_task_that_fails_ends_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """Who is cancelled must end, whatever it raises then; or kopf would wait for it for ever, or end with exit code 1."""

    async def watch(has_begun: asyncio.Event) -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("a worker failed") from None

    asyncio.run(start_and_cancel(watch))
    assert "watch failed while it ended: RuntimeError('a worker failed')" in caplog.text


def test_task_ends_after_a_lost_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in kopf's streaming_block, where the end of a stream and the cancellation meet."""
    monkeypatch.setattr(restart_watchers, "AGAIN", 0.01)
    lost: list[asyncio.CancelledError] = []

    async def watch(has_begun: asyncio.Event) -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            lost.append(cancelled)
        await asyncio.Event().wait()

    asyncio.run(start_and_cancel(watch))
    assert len(lost) == 1


@pytest.mark.case("K1")
def test_failed_watch_closes_its_stream_before_the_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf's own watcher, which fails at an event without an object, and does not close the stream that brought it."""
    closed = asyncio.Event()

    async def continuous_watch(**_: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"type": "ADDED", "object": {}}
        finally:
            closed.set()

    monkeypatch.setattr(watching, "continuous_watch", continuous_watch)
    for module, name, replacement in SEAM:
        monkeypatch.setattr(module, name, replacement(inspect.unwrap(getattr(module, name))))

    async def run() -> None:
        resource = Resource("inferway.dev", "v1alpha1", "gatewayroutes")
        begun = queueing.watcher(
            settings=kopf.OperatorSettings(),
            resource=resource,
            namespace=None,
            processor=None,
            operator_paused=ToggleSet(any),
        )
        task = asyncio.create_task(begun)
        async with asyncio.timeout(5):
            await closed.wait()
            while left := asyncio.all_tasks() - {task, asyncio.current_task()}:
                await asyncio.wait(left)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())


STUCK = """
import asyncio
from inferway_operator import enduring

enduring.LAST = 0.1

async def run():
    task = asyncio.create_task(asyncio.Event().wait(), name="pause-waiter for routes")
    enduring.end_at_last({task})
    await task

asyncio.run(run())
"""


def test_tasks_left_at_cleanup_are_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_watchers.threading, "Timer", Mock())

    async def run() -> None:
        first, later = asyncio.create_task(asyncio.Event().wait()), asyncio.create_task(asyncio.Event().wait())
        restart_watchers.end_at_last({first})
        async with asyncio.timeout(5):
            await asyncio.wait([later])
        assert not first.done()
        first.cancel()

    asyncio.run(run())


@pytest.mark.outside
def test_stuck_process_exits_with_1_and_logs_its_tasks() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "kopf did not end within 0.1 s" in done.stderr
    assert "pause-waiter for routes" in done.stderr


def line(text: str, **more: Any) -> logging.LogRecord:
    """A line of a log."""
    return logging.makeLogRecord({"msg": text, "args": (), **more})


def attempt(number: int, plural: str, error: str = "ClientConnectorError(111)") -> logging.LogRecord:
    """kopf's words about an attempt."""
    url = f"https://127.0.0.1/apis/inferway.dev/v1alpha1/namespaces/team-{number}/{plural}?watch=true"
    return line(f"Request attempt #{number} failed; will retry: GET {url} -> {error}")


def test_log_message_of_kopf_matches_the_outage_filter() -> None:
    from kopf._cogs.clients import api

    assert "Request attempt {idx} failed; will retry: {what} -> {e!r}" in inspect.getsource(api)
    assert watching.logger.name == "kopf._cogs.clients.watching"


def test_outage_is_logged_once_a_minute_for_each_kind() -> None:
    now = [0.0]
    outages = OutageLogFilter(lambda: now[0])
    first = attempt(1, "services")
    assert outages.filter(first)
    assert first.getMessage().startswith("the API server cannot be reached: pods serve what they have")
    assert outages.filter(attempt(1, "services", "ValueError()")), "one without words of its own"
    for number in range(2, 12):
        now[0] += QUIET / 11
        assert not outages.filter(attempt(number, "gatewayroutes")), "the same outage, whoever meets it"
    assert not outages.filter(line("the reconciler: no answer", outage=UNREACHABLE))
    now[0] = QUIET
    told = attempt(20, "services")
    assert outages.filter(told)
    assert told.getMessage().endswith("(and 11 times before, untold)")
    assert outages.filter(line("Something else"))
    assert outages.filter(line("Something else"))


def test_failing_api_server_is_logged_after_repeated_errors() -> None:
    now = [0.0]
    outages = OutageLogFilter(lambda: now[0])

    def failing() -> logging.LogRecord:
        return attempt(1, "services", "APIServerError('we are sorry', 500)")

    assert not outages.filter(failing())
    now[0] = PATIENCE - 0.1
    assert not outages.filter(failing())
    now[0] = PATIENCE
    told = failing()
    assert outages.filter(told)
    assert "the API server fails or asks to wait" in told.getMessage()
    now[0] = 100 * QUIET
    assert not outages.filter(failing()), "once in a while is no outage"


def test_end_of_a_logged_outage_is_logged_once() -> None:
    now = [0.0]
    outages = OutageLogFilter(lambda: now[0])
    assert not outages.filter(line("the audit goes on", over=UNREACHABLE))
    assert outages.filter(attempt(1, "services"))
    assert not outages.filter(line("statuses goes on", over=FORBIDDEN))
    assert outages.filter(line("the audit goes on", over=UNREACHABLE))
    assert not outages.filter(line("statuses goes on", over=UNREACHABLE))
    now[0] = SETTLING - 0.1
    assert not outages.filter(attempt(2, "services")), "of the one that has just ended"
    now[0] = SETTLING
    assert outages.filter(attempt(3, "services")), "the next outage"


FORBIDDEN_BY = "APIForbiddenError('services is forbidden', {'code': 403})"


@pytest.mark.parametrize(
    ("record", "mend"),
    [
        (lambda: attempt(1, "services", FORBIDDEN_BY), "apply the manifests again (kubectl apply -k)"),
        (lambda: attempt(1, "services", "TimeoutError()"), "see that it runs, and that NetworkPolicies let"),
        (lambda: attempt(1, "services", "ServerDisconnectedError()"), "see that it runs"),
        (
            lambda: line("Unresolved resources cannot be served (try creating their CRDs): gatewayroutes.v1alpha1.inferway.dev"),
            "install the definitions in crds/ (kubectl apply -k crds)",
        ),
    ],
    ids=["forbidden", "no answer", "cut", "undefined"],
)  # fmt: skip
def test_outage_log_line_names_the_fix(record: Callable[[], logging.LogRecord], mend: str) -> None:
    told = record()
    assert OutageLogFilter(lambda: 0.0).filter(told)
    assert mend in told.getMessage()
    assert told.levelno == logging.WARNING


def test_missing_optional_kind_is_not_logged() -> None:
    text = "Unresolved resources cannot be served (try creating their CRDs): referencegrants.gateway.networking.k8s.io"
    assert not OutageLogFilter(lambda: 0.0).filter(line(text))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (kube_client.KubeError("no answer"), UNREACHABLE),
        (TimeoutError(), UNREACHABLE),
        (kube_client.NotDefined("no such thing"), UNDEFINED),
        (kube_client.KubeError("no", 403), FORBIDDEN),
        (ApiException(status=403, reason="Forbidden"), FORBIDDEN),
        (kube_client.KubeError("later", 429), FAILING),
        (kube_client.KubeError("sorry", 503), FAILING),
        (kube_client.KubeError("conflict", 409), "KubeError 409"),
    ],
)
def test_error_is_classified_by_its_kind(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind
