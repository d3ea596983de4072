"""Resources as the YAML that a user writes, from the lines that a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import dedent, indent


def _item(text: str, depth: int) -> str:
    """A list item of YAML at this depth."""
    lines = indent(dedent(text).strip("\n"), " " * (depth + 2))
    return lines[:depth] + "-" + lines[depth + 1 :]


def to(*ports: int) -> str:
    """backendRefs to local upstreams, of equal weight."""
    return "backendRefs: [" + ", ".join(f'{{url: "http://127.0.0.1:{port}"}}' for port in ports) + "]"


def says(text: str) -> str:
    """A filter that answers with this text: it tells which rule had the request."""
    return f"filters: [{{type: DirectResponse, directResponse: {{statusCode: 200, body: {text!r}}}}}]"


def rule(*parts: str) -> str:
    """One rule from its parts, each some lines of YAML."""
    return "\n".join(dedent(part).strip("\n") for part in parts if part.strip())


def route(*rules: str, name: str = "demo", hostnames: Sequence[str] = (), created: str = "") -> str:
    """A GatewayRoute."""
    age = f', creationTimestamp: "{created}"' if created else ""
    hosts = f"  hostnames: [{', '.join(repr(host) for host in hostnames)}]\n" if hostnames else ""
    return (
        "apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\n"
        f"metadata: {{name: {name}{age}}}\nspec:\n{hosts}  rules:\n" + "\n".join(_item(text, 2) for text in rules)
    )


def policy(*limits: str, name: str = "limits", more: str = "") -> str:
    """A RateLimitPolicy for every route; `more` is more YAML of its spec."""
    extra = indent(dedent(more).strip("\n"), "  ") + "\n" if more else ""
    return (
        "apiVersion: inferway.dev/v1alpha1\nkind: RateLimitPolicy\n"
        f"metadata: {{name: {name}}}\nspec:\n{extra}  limits:\n" + "\n".join(_item(text, 2) for text in limits)
    )


def service(name: str, *ports: int) -> str:
    """A Service with port 80, and a ready endpoint on each of these local ports."""
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
    """Several resources as one file."""
    return "\n---\n".join(documents) + "\n"
