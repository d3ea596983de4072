"""The proxies under measurement. Each file holds one: its configuration, its command, how it is known to be ready.

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
"""The one that is asked for stands in the middle: in a table that is searched in order it is neither first nor last."""


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that serves one case."""

    peer: str
    case: Case
    port: int
    server: servers.Server
    required_headers: tuple[str, ...] = ()
    """Must be in every sampled answer: how a proxy shows that it did more than forward."""
    limits_judged: Callable[[], int] | None = None
    """How many requests the limits have judged and admitted so far, where the proxy counts that."""


class Peer(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def cases(self) -> tuple[Case, ...]: ...

    def serve(
        self, case: Case, origin_port: int, launcher: servers.Launcher
    ) -> contextlib.AbstractContextManager[Running]: ...
