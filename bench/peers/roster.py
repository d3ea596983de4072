"""The proxies of the comparison, in the order of the tables."""

from __future__ import annotations

from bench import peers
from bench.peers import envoy, inferway, nginx, plain

ALL: tuple[peers.Peer, ...] = (nginx.Nginx(), envoy.Envoy(), plain.Plain(), inferway.Inferway())
