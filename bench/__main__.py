"""`python -m bench` compares; `python -m bench soak-keys` watches memory. Run from the root of the repository."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import rich.console
import rich.markup
import typer

from bench import compare, machine, measure, memory, peers, ratios, report, servers
from bench.peers import roster

LATEST = Path(__file__).parent / "results" / "latest.json"

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)
console = rich.console.Console(width=None if sys.stdout.isatty() else 160)


def _names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise typer.BadParameter(f"{', '.join(unknown) or 'nothing'} chosen; known are {', '.join(known)}")
    return chosen


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise typer.BadParameter("numbers, separated by commas") from error


def _fail(error: servers.BenchError) -> NoReturn:
    console.print(f"[bold red]The run failed:[/] {rich.markup.escape(str(error))}", highlight=False)
    raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def compare_proxies(
    context: typer.Context,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[int, typer.Option(min=2, help="Of each measurement.")] = 4,
    connections: Annotated[str, typer.Option(help="Numbers, separated by commas.")] = "1,32,256",
    proxies: Annotated[str, typer.Option()] = ",".join(peer.name for peer in roster.ALL),
    cases: Annotated[str, typer.Option()] = ",".join(peers.Case),
    output: Annotated[Path, typer.Option(help="File for the figures.")] = LATEST,
) -> None:
    """Compare the proxies: nginx, envoy, plain (uvicorn and httpx), inferway."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the started processes
    if context.invoked_subcommand is not None:
        return
    chosen = _names(proxies, tuple(peer.name for peer in roster.ALL))
    try:
        machine.require_tools(chosen)
        plan = compare.Plan(
            proxies=tuple(peer for peer in roster.ALL if peer.name in chosen),
            cases=tuple(peers.Case(name) for name in _names(cases, tuple(peers.Case))),
            connections=_numbers(connections),
            rounds=rounds,
            seconds=seconds,
            cores=_settle(),
        )
        facts = machine.facts()
        report.print_header(console, facts, plan)
        measurements = compare.run(plan, _tell)
    except servers.BenchError as error:
        _fail(error)
    console.print()
    report.print_cases(console, measurements)
    report.print_ratios(console, ratios.all_ratios(measurements))
    report.write(output, report.document(plan, facts, measurements))
    console.print(f"written: {output}", highlight=False)


@app.command("soak-keys")
def soak_keys(
    requests: Annotated[int, typer.Option(min=1)] = 5_000_000,
    clients: Annotated[int, typer.Option(min=1, max=131_072)] = 100_000,
    limit_mb: Annotated[float, typer.Option(help="Fails above.")] = memory.LIMIT_MB,
) -> None:
    """Send requests of many distinct clients to inferway and watch its memory."""
    try:
        machine.require_tools(["inferway"])
        soaked = memory.soak(requests, clients, _settle(), _tell_memory)
    except servers.BenchError as error:
        _fail(error)
    figures = {
        name: value / 1e6 for name, value in dataclasses.asdict(soaked).items() if name in ("before", "after", "peak")
    }
    console.print(
        f"{soaked.requests:,} requests of {clients:,} clients in {soaked.seconds:.0f} s: resident "
        f"{figures['before']:.1f} MB before, {figures['after']:.1f} MB after, {figures['peak']:.1f} MB at most "
        f"(limit {limit_mb:.0f} MB)",
        highlight=False,
    )
    if figures["peak"] > limit_mb:
        _fail(servers.BenchError(f"{figures['peak']:.1f} MB is over the limit"))


def _settle() -> measure.Cores:
    """Choose the cores and keep this program off the proxy's."""
    cores = machine.choose_cores()
    os.sched_setaffinity(0, {cores.load})
    return cores


def _tell(number: int, key: ratios.Key, measured: measure.Measurement) -> None:
    console.print(
        f"round {number + 1}  {key.case:<8}{key.connections:>4}  {key.peer:<9}{measured.per_second:>9,.0f} req/s "
        f"{measured.cpu_us:>8.1f} us  busy {measured.proxy_busy:3.0f}/{measured.load_busy:3.0f} %",
        highlight=False,
    )


def _tell_memory(done: int, resident: int) -> None:
    console.print(f"{done:>12,} requests, {resident / 1e6:.1f} MB", highlight=False)


if __name__ == "__main__":
    app(prog_name="python -m bench")
