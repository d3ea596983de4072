"""Puts the corpus to a proxy and prints what became of it: `make corpus`, or `python -m corpus.run --help`."""

from collections.abc import Sequence
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from corpus import running
from corpus.cases import RequestCase, ResponseCase, request_cases, response_cases
from corpus.judging import Observed
from corpus.recorder import Recorder
from corpus.running import Result

app = typer.Typer(add_completion=False)


@app.command()
def main(
    target: Annotated[str, typer.Option(help="host:port of the proxy; empty = start a gateway in this process")] = "",
    upstream: Annotated[str, typer.Option(help="host:port to listen on for what the target forwards")] = "",
    serial: Annotated[bool, typer.Option(help="one at a time: for targets that add no X-Forwarded-For")] = False,
    bytewise: Annotated[bool, typer.Option(help="send one byte at a time, each by itself")] = False,
    responses: Annotated[bool, typer.Option(help="the upstream's answers too (own gateway only)")] = True,
    only: Annotated[str, typer.Option(help="cases whose subject or id begins so")] = "",
    every: Annotated[bool, typer.Option("--all", help="list the cases that pass too")] = False,
) -> None:
    """Put every case to a proxy; the exit code is 1 when a case went wrong that is not known to."""
    requests = [case for case in request_cases() if case.subject.startswith(only) or case.id.startswith(only)]
    answers = [case for case in response_cases() if case.subject.startswith(only) or case.id.startswith(only)]
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    if target:
        results = uvloop.run(_foreign(requests, _address(target), upstream, is_serial=serial, is_bytewise=bytewise))
        answers = []
    else:
        results = uvloop.run(_local(requests, is_bytewise=bytewise))
    response_results = uvloop.run(running.put_responses(answers, is_bytewise=bytewise)) if answers and responses else []
    for name, part in (("Requests", results), ("Responses", response_results)):
        if part:
            _print(console, name, part, every=every)
    _summarise(console, results, response_results)
    if any(result.wrong and not result.case.known for result in (*results, *response_results)):
        raise typer.Exit(1)


async def _local(cases: Sequence[RequestCase], *, is_bytewise: bool) -> list[Result]:
    recorder = Recorder()
    async with running.gateway(await recorder.start()) as address:
        results = await running.put_requests(cases, address, recorder, is_bytewise=is_bytewise)
    await recorder.stop()
    return results


async def _foreign(
    cases: Sequence[RequestCase], address: tuple[str, int], upstream: str, *, is_serial: bool, is_bytewise: bool
) -> list[Result]:
    if not upstream:
        return await running.put_requests(cases, address, None, is_bytewise=is_bytewise)
    recorder = Recorder(is_serial=is_serial)
    await recorder.start(*_address(upstream))
    results = await running.put_requests(cases, address, recorder, is_bytewise=is_bytewise)
    await recorder.stop()
    return results


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _print(console: Console, title: str, results: Sequence[Result], *, every: bool) -> None:
    table = Table("case", "wanted", "seen", "upstream", "result", title=title)
    for result in results:
        if result.wrong or every:
            upstream = _forwarded(result.seen) if isinstance(result.case, RequestCase) else ""
            table.add_row(result.case.id, _expected(result.case), _statuses(result.seen), upstream, _verdict(result))
    if table.row_count:
        console.print(table)


def _expected(case: RequestCase | ResponseCase) -> str:
    if isinstance(case, ResponseCase):
        return f"{case.fate} {case.status if case.fate == 'pass' else ''}".strip()
    return " ".join([case.verdict, *("/".join(map(str, allowed)) for allowed in case.statuses)])


def _statuses(seen: Observed) -> str:
    text = " ".join(f"{answer.status}{'' if answer.is_whole else '…'}" for answer in seen.answers) or "no answer"
    return text + (", closed" if seen.is_closed else "")


def _forwarded(seen: Observed) -> str:
    if not seen.has_upstream:
        return "not known"
    return f"{sum(one.is_whole for one in seen.forwarded)} whole, {sum(not one.is_whole for one in seen.forwarded)} not"


def _verdict(result: Result) -> str:
    if result.case.known:
        return f"[yellow]known: {result.wrong}" if result.wrong else "[red]known, and yet it passes"
    return f"[red]{result.wrong}" if result.wrong else "[green]as wanted"


def _summarise(console: Console, requests: Sequence[Result], responses: Sequence[Result]) -> None:
    legal = [result for result in requests if isinstance(result.case, RequestCase) and result.case.is_legal]
    illegal = [result for result in requests if isinstance(result.case, RequestCase) and not result.case.is_legal]
    unexpected = [result for result in requests if own_errors(result)]
    console.print(f"illegal requests refused: {_right(illegal)}/{len(illegal)}")
    console.print(f"legal requests accepted:  {_right(legal)}/{len(legal)}")
    console.print(f"requests with a 5xx that neither the upstream nor the corpus gave: {len(unexpected)}")
    if responses:
        console.print(f"responses as wanted:      {_right(responses)}/{len(responses)}")
    known = sum(bool(result.case.known and result.wrong) for result in (*requests, *responses))
    if known:
        console.print(f"known and not mended yet: {known}")


def _right(results: Sequence[Result]) -> int:
    return sum(not result.wrong for result in results)


def own_errors(result: Result) -> list[int]:
    """The 5xx answers that the case does not allow; the upstream of the request cases never gives one."""
    if not isinstance(result.case, RequestCase):
        return []
    allowed = {status for statuses in result.case.statuses for status in statuses}
    if result.case.verdict in ("close", "cut"):
        allowed |= {501, 505}
    return [status for status in result.seen.statuses if status >= 500 and status not in allowed]


if __name__ == "__main__":
    app()
