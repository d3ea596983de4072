"""nginx: one worker, upstream keep-alive, two limit_req zones; proxy_cache in memory for the hits."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from bench import answer, peers, ports, servers

# `user`: started by root, workers would become `nobody` and could not write below our directory.
# `keepalive_requests`: the default closes a connection every 1,000 requests.
MAIN = """
daemon off;
worker_processes 1;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{http}
}}
"""

# A million a second is 1,000 in each of nginx's milliseconds; with this burst no more than a rounding error of it is
# ever used. The sum it computes is 64 bits wide.
PROXY = """
    limit_req_zone all zone=global:1m rate=1000000r/s;
    limit_req_zone $binary_remote_addr zone=per_ip:10m rate=1000000r/s;
    limit_req zone=global burst=1000000 nodelay;
    limit_req zone=per_ip burst=1000000 nodelay;
    upstream origin {{
        server 127.0.0.1:{origin_port};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
{cache}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
{locations}
    }}
"""

# open_file_cache also serves proxy_cache: without it every hit opens and closes its file.
CACHE = """
    proxy_cache_path {directory}/cache levels=1:2 keys_zone=hits:10m max_size=100m inactive=2h use_temp_path=off;
    proxy_cache hits;
    proxy_cache_valid 200 1h;
    open_file_cache max=1000 inactive=1h;
    open_file_cache_valid 1h;
"""

LOCATION = "        location {prefix} {{ proxy_pass http://origin; }}"


def command(directory: Path, name: str, http_block: str) -> list[str]:
    """Write a configuration below `directory` and return the command. Also used for the origin."""
    prefix = directory / name
    prefix.mkdir()
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    config = prefix / "nginx.conf"
    config.write_text(MAIN.format(user=user, directory=prefix, http=http_block))
    return ["nginx", "-p", str(prefix), "-c", str(config), "-e", str(prefix / "error.log")]


class Nginx:
    name = "nginx"
    cases = (peers.Case.PROXIED, peers.Case.HIT)

    @contextlib.contextmanager
    def serve(self, case: peers.Case, origin_port: int, launcher: servers.Launcher) -> Iterator[peers.Running]:
        name = f"{self.name}-{case}"
        cache = CACHE.format(directory=launcher.directory / name) if case is peers.Case.HIT else ""
        locations = "\n".join(LOCATION.format(prefix=prefix) for prefix in peers.PREFIXES)
        with contextlib.ExitStack() as running:
            with ports.hold(1) as (port,):
                http_block = PROXY.format(port=port, origin_port=origin_port, cache=cache, locations=locations)
                start = command(launcher.directory, name, http_block)
                server = running.enter_context(launcher.running(name, start))
                server.wait_ready(lambda: servers.answers(port, answer.path(0)))
            yield peers.Running(self.name, case, port, server)
