"""`pytest --fast`: what it leaves out, and its guard."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio, socket, subprocess, pytest, uvloop
from hypothesis import given, settings, strategies
from inferway_testing.examples import examples

async def serve():
    await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)

@pytest.fixture
def upstream(): ...

@pytest.fixture
def api(upstream): ...

def test_binds():
    socket.create_server(("127.0.0.1", 0))
def test_connects():
    socket.create_connection(("127.0.0.1", 9))
def test_looks_up():
    socket.getaddrinfo("localhost", 80)
def test_starts():
    subprocess.run(["true"])
def test_serves_by_asyncio():
    asyncio.run(serve())
def test_serves_by_uvloop():
    uvloop.run(serve())
def test_is_plain(tmp_path):
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "s"))
def test_has_fewer_examples():
    values = []
    settings(max_examples=examples(500))(given(value=strategies.integers())(lambda value: values.append(value)))()
    assert len(values) <= 20
def test_uses_a_fixture(api): ...
@pytest.mark.outside
def test_is_marked(): ...
"""


def test_fast_leaves_out_and_guards(tmp_path: Path) -> None:
    for folder in ("crds/tests", "tools/tests"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = outside\n")
    (tmp_path / "crds/tests/test_these.py").write_text(TESTS)
    (tmp_path / "tools/tests/test_those.py").write_text("def test_is_elsewhere(): ...\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fast", "-q", "-p", "inferway_testing.fast", "-p", "no:cacheprovider"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "6 failed, 2 passed, 3 deselected" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("OutsideError: ") >= 6
