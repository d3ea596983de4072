"""The outcomes of many requests: answered, wrong status, unanswered, connection not accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from bench import clients


@dataclass(slots=True)
class Tally:
    """The outcomes of one kind of traffic."""

    answered: int = 0
    """Complete answers with the wanted content."""
    failures: Counter[str] = field(default_factory=Counter)
    """By reason: an unwanted status, or the cause of a missing or incomplete answer."""
    not_accepted: Counter[str] = field(default_factory=Counter)
    """Connections that could not be made; no request was sent."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of each answer, to its end."""
    first_failure: str = ""

    @property
    def requests(self) -> int:
        """Return the number of requests sent on an accepted connection."""
        return self.answered + self.failed

    @property
    def failed(self) -> int:
        """Return the number of requests sent and not answered as wanted."""
        return self.failures.total()

    def fail(self, reason: str) -> None:
        """Count one more failure."""
        self.failures[reason] += 1
        self.first_failure = self.first_failure or f"{reason} at {monotonic():.3f}"

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.answered += other.answered
        self.failures.update(other.failures)
        self.not_accepted.update(other.not_accepted)
        self.seconds += other.seconds
        self.first_failure = self.first_failure or other.first_failure

    async def ask(
        self,
        client: clients.Client,
        data: bytes,
        within: float,
        is_wanted: Callable[[clients.Answer], bool] = lambda answer: answer.status == 200,
        on_body: Callable[[bytes], None] | None = None,
    ) -> clients.Answer | None:
        """Send a request and count its outcome; None without a complete answer."""
        try:
            answer = await client.ask(data, within, on_body)
        except clients.UnansweredError as error:
            self.fail(str(error.lost))
            return None
        self.seconds.append(answer.seconds)
        if is_wanted(answer):
            self.answered += 1
        else:
            self.fail(f"status {answer.status}" if answer.status != 200 else "wrong answer")
        return answer

    async def connect(self, port: int, within: float = 5.0, receive_buffer: int = 0) -> clients.Client | None:
        """Connect; on failure, count it and return None."""
        try:
            return await clients.Client.connect(port, within, receive_buffer)
        except clients.NotAcceptedError as error:
            self.not_accepted[str(error)] += 1
            return None

    def describe(self) -> str:
        """Return a cell of the table: `1,234 answered, 2 failed (reset 2)`."""
        failures = ", ".join(f"{reason} {count}" for reason, count in self.failures.most_common(5))
        causes = ", ".join(f"{reason} {count}" for reason, count in self.not_accepted.most_common(3))
        kept_out = f"; {self.not_accepted.total()} not accepted ({causes})" if causes else ""
        return f"{self.answered:,} answered, {self.failed:,} failed{f' ({failures})' if failures else ''}{kept_out}"
