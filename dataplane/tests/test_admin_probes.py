"""The probes of the admin port: whether the process is alive, and whether it should get traffic."""

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fake_transport import Wire

from inferway_dataplane import admin
from inferway_dataplane.main import DataPlane


def probe(wire: Wire, path: str, *, is_listening: bool = True) -> tuple[int, str]:
    """What a kubelet gets."""

    async def main() -> tuple[int, str]:
        source = SimpleNamespace(waiting="it is on its way", error="")
        plane = cast(DataPlane, SimpleNamespace(gateway=wire.gateway, source=source, is_listening=is_listening))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(admin.app(plane)), base_url="http://admin"
        ) as client:
            found = await client.get(path)
            return found.status_code, found.text

    return asyncio.run(main())


@pytest.mark.parametrize("age", [0.0, 0.25, 4.5])
def test_a_process_whose_wheel_turns_is_alive(age: float) -> None:
    wire = Wire()
    wire.gateway.coarse_now = monotonic() - age
    assert probe(wire, "/healthz") == (200, "ok\n")


def test_a_process_whose_wheel_stands_still_is_not() -> None:
    wire = Wire()
    wire.gateway.coarse_now = monotonic() - 5.1
    code, text = probe(wire, "/healthz")
    assert (code, "wheel" in text) == (503, True)
    wire.gateway.coarse_now = monotonic()
    assert probe(wire, "/healthz")[0] == 200


@pytest.mark.parametrize(("field", "value"), [("is_draining", True), ("live", None)])
def test_readiness_is_not_liveness(field: str, value: Any) -> None:
    wire = Wire()
    assert probe(wire, "/readyz")[0] == 200
    setattr(wire.gateway, field, value)
    assert probe(wire, "/readyz")[0] == 503
    assert probe(wire, "/healthz")[0] == 200


def test_before_there_is_a_document_it_says_what_it_waits_for() -> None:
    wire = Wire()
    wire.gateway.live = None
    assert probe(wire, "/readyz", is_listening=False) == (503, "it is on its way\n")
    assert probe(wire, "/healthz", is_listening=False) == (200, "ok\n")


def test_it_is_ready_only_when_clients_can_connect() -> None:
    assert probe(Wire(), "/readyz", is_listening=False) == (503, "about to listen\n")
