"""The load generator: one thread of wrk, with load.lua."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench import answer, servers

SCRIPT = Path(__file__).with_name("load.lua")
ANSWER_TIMEOUT = 20
"""Seconds wrk waits for one answer. Longer than any measurement: a slow answer is not a wrong one."""


class Mode(StrEnum):
    MEASURE = "measure"
    CHECK = "check"
    """Each body is compared inside wrk, which is too slow for a measurement."""


@dataclass(frozen=True, slots=True)
class Result:
    requests: int
    seconds: float
    bytes_read: int
    p50_us: int
    p99_us: int
    refusals: int
    """Answers with a status above 399, as wrk counts them."""
    socket_errors: int
    wrong: int
    """Answers with wrong bytes; counted in a checking pass only."""
    example: str

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def bytes_per_answer(self) -> float:
        return self.bytes_read / self.requests


def parse(output: str) -> Result:
    """Parse the line that `done()` in load.lua writes."""
    line = re.search(r"^BENCH (.*)$", output, re.MULTILINE)
    if line is None:
        raise servers.BenchError(f"wrk gave no summary:\n{output}")
    numbers = {name: int(value) for name, _, value in (pair.partition("=") for pair in line[1].split())}
    example = re.search(r"^WRONG (.*)$", output, re.MULTILINE)
    return Result(
        requests=numbers["requests"],
        seconds=numbers["duration_us"] / 1e6,
        bytes_read=numbers["bytes"],
        p50_us=numbers["p50_us"],
        p99_us=numbers["p99_us"],
        refusals=numbers["status"],
        socket_errors=numbers["connect"] + numbers["read"] + numbers["write"] + numbers["timeout"],
        wrong=numbers["wrong"],
        example=example[1] if example else "",
    )


@dataclass(frozen=True, slots=True)
class Generator:
    """The requests, written to files that wrk reads."""

    core: int
    directory: Path

    @classmethod
    def prepare(
        cls,
        core: int,
        directory: Path,
        targets: Sequence[str],
        headers: Mapping[str, str] = answer.REQUEST_HEADERS,
    ) -> Generator:
        directory.mkdir()
        (directory / "requests.txt").write_text("".join(f"{target}\n" for target in targets))
        (directory / "headers.txt").write_text("".join(f"{name}: {value}\n" for name, value in headers.items()))
        (directory / "prefix.bin").write_text(answer.PREFIX)
        (directory / "suffix.bin").write_text(answer.SUFFIX)
        return cls(core, directory)

    def start(self, port: int, connections: int, seconds: int, mode: Mode) -> Pass:
        return start_wrk(
            self.core, SCRIPT, port, connections, seconds, [str(self.directory), mode, str(answer.BODY_SIZE)]
        )


def start_wrk(core: int, script: Path, port: int, connections: int, seconds: int, arguments: Sequence[str]) -> Pass:
    command = [
        "taskset", "-c", str(core), "timeout", "-k", "5", str(seconds + 30),
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={ANSWER_TIMEOUT}s", f"--script={script}",
        f"http://127.0.0.1:{port}", "--", *arguments,
    ]  # fmt: skip
    return Pass(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))


class Pass:
    """A running wrk. As a context, it ends with its block."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> Pass:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()

    def finish(self) -> Result:
        output, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise servers.BenchError(f"wrk ended with status {self._process.returncode}:\n{output}")
        return parse(output)
