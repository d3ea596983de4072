"""The fields of the processes' events, in addition to `time`, `level`, `event` and `exception`, each with its meaning.

The data plane writes no other field. A test compares the list with the log calls of both planes; `make reference` writes it
into docs/log-fields.md.
"""

from collections.abc import Mapping
from typing import Final

FIELDS: Final[Mapping[str, str]] = {
    "admin": "address and port of the admin port",
    "code": "the problem code that requests of an invalid rule get",
    "delay_seconds": "seconds of the drain in which new connections are still served (`drain_delay`)",
    "endpoint": "address and port of an upstream's endpoint",
    "error": "the failed operation and its error",
    "file": "name of a file in the secrets directory",
    "host": "host name of an upstream",
    "listen": "address and port of the data port",
    "manifest": "a warning about a manifest: file, line, object, field and reason",
    "mend": "how to fix the cause",
    "requests": "number of requests",
    "revision": "revision of a config document",
    "route": "`NAMESPACE/NAME` of the GatewayRoute",
    "routes": "number of routes in a document",
    "rule": "name of the rule in its route",
    "rules": "number of rules",
    "seconds": "seconds for which an endpoint is ejected",
    "server": "name of the API server that the process cannot compare upstreams with",
    "services": "Services of a config that have no endpoints yet, ten at most",
    "status": "HTTP status of a health check; null = no response",
    "suppressed": "number of earlier failures of the same endpoint that were not logged",
    "usable": "whether the gateway can use the file",
    "what": "the task that failed, or the thing that was loaded again",
    "why": "what the process waits for",
}
