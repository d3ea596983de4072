"""A client that leaves while the gateway does not read from it: pipelined requests, a body that the upstream does not take."""

from __future__ import annotations

import socket
import struct

from inferway_fakes.upstream import Pause
from inferway_fakes.waiting import DEADLINE, wait_until
from inferway_fakes.yaml_builders import route, rule, to

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def in_flight(gateway) -> float:
    return gateway.metric("requests_in_flight")


def test_s2_who_leaves_behind_pipelined_requests_is_seen(serve, upstream):
    upstream.script = lambda seen: [Pause(30)]
    gateway = serve(route(rule(to(upstream.port))))
    client = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE)
    client.sendall(GET * 2)
    wait_until(lambda: in_flight(gateway) == 1, "the first request")
    client.close()
    wait_until(lambda: in_flight(gateway) == 0, "the end of it", 3)


def test_s2_who_resets_while_its_body_is_not_taken_is_seen(serve):
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts in the kernel, and never reads
        gateway = serve(route(rule(to(deaf.getsockname()[1]))))
        client = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE)
        client.setblocking(False)
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")

        def is_full() -> bool:
            try:
                while True:
                    client.send(b"x" * 65536)
            except BlockingIOError:
                return True

        wait_until(lambda: is_full() and in_flight(gateway) == 1, "back-pressure")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        wait_until(lambda: in_flight(gateway) == 0, "the end of it", 3)
