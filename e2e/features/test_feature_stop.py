"""The process: how it starts, how it ends, and with which exit code."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from inferway_fakes.manifests import route, rule, says, to
from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.waiting import DEADLINE, wait_until

INFERWAY = str(Path(sys.executable).with_name("inferway"))


class Process:
    """`inferway run DIR` as a process of its own."""

    def __init__(self, running):
        self.running = running
        self.events = []
        self.text = []  # what it says that is not an event: why it did not start
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.running.stderr:
            if line.startswith("{"):
                self.events.append(json.loads(line))
            else:
                self.text.append(line)

    def event(self, name):
        """Wait for this line of the process's log."""
        wait_until(lambda: self._found(name) or self.running.poll() is not None, f"the event {name}")
        found = self._found(name)
        assert found, f"it ended before the event {name}, and said: {''.join(self.text)}"
        return found

    def _found(self, name):
        return next((event for event in list(self.events) if event["event"] == name), None)

    def port(self, listener="listen"):
        """The port that it listens on."""
        return int(self.event("ready")[listener].rpartition(":")[2])

    def signal(self, number=signal.SIGTERM):
        """Send a signal."""
        os.kill(self.running.pid, number)

    def exit_code(self):
        """Wait for the end."""
        code = self.running.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@contextmanager
def started(directory, text, *flags, log=subprocess.DEVNULL):
    """A running process; it never outlives the test. `log`: where its access log goes."""
    (directory / "routes.yaml").write_text(text)
    command = [INFERWAY, "run", str(directory), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
    with subprocess.Popen(command, stdout=log, stderr=subprocess.PIPE, text=True) as running:
        process = Process(running)
        try:
            yield process
        finally:
            if running.poll() is None:
                running.kill()
            process.exit_code()


def ask(port, path="/"):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_exit_code_0(tmp_path, number):
    with started(tmp_path, route(rule(says("ok")))) as process:
        assert ask(process.port()) == (200, b"ok")
        process.signal(number)
        assert process.exit_code() == 0
        assert [event["event"] for event in process.events][-2:] == ["draining", "stopped"]
        with pytest.raises(ConnectionRefusedError):
            ask(process.port())


def test_requests_in_flight_finish_before_it_ends(tmp_path, upstream):
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        Pause(0.7),
        b"6\r\nsecond\r\n0\r\n\r\n",
    ]
    with started(tmp_path, route(rule(to(upstream.port)))) as process:
        port = process.port()
        answers = []
        clients = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(10)]
        for client in clients:
            client.start()
        wait_until(lambda: len(upstream.seen) == 10, "all requests to be in flight")
        process.signal()
        for client in clients:
            client.join(DEADLINE)
        assert answers == [(200, b"firstsecond")] * 10
        assert process.exit_code() == 0


def test_under_load_every_request_that_reached_the_upstream_is_answered(tmp_path, upstream):
    upstream.script = lambda seen: [Pause(0.01), *reply()]
    with started(tmp_path, route(rule(to(upstream.port)))) as process:
        port = process.port()
        answered, failed = [], []

        def load():
            while True:
                try:
                    answered.append(ask(port))
                except (ConnectionError, http.client.RemoteDisconnected) as error:
                    failed.append(error)  # the listener is closed, or the connection was never taken up
                    return

        clients = [threading.Thread(target=load) for _ in range(8)]
        for client in clients:
            client.start()
        wait_until(lambda: len(answered) > 100, "some load")
        process.signal()
        for client in clients:
            client.join(DEADLINE)
        assert process.exit_code() == 0
    assert set(answered) == {(200, b"ok")}
    assert len(answered) == len(upstream.seen)


def test_while_it_drains_it_serves_on_and_is_not_ready(tmp_path):
    with started(tmp_path, route(rule(says("ok"))), "--drain-delay", "1") as process:
        port, admin = process.port(), process.port("admin")
        assert ask(admin, "/readyz")[0] == 200
        process.signal()
        process.event("draining")
        assert ask(admin, "/readyz")[0] == 503
        assert ask(admin, "/healthz")[0] == 200
        assert ask(port) == (200, b"ok")
        assert process.exit_code() == 0


def test_a_stream_without_end_is_cut_off_after_the_drain_timeout(tmp_path, upstream):
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        Pause(60),
    ]
    with started(tmp_path, route(rule(to(upstream.port))), "--drain-timeout", "0.5") as process:
        port = process.port()
        broken = []

        def read():
            try:
                ask(port)
            except (http.client.IncompleteRead, ConnectionResetError) as error:
                broken.append(error)

        client = threading.Thread(target=read)
        client.start()
        wait_until(lambda: upstream.seen, "the stream to flow")
        process.signal()
        assert process.exit_code() == 0
        client.join(DEADLINE)
        assert len(broken) == 1  # never a clean end


def test_a_log_that_nobody_reads_does_not_keep_it_from_stopping(tmp_path):
    reader, writer = os.pipe()
    try:
        with started(tmp_path, route(rule(says("ok"))), "--access-log-rate", "100000", log=writer) as process:
            port = process.port()
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                # More lines than a pipe takes.
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000 + b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(1 << 20):
                    pass
            wait_until(lambda: is_full(writer), "the pipe to be full")
            signalled = monotonic()
            process.signal()
            assert process.exit_code() == 0
            assert monotonic() - signalled < 5.0
    finally:
        os.close(reader)
        os.close(writer)


def is_full(pipe):
    """Whether a write of one page would have to wait."""
    return not select.select([], [pipe], [], 0)[1]


def test_a_second_signal_ends_it_at_once_with_exit_code_1(tmp_path, upstream):
    upstream.script = lambda seen: [Pause(60)]
    with started(tmp_path, route(rule(to(upstream.port)))) as process:
        port = process.port()

        def ask_in_vain():
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(port)

        client = threading.Thread(target=ask_in_vain)
        client.start()
        wait_until(lambda: upstream.seen, "a request to be in flight")
        process.signal()
        process.event("draining")
        process.signal()
        assert process.exit_code() == 1
        client.join(DEADLINE)


def refused(directory, *flags):
    """A start that fails: its exit code and what it says."""
    command = [INFERWAY, "run", str(directory), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_a_first_start_with_mistakes_tells_all_of_them_with_file_and_line(tmp_path):
    (tmp_path / "a.yaml").write_text("apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\nmetadata: [\n")
    (tmp_path / "b.yaml").write_text(route(rule(says("ok"), "typo: 1"), name="b"))
    code, told = refused(tmp_path)
    assert code == 1
    assert "a.yaml:" in told
    assert "b.yaml:7: " in told
    assert "typo" in told


def test_a_start_without_a_route_fails(tmp_path):
    code, told = refused(tmp_path)
    assert code == 1
    assert "no GatewayRoute found" in told


def test_a_start_without_a_directory_fails(tmp_path):
    code, told = refused(tmp_path / "nowhere")
    assert code == 1
    assert "nowhere" in told


def test_a_port_that_is_taken_is_told(tmp_path, upstream):
    (tmp_path / "routes.yaml").write_text(route(rule(says("ok"))))
    code, told = refused(tmp_path, "--listen", f"127.0.0.1:{upstream.port}")
    assert code == 1
    assert f"127.0.0.1:{upstream.port}" in told


def test_a_wrong_setting_is_a_mistake_in_usage(tmp_path):
    (tmp_path / "routes.yaml").write_text(route(rule(says("ok"))))
    code, told = refused(tmp_path, "--head-timeout", "soon")
    assert code == 2
    assert "--head-timeout" in told
