"""Instruments of a scenario: what counts ends of exchanges, and stages that wait, in every rule of a runtime."""

import asyncio
from typing import Any

from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.engine.exchange import suspension
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import ResponseTap
from lifecycle.choices import Choices
from lifecycle.faults import Faults, Faulty, faulty


class _CountingTap(ResponseTap):
    """Counts its ends: exactly one comes."""

    def __init__(self, instruments: "Instruments") -> None:
        self._instruments = instruments

    def on_head(self, head: ResponseHead, lines: bytes) -> bool:
        self._instruments.faults.at("tap.on_head")
        return True

    def on_body(self, data: bytes) -> None:
        self._instruments.faults.at("tap.on_body")

    def on_end(self) -> None:
        self._instruments.open_taps -= 1
        self._instruments.faults.at("tap.on_end")

    def on_broken(self) -> None:
        self._instruments.open_taps -= 1
        self._instruments.faults.at("tap.on_broken")


class Instruments:
    """Stages, taps and settlers that pass seams, and what they count."""

    def __init__(self, faults: Faults, choices: Choices, *, has_fault: bool) -> None:
        self.faults = faults
        self.choices = choices
        self.has_fault = has_fault
        self.open_taps = 0
        self.open_settlers = 0
        self.counters: set[Any] = set()
        self.members: set[Any] = set()

    def add_to(self, runtime: Runtime) -> None:
        """Instrument every rule of a runtime, once."""
        self.counters.update(runtime.counters_of.values())
        self.members.update(member for members in runtime.members.values() for member in members.values())
        for rule in runtime.rules:
            if self._watch in rule.stages:
                continue  # it is kept from the document before
            waits = {"ewma": self._suspend, "small": self._gate}.get(rule.name)
            rule.stages = (self._watch, *((waits,) if waits is not None else ()), *rule.stages)
            if self.has_fault:
                self._break(rule)

    def _watch(self, exchange: Exchange) -> bool:
        """A stage: a tap and a settler for each exchange."""
        self.faults.at("stage")
        self.open_taps += 1
        exchange.add_tap(_CountingTap(self))
        self.open_settlers += 1
        exchange.add_settler(self._settle)
        return True

    def _settle(self, exchange: Exchange, seconds: float) -> None:
        self.open_settlers -= 1
        self.faults.at("settler")

    def _suspend(self, exchange: Exchange) -> bool:
        """A stage that waits for a coroutine."""
        return suspension.suspend(exchange, self._wait())

    async def _wait(self) -> bool:
        await asyncio.sleep(self.choices.below(4) / 10)
        self.faults.at("suspended stage")
        return True

    def _gate(self, exchange: Exchange) -> bool:
        """A stage that waits for the body."""

        def decide(content: bytes) -> bool:
            self.faults.at("gate")
            return True

        if not exchange.head.block.has_body:
            return True
        return suspension.await_body(exchange, 100, decide)

    def _break(self, rule: Rule) -> None:
        """Let what a rule uses pass seams."""
        for name in ("backend_set", "responses", "request_edits", "response_edits"):
            found = getattr(rule, name)
            if found is not None:
                setattr(rule, name, Faulty(found, self.faults))
        if rule.hash_key is not None:
            rule.hash_key = faulty(rule.hash_key, "hash_key", self.faults)
