"""Specs within the limits of the schema and of 256 KiB that cost a gateway as much as possible: one family each.

A family is a function of its number of parts, so that a search can vary it; `fitted` finds the largest number that fits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from inferway_operator.world.resources import MAX_SPEC_BYTES

Manifest = dict[str, Any]

HOSTNAMES: Final = 16
RULES: Final = 64
MATCHES: Final = 16
CONDITIONS: Final = 16
BACKENDS: Final = 32
"""The most of each in one list of the schema."""

ANSWER: Final = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "x"}}
PATTERNS: Final = (
    r"\pL{55}|",
    r"\PN{40}|",
    r"(?i:\pL{20})|",
    r"((a{10}){10}){9}|",
    r"[[:^ascii:]]{90}|",
    r"[^a]{60}|",
    r".{300}|",
    "(a|b|c|d|e){200}|",
    "(x?){500}|",
    r"[a-z]{1,900}|",
    "",
)
"""What RE2 turns into many instructions for each byte; "" = none, only their number costs."""


def route(name: str, rules: list[Manifest], hostnames: tuple[str, ...] = ("evil.example",)) -> Manifest:
    """Return a GatewayRoute."""
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name},
        "spec": {"hostnames": list(hostnames), "rules": rules},
    }


def policy(name: str, **spec: Any) -> Manifest:
    """Return a RateLimitPolicy of one limit."""
    limit = {"name": "all", "rate": {"requests": 1_000_000, "per": "1s"}, "burst": 1_000_000, "scope": "Pod"}
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "RateLimitPolicy",
        "metadata": {"name": name},
        "spec": {"limits": [limit], **spec},
    }


def compact(value: Manifest) -> int:
    """Return the bytes of a manifest, or of a part, as compact JSON."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def size(manifest: Manifest) -> int:
    """Return the bytes of a spec."""
    return compact(manifest["spec"])


def of_matches(name: str, matches: list[Manifest], hostnames: tuple[str, ...] = ("evil.example",)) -> Manifest:
    """Return a route of these matches, in as few rules as hold them."""
    parts = (matches[first : first + MATCHES] for first in range(0, len(matches), MATCHES))
    return route(name, [{"matches": part, "filters": [ANSWER]} for part in parts], hostnames)


# --- families --------------------------------------------------------------------------------------------------------


def header_patterns(pattern: str, parts: int, mark: str = "") -> Manifest:
    """Return a route of `parts` different patterns of headers."""
    texts: Iterator[str] = (f"{pattern}{mark}{number}" for number in range(parts))
    matches = []
    while names := list(islice(texts, CONDITIONS)):
        headers = [{"name": f"h{n}", "type": "RegularExpression", "value": pattern} for n, pattern in enumerate(names)]
        matches.append({"headers": headers})
    return of_matches("evil", matches)


def path_patterns(pattern: str, parts: int, mark: str = "") -> Manifest:
    """Return a route of `parts` different patterns of paths."""
    paths = ({"type": "RegularExpression", "value": f"/{pattern}/{mark}{number}"} for number in range(parts))
    return of_matches("evil", [{"path": path} for path in paths])


def products(parts: int, mark: str = "") -> Manifest:
    """Return a route of `parts` paths under each of 16 hostnames."""
    hostnames = tuple(f"h{number}.evil.example" for number in range(HOSTNAMES))
    paths = ({"type": "Exact", "value": f"/{mark}{number:x}"} for number in range(parts))
    return of_matches("evil", [{"path": path} for path in paths], hostnames)


def backends(parts: int, mark: str = "") -> Manifest:
    """Return a route of `parts` backends with checks, retries and breakers."""
    refs = [{"url": f"http://192.0.2.{number % 256}:{1024 + number // 256}/{mark}"} for number in range(parts)]
    rules = []
    for first in range(0, parts, BACKENDS):
        rule = {
            "matches": [{"path": {"type": "PathPrefix", "value": f"/{first}"}}],
            "backendRefs": refs[first : first + BACKENDS],
            "retry": {},
            "circuitBreaker": {},
        }
        rules.append(rule)
    return route("evil", rules)


def escapes(parts: int, letter: str = "\\") -> Manifest:
    """Return a route of `parts` bodies of a character that JSON writes longer."""
    rules = []
    for number in range(parts):
        answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": letter * 4000}}
        rules.append({"matches": [{"path": {"value": f"/{number}"}}], "filters": [answer]})
    return route("evil", rules)


def of_policies(policies: int, routes: int) -> list[Manifest]:
    """Return policies for a whole namespace, with the longest names, and routes with the most rules."""
    rules = [{"matches": [{"path": {"value": f"/{n}"}}], "filters": [ANSWER]} for n in range(RULES)]
    written = [policy(f"p{number:03d}-" + "x" * 240) for number in range(policies)]
    return written + [route(f"r{number}", rules) for number in range(routes)]


def fitted(family: Callable[[int], Manifest], most: int) -> Manifest:
    """Return the family's largest member of at most `most` parts that is within 256 KiB."""
    least = 1
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if size(family(middle)) <= MAX_SPEC_BYTES else (least, middle - 1)
    return family(least)


MOST_MATCHES: Final = RULES * MATCHES
MOST_CONDITIONS: Final = MOST_MATCHES * CONDITIONS
