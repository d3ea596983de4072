"""The proxies under measurement. Each file holds one: its configuration, its command, its readiness check.

All of them serve the same table of ten prefixes, reuse connections on both sides, judge one global and one per-client
limit that never refuses (Envoy and the plain proxy: see their files), write no access log, and use one core.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bench import servers


class Case(StrEnum):
    PROXIED = "proxied"
    HIT = "hit"


PREFIXES = (
    "/chat",
    "/complete",
    "/embed",
    "/files",
    "/images",
    "/infer",
    "/models",
    "/moderate",
    "/speech",
    "/tokenize",
)
"""The requested prefix is in the middle: in a table that is searched in order, it is neither first nor last."""


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that serves one case."""

    peer: str
    case: Case
    port: int
    server: servers.Server
    required_headers: tuple[str, ...] = ()
    """Headers of each sampled answer that prove that the proxy did more than forward."""
    limits_judged: Callable[[], int] | None = None
    """The number of requests that the limits have judged and admitted so far, if the proxy counts them."""


class Peer(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def cases(self) -> tuple[Case, ...]: ...

    def serve(
        self, case: Case, origin_port: int, launcher: servers.Launcher
    ) -> contextlib.AbstractContextManager[Running]: ...
