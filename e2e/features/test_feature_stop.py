"""The process: its start, its end, and its exit codes."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import threading
from time import monotonic

import pytest

from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import direct_response, route, rule, to
from inferway_testing.client import ask
from inferway_testing.process import INFERWAY, run_gateway
from inferway_testing.until import DEADLINE, until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_stops_the_process_with_exit_code_0(tmp_path, number):
    with run_gateway(tmp_path, route(rule(direct_response("ok")))) as process:
        assert ask(process.port()) == (200, b"ok")
        process.signal(number)
        assert process.exit_code() == 0
        assert [event["event"] for event in process.events][-2:] == ["draining", "stopped"]
        with pytest.raises(ConnectionRefusedError):
            ask(process.port())


@pytest.mark.case("S5")
def test_requests_in_flight_finish_before_the_stop(tmp_path, upstream):
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        Pause(0.7),
        b"6\r\nsecond\r\n0\r\n\r\n",
    ]
    with run_gateway(tmp_path, route(rule(to(upstream.port)))) as process:
        port = process.port()
        answers = []
        clients = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(10)]
        for client in clients:
            client.start()
        until(lambda: len(upstream.seen) == 10, "all requests to be in flight")
        process.signal()
        for client in clients:
            client.join(DEADLINE)
        assert answers == [(200, b"firstsecond")] * 10
        assert process.exit_code() == 0


def test_stop_under_load_answers_every_forwarded_request(tmp_path, upstream):
    upstream.script = lambda seen: [Pause(0.01), *reply()]
    with run_gateway(tmp_path, route(rule(to(upstream.port)))) as process:
        port = process.port()
        answered, failed = [], []

        def load():
            while True:
                try:
                    answered.append(ask(port))
                except (ConnectionError, http.client.RemoteDisconnected) as error:
                    failed.append(error)  # the listener is closed, or the connection was never accepted
                    return

        clients = [threading.Thread(target=load) for _ in range(8)]
        for client in clients:
            client.start()
        until(lambda: len(answered) > 100, "some load")
        process.signal()
        for client in clients:
            client.join(DEADLINE)
        assert process.exit_code() == 0
    assert set(answered) == {(200, b"ok")}
    assert len(answered) == len(upstream.seen)


@pytest.mark.case("S5")
def test_drain_keeps_serving_and_is_not_ready(tmp_path, upstream):
    with run_gateway(tmp_path, route(rule(to(upstream.port))), "--drain-delay", "1.5") as process:
        port, admin = process.port(), process.port("admin")
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        kept.request("GET", "/")
        first = kept.getresponse()
        assert (first.read(), first.headers["connection"]) == (b"ok", None)
        assert ask(admin, "/readyz")[0] == 200
        process.signal()
        process.event("draining")
        assert ask(admin, "/readyz") == (503, b"draining\n")
        assert ask(admin, "/healthz")[0] == 200
        assert ask(port) == (200, b"ok")
        # Connected clients are served too, with `Connection: close`.
        kept.request("GET", "/")
        last = kept.getresponse()
        assert (last.status, last.read(), last.headers["connection"]) == (200, b"ok", "close")
        kept.close()
        assert process.exit_code() == 0


@pytest.mark.slow
@pytest.mark.case("S5")
def test_drain_ready_keeps_readiness_while_listening(tmp_path, upstream):
    """A node sends remaining new connections to a Terminating pod only while that pod is ready."""
    upstream.script = lambda seen: [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", Pause(60)]
    flags = ("--drain-delay", "1", "--drain-timeout", "2", "--drain-ready")
    with run_gateway(tmp_path, route(rule(to(upstream.port))), *flags) as process:
        port, admin = process.port(), process.port("admin")
        streaming = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        streaming.request("GET", "/")
        assert streaming.getresponse().read(5) == b"first"
        process.signal()
        process.event("draining")
        assert ask(admin, "/readyz") == (200, b"ok, draining\n")
        # The stream delays the end of the process, so the admin port answers after the listener has closed.
        until(lambda: ask(admin, "/readyz") == (503, b"draining\n"), "the delay to be over")
        until(lambda: is_refused(port), "the listener to be closed")
        assert process.exit_code() == 0
        streaming.close()


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.case("S5")
def test_stream_may_finish_during_the_drain(tmp_path, upstream):
    """The stop takes longer than the delay, and no longer than the timeout for requests in flight."""
    pieces = [piece for _ in range(5) for piece in (b"2\r\nhi\r\n", Pause(0.2))]
    upstream.script = lambda seen: [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *pieces, b"0\r\n\r\n"]
    with run_gateway(
        tmp_path, route(rule(to(upstream.port))), "--drain-delay", "0.3", "--drain-timeout", "5"
    ) as process:
        port = process.port()
        answers = []
        client = threading.Thread(target=lambda: answers.append(ask(port)))
        client.start()
        until(lambda: upstream.seen, "the stream to flow")
        process.signal()
        assert process.exit_code() == 0
        client.join(DEADLINE)
        assert answers == [(200, b"hi" * 5)]
        assert "requests were cut, the drain took too long" not in [event["event"] for event in process.events]


@pytest.mark.case("S5")
def test_endless_stream_is_cut_after_the_drain_timeout(tmp_path, upstream):
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        Pause(60),
    ]
    with run_gateway(tmp_path, route(rule(to(upstream.port))), "--drain-timeout", "0.5") as process:
        port = process.port()
        broken = []

        def read():
            try:
                ask(port)
            except (http.client.IncompleteRead, ConnectionResetError) as error:
                broken.append(error)

        client = threading.Thread(target=read)
        client.start()
        until(lambda: upstream.seen, "the stream to flow")
        process.signal()
        assert process.exit_code() == 0
        client.join(DEADLINE)
        assert len(broken) == 1  # never a clean end
        assert process.event("requests were cut, the drain took too long")["requests"] == 1


@pytest.mark.slow
def test_full_access_log_pipe_does_not_block_the_stop(tmp_path):
    reader, writer = os.pipe()
    try:
        with run_gateway(
            tmp_path, route(rule(direct_response("ok"))), "--access-log-rate", "100000", stdout=writer
        ) as process:
            port = process.port()
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                # More lines than a pipe takes.
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000 + b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(1 << 20):
                    pass
            until(lambda: is_full(writer), "the pipe to be full")
            signalled = monotonic()
            process.signal()
            assert process.exit_code() == 0
            assert monotonic() - signalled < 5.0
    finally:
        os.close(reader)
        os.close(writer)


def is_full(pipe):
    """Return whether a write of one page would block."""
    return not select.select([], [pipe], [], 0)[1]


def test_second_signal_exits_at_once_with_1(tmp_path, upstream):
    upstream.script = lambda seen: [Pause(60)]
    with run_gateway(tmp_path, route(rule(to(upstream.port)))) as process:
        port = process.port()

        def ask_in_vain():
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(port)

        client = threading.Thread(target=ask_in_vain)
        client.start()
        until(lambda: upstream.seen, "a request to be in flight")
        process.signal()
        process.event("draining")
        process.signal()
        assert process.exit_code() == 1
        client.join(DEADLINE)


def failed_start(directory, *flags):
    """Run a start that fails; returns its exit code and its output."""
    command = [INFERWAY, "run", str(directory), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_start_with_invalid_files_reports_every_error(tmp_path):
    (tmp_path / "a.yaml").write_text("apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\nmetadata: [\n")
    (tmp_path / "b.yaml").write_text(route(rule(direct_response("ok"), "typo: 1"), name="b"))
    code, output = failed_start(tmp_path)
    assert code == 1
    assert "a.yaml:" in output
    assert "b.yaml:7: " in output
    assert "typo" in output


def test_start_without_a_route_fails(tmp_path):
    code, output = failed_start(tmp_path)
    assert code == 1
    assert "no GatewayRoute found" in output


def test_start_without_a_directory_fails(tmp_path):
    code, output = failed_start(tmp_path / "nowhere")
    assert code == 1
    assert "nowhere" in output


def test_start_on_an_occupied_port_fails(tmp_path, upstream):
    (tmp_path / "routes.yaml").write_text(route(rule(direct_response("ok"))))
    code, output = failed_start(tmp_path, "--listen", f"127.0.0.1:{upstream.port}")
    assert code == 1
    assert f"127.0.0.1:{upstream.port}" in output


def test_start_with_an_invalid_setting_exits_with_2(tmp_path):
    (tmp_path / "routes.yaml").write_text(route(rule(direct_response("ok"))))
    code, output = failed_start(tmp_path, "--head-timeout", "soon")
    assert code == 2
    assert "--head-timeout" in output
