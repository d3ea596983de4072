"""Random scenarios by the thousand: `python -m lifecycle.run --count 200000`. A failure is made small and printed.

Each scenario is chosen by the bytes that its number and the seed give, so `--seed S --first N --count 1` repeats one;
`--choices HEX` repeats a printed one.
"""

import random
import time
from typing import Annotated, Final

import typer

from lifecycle import scenario
from lifecycle.scenario import ScenarioError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
LENGTHS: Final = (40, 80, 160, 240)


def choices_of(seed: int, number: int) -> bytes:
    """The bytes that choose one scenario."""
    source = random.Random(seed * 1_000_003 + number)
    return source.randbytes(source.choice(LENGTHS))


def why_it_fails(data: bytes, *, has_fault: bool) -> str | None:
    """The failure of one scenario, as text."""
    try:
        scenario.run(data, has_fault=has_fault)
    except ScenarioError as failure:
        return str(failure)
    return None


def shrink(data: bytes, *, has_fault: bool) -> bytes:
    """Fewer and simpler choices that still fail."""
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            for shorter in (data[:at] + data[at + size :], data[:at] + bytes(size) + data[at + size :]):
                if (
                    shorter != data
                    and len(shorter) <= len(data)
                    and why_it_fails(shorter, has_fault=has_fault) is not None
                ):
                    data = shorter
                    break
            else:
                at += size
                continue
            if data[at : at + size] == bytes(size):
                at += size
        size //= 2
    return data


@app.command()
def main(
    count: Annotated[int, typer.Option(min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="0 = by the clock")] = 0,
    first: Annotated[int, typer.Option(help="number of the first scenario")] = 0,
    faults: Annotated[bool, typer.Option(help="one unexpected error in each scenario")] = False,
    choices: Annotated[str, typer.Option(help="repeat one scenario by its printed bytes")] = "",
) -> None:
    """Run scenarios; the exit code is 1 when one failed."""
    if choices:
        why = why_it_fails(bytes.fromhex(choices), has_fault=faults)
        print(why or "holds")
        raise typer.Exit(1 if why else 0)
    seed = seed or int(time.time())
    began = reported = time.monotonic()
    print(f"seed {seed}, {count} scenarios", flush=True)
    for number in range(first, first + count):
        data = choices_of(seed, number)
        if why_it_fails(data, has_fault=faults) is not None:
            smaller = shrink(data, has_fault=faults)
            print(f"scenario {number} of seed {seed} fails; made small: --choices {smaller.hex()}")
            print(why_it_fails(smaller, has_fault=faults))
            raise typer.Exit(1)
        now = time.monotonic()
        if now - reported > 60:
            reported = now
            done = number - first + 1
            print(f"{done} scenarios, {1e3 * (now - began) / done:.2f} ms each", flush=True)
    took = time.monotonic() - began
    print(f"{count} scenarios of seed {seed} hold; {took:.0f} s, {1e3 * took / count:.2f} ms each")


if __name__ == "__main__":
    app()
