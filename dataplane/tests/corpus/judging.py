"""Whether what was seen is what the corpus wants. Pure: the same judgement over sockets and without them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from corpus.cases import ExpectedRequest, RequestCase, ResponseCase
from corpus.reading import Answer, ForwardedRequest

_REFUSALS: Final = (*range(400, 500), 501, 505)


@dataclass
class Observed:
    """What became of one case."""

    answers: list[Answer] = field(default_factory=list)
    is_closed: bool = False
    """The proxy closed the client's connection of itself."""
    forwarded: list[ForwardedRequest] = field(default_factory=list)
    """Requests that the upstream received, whole or not."""
    has_upstream: bool = True
    """Whether the upstream is known at all: a foreign target may forward elsewhere."""

    @property
    def finals(self) -> list[Answer]:
        """The answers that are not interim."""
        return [answer for answer in self.answers if answer.status >= 200 or not answer.status]

    @property
    def statuses(self) -> list[int]:
        """Of the final answers."""
        return [answer.status for answer in self.finals]


def heads(case: RequestCase) -> list[bool]:
    """Which of the answers are to HEAD."""
    return [wanted.method == "HEAD" for wanted in case.upstream]


def check_request(case: RequestCase, seen: Observed) -> str:
    """What is not as it must be; empty when all is."""
    return _wrong_answers(case, seen) or (_wrong_upstream(case, seen.forwarded) if seen.has_upstream else "")


def _wrong_answers(case: RequestCase, seen: Observed) -> str:
    statuses = seen.statuses
    if any(not answer.is_whole for answer in seen.finals):
        return f"an answer is cut: {statuses}"
    if case.verdict in ("close", "cut"):
        # An answer with the reason is allowed, not required.
        served, extra = statuses[: len(case.statuses)], statuses[len(case.statuses) :]
        if served != [allowed[0] for allowed in case.statuses] or any(status not in _REFUSALS for status in extra):
            return f"answered {statuses}"
        return "" if seen.is_closed else "left open"
    if len(statuses) != len(case.statuses):
        return f"{len(statuses)} answers {statuses}, not {len(case.statuses)}"
    for status, allowed in zip(statuses, case.statuses, strict=True):
        if status not in allowed:
            return f"answered {status}, not {' or '.join(map(str, allowed))}"
    if case.verdict == "refuse" and not case.keeps and not seen.is_closed:
        return "refused, but left open"
    return ""


def _wrong_upstream(case: RequestCase, forwarded: Sequence[ForwardedRequest]) -> str:
    if any(not one.method for one in forwarded):
        return f"the upstream received bytes that are not a request: {forwarded[-1].body[:40]!r}"
    whole = [one for one in forwarded if one.is_whole]
    if len(whole) != len(forwarded) and not case.begins:
        return "the upstream saw the beginning of a request"
    if len(whole) != len(case.upstream):
        return f"the upstream saw {[f'{one.method} {one.target}' for one in whole]}"
    return next(filter(None, map(_wrong_request, case.upstream, whole)), "")


def _wrong_request(wanted: ExpectedRequest, request: ForwardedRequest) -> str:
    if (request.method, request.target) != (wanted.method, wanted.target):
        return f"the upstream saw {request.method} {request.target}, not {wanted.method} {wanted.target}"
    if request.body != wanted.body:
        return f"the upstream saw the body {request.body[:40]!r}, not {wanted.body[:40]!r}"
    return _wrong_fields(wanted.has, wanted.lacks, request)


def _wrong_fields(has: dict[str, str], lacks: Sequence[str], message: ForwardedRequest | Answer) -> str:
    for name, value in has.items():
        actual = ", ".join(message.all(name))
        if actual != value:
            return f"the field {name} is {actual!r}, not {value!r}"
    for name in lacks:
        if message.all(name):
            return f"the field {name} was forwarded: {message.all(name)}"
    return ""


def check_response(case: ResponseCase, seen: Observed, *, is_link_closed: bool) -> str:
    """What is not as it must be; empty when all is. `is_link_closed`: the proxy closed the upstream connection."""
    wrong = _wrong_answer(case, seen)
    if wrong:
        return wrong
    if case.reused and is_link_closed:
        return "the upstream connection was closed"
    if case.reused is False and not (case.closes or is_link_closed):
        return "the upstream connection was kept"
    return ""


def _wrong_answer(case: ResponseCase, seen: Observed) -> str:
    finals = seen.finals
    if case.fate == "abort":
        # A reset may have swallowed even the beginning; what counts is that nothing looks complete.
        if not seen.is_closed or any(answer.is_whole and answer.status for answer in finals):
            return f"the client took {seen.statuses} for a whole answer"
        return ""
    if len(finals) != 1 or not finals[0].is_whole:
        return f"answered {seen.statuses}, whole: {[answer.is_whole for answer in finals]}"
    answer = finals[0]
    if answer.status != case.status:
        return f"answered {answer.status}, not {case.status}"
    interim = [answer.status for answer in seen.answers if answer.status < 200]
    if case.fate == "pass" and interim != list(case.interim):
        return f"interim answers {interim}, not {list(case.interim)}"
    if case.fate == "pass" and answer.body != case.body:
        return f"the body {answer.body[:40]!r}, not {case.body[:40]!r}"
    return _wrong_fields(case.has, case.lacks, answer)
