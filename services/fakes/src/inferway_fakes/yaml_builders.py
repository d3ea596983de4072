"""Resources as YAML as written by users, from the lines that matter to a test."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import dedent, indent


def _item(text: str, depth: int) -> str:
    """Return a list item of YAML at this depth."""
    lines = indent(dedent(text).strip("\n"), " " * (depth + 2))
    return lines[:depth] + "-" + lines[depth + 1 :]


def to(*ports: int) -> str:
    """Return backendRefs to local upstreams, of equal weight."""
    return "backendRefs: [" + ", ".join(f'{{url: "http://127.0.0.1:{port}"}}' for port in ports) + "]"


def direct_response(text: str) -> str:
    """Return a DirectResponse filter with this text, which shows the rule that matched the request."""
    return f"filters: [{{type: DirectResponse, directResponse: {{statusCode: 200, body: {text!r}}}}}]"


def rule(*parts: str) -> str:
    """Return one rule from its parts, each some lines of YAML."""
    return "\n".join(dedent(part).strip("\n") for part in parts if part.strip())


def route(*rules: str, name: str = "demo", hostnames: Sequence[str] = (), created: str = "") -> str:
    """Return a GatewayRoute."""
    age = f', creationTimestamp: "{created}"' if created else ""
    hosts = f"  hostnames: [{', '.join(repr(host) for host in hostnames)}]\n" if hostnames else ""
    return (
        "apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\n"
        f"metadata: {{name: {name}{age}}}\nspec:\n{hosts}  rules:\n" + "\n".join(_item(text, 2) for text in rules)
    )


def policy(*limits: str, name: str = "limits", more: str = "") -> str:
    """Return a RateLimitPolicy for every route; `more` is more YAML of its spec."""
    extra = indent(dedent(more).strip("\n"), "  ") + "\n" if more else ""
    return (
        "apiVersion: inferway.dev/v1alpha1\nkind: RateLimitPolicy\n"
        f"metadata: {{name: {name}}}\nspec:\n{extra}  limits:\n" + "\n".join(_item(text, 2) for text in limits)
    )


def service(name: str, *ports: int) -> str:
    """Return a Service with port 80, and a ready endpoint on each of these local ports."""
    documents = [
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80}}]}}"
    ]
    documents += [
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}-{port}, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n"
        f"ports: [{{name: http, port: {port}}}]\nendpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]"
        for port in ports
    ]
    return resources(*documents)


def resources(*documents: str) -> str:
    """Join several resources to one file."""
    return "\n---\n".join(documents) + "\n"
