"""The origin: nginx answering from memory, and a count of the requests it has received.

The count shows the benchmark that a proxied request was proxied and that a cache hit was one.
"""

from __future__ import annotations

import contextlib
import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench import answer, ports, servers
from bench.peers import nginx

HTTP = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location / {{ return 200 '{prefix}$arg_prompt{suffix}'; }}
    }}
    server {{
        listen 127.0.0.1:{status_port};
        location / {{ stub_status; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Origin:
    port: int
    status_port: int

    def requests_seen(self) -> int:
        """Return the number of requests to this nginx, this query included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port, timeout=5)
        try:
            connection.request("GET", "/")
            return parse_requests(connection.getresponse().read().decode())
        finally:
            connection.close()


def parse_requests(text: str) -> int:
    """Parse stub_status: a line of three numbers, the last of which counts the requests."""
    match = re.search(r"^ *\d+ +\d+ +(\d+) *$", text, re.MULTILINE)
    if match is None:
        raise servers.BenchError(f"the origin's stub_status is not understood: {text!r}")
    return int(match[1])


@contextlib.contextmanager
def serve(launcher: servers.Launcher) -> Iterator[Origin]:
    with contextlib.ExitStack() as running:
        with ports.hold(2) as (port, status_port):
            http_block = HTTP.format(port=port, status_port=status_port, prefix=answer.PREFIX, suffix=answer.SUFFIX)
            command = nginx.command(launcher.directory, "origin", http_block)
            server = running.enter_context(launcher.running("origin", command))
            server.wait_ready(lambda: servers.answers(port) and servers.answers(status_port))
        yield Origin(port, status_port)
