"""The endpoint that fails, and its faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import scripted
from bench.fakes import Accepting, FaultyTcp, Flow


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    name: str
    begin: Callable[[Victim], None]
    """Applies the fault to the victim."""


class Victim:
    """The failing endpoint: a scripted upstream behind a TCP proxy that can refuse."""

    def __init__(self, upstream: scripted.Scripted, tcp: FaultyTcp) -> None:
        self.upstream, self._tcp = upstream, tcp

    def refuse(self) -> None:
        """Close the listener and reset open connections: the process has died."""
        self._tcp.change(accepting=Accepting.REFUSE)
        self._tcp.cut_all()

    def drop(self) -> None:
        """Let connects and open connections hang: the node is gone."""
        still = Flow(is_stopped=True)
        self._tcp.change(accepting=Accepting.DROP, to_target=still, to_client=still)

    def heal(self) -> None:
        """Remove the fault, and reset all connections that it affected."""
        self._tcp.cut_all()
        self._tcp.heal()
        self.upstream.switch()


FAULTS = (
    Fault("refuses", Victim.refuse),
    Fault("connects hang", Victim.drop),
    Fault("hangs", lambda victim: victim.upstream.switch(hang=True)),
    Fault("answers 500", lambda victim: victim.upstream.switch(failShare=1.0)),
    Fault("slow (0.9 s)", lambda victim: victim.upstream.switch(latency=0.9)),
)
