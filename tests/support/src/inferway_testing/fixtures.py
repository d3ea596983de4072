"""Fixtures of every package's tests (loaded by the root conftest): a gateway on YAML, upstreams that a test scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from inferway_fakes.upstream import Upstream
from inferway_testing.gateway import DirectoryGateway, running_gateway


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream that answers 200 `ok` until the test sets its script."""
    with Upstream() as running:
        yield running


@pytest.fixture
def upstreams() -> Iterator[Callable[[int], list[Upstream]]]:
    """`upstreams(3)` starts three of them."""
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(Upstream()) for _ in range(count)]


@pytest.fixture(scope="session")
def stop_later() -> Iterator[Callable[[ExitStack], None]]:
    """Stop gateways while the next test runs, because a stop takes time; a failed one fails the session's end."""
    stops: list[Future[None]] = []
    with ThreadPoolExecutor(8, "stopping") as pool:
        yield lambda stack: stops.append(pool.submit(stack.close))
    for stop in stops:
        stop.result()


@pytest.fixture
def serve(tmp_path: Path, stop_later: Callable[[ExitStack], None]) -> Iterator[Callable[..., DirectoryGateway]]:
    """`serve(yaml, setting=...)` starts a gateway; all of them are stopped after the test."""
    stack = ExitStack()

    def start(text: str, **changes: object) -> DirectoryGateway:
        directory = tmp_path / "resources"
        directory.mkdir(exist_ok=True)
        (directory / "routes.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return stack.enter_context(running_gateway(directory, **changes))

    yield start
    stop_later(stack)
