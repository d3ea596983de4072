"""The probes of the admin port: whether the process is alive, and whether it should get traffic."""

import asyncio
import json
from time import monotonic
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fake_transport import Wire

from inferway_dataplane.admin import app as admin_app
from inferway_dataplane.sources import SourceState


def probe(
    wire: Wire,
    path: str,
    *,
    is_listening: bool = True,
    state: SourceState = SourceState(),  # noqa: B008 - a constant
) -> tuple[int, str]:
    """What a kubelet gets."""

    async def main() -> tuple[int, str]:
        source = SimpleNamespace(waiting="it is on its way", error="", state=state)
        process: Any = SimpleNamespace(
            gateway=wire.gateway, source=source, is_listening=is_listening, is_ready_to_drain=False
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(admin_app.app(process)), base_url="http://admin"
        ) as client:
            response = await client.get(path)
            return response.status_code, response.text

    return asyncio.run(main())


@pytest.mark.parametrize("age", [0.0, 0.25, 4.5])
def test_healthz_is_200_while_the_clock_ticks(age: float) -> None:
    wire = Wire()
    wire.gateway.clock.coarse_now = monotonic() - age
    assert probe(wire, "/healthz") == (200, "ok\n")


def test_healthz_is_503_while_the_clock_stands_still() -> None:
    wire = Wire()
    wire.gateway.clock.coarse_now = monotonic() - 5.1
    code, text = probe(wire, "/healthz")
    assert (code, "wheel" in text) == (503, True)
    wire.gateway.clock.coarse_now = monotonic()
    assert probe(wire, "/healthz")[0] == 200


@pytest.mark.parametrize(("field", "value"), [("is_draining", True), ("context.runtime", None)])
def test_readyz_is_503_and_healthz_200_while_not_ready(field: str, value: Any) -> None:
    wire = Wire()
    assert probe(wire, "/readyz")[0] == 200
    *owners, name = field.split(".")
    setattr(getattr(wire.gateway, *owners) if owners else wire.gateway, name, value)
    assert probe(wire, "/readyz")[0] == 503
    assert probe(wire, "/healthz")[0] == 200


def test_readyz_without_a_document_reports_the_reason() -> None:
    wire = Wire()
    wire.gateway.context.runtime = None
    assert probe(wire, "/readyz", is_listening=False) == (503, "it is on its way\n")
    assert probe(wire, "/healthz", is_listening=False) == (200, "ok\n")


def test_readyz_is_503_before_the_listener_is_open() -> None:
    assert probe(Wire(), "/readyz", is_listening=False) == (503, "about to listen\n")


def test_readyz_reports_since_when_the_last_good_copy_is_served() -> None:
    state = SourceState(copy_served_since=1_796_000_000.5)
    assert probe(Wire(), "/readyz", state=state) == (200, "ok, with the last good copy since 2026-11-30T00:53:20Z\n")
    assert json.loads(probe(Wire(), "/debug/config", state=state)[1])["lastGoodSince"] == "2026-11-30T00:53:20Z"
    over = SourceState(copy_served_since=0.0)
    assert probe(Wire(), "/readyz", state=over) == (200, "ok\n")
    assert json.loads(probe(Wire(), "/debug/config", state=over)[1])["lastGoodSince"] is None


def test_metrics_show_the_state_of_the_config_source() -> None:
    state = SourceState(
        is_connected=False,
        endpoints_revision="0123456789",
        is_copy_saved=True,
        copy_saved_at=5.0,
        copy_served_since=0.0,
    )
    lines = probe(Wire(), "/metrics", state=state)[1].splitlines()
    assert {
        "config_source_connected 0.0",
        "config_last_good_saved 1.0",
        "config_last_good_saved_timestamp_seconds 5.0",
        "config_last_good_served 0.0",
        'endpoints_revision_info{revision="0123456789"} 1.0',
    } <= set(lines)
    # A directory has no such state, but the names are there.
    lines = probe(Wire(), "/metrics")[1].splitlines()
    assert "# TYPE config_source_connected gauge" in lines
    assert not any(line.startswith(("config_source", "config_last_good", "endpoints_revision")) for line in lines)
