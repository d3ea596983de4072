"""What hostile requests cost compared with a plain request of the same size: matching is linear whatever is in them.

`python -m bench.hostile_requests` prints microseconds and ratios. Requests and responses are bytes fed to the real
connection classes, as in `bench.hotpath`; every head differs, so nothing comes from a memo of heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import thread_time
from typing import Annotated, Final, NamedTuple

import typer

from bench.hotpath import Transport
from inferway_contract.document import (
    Backend,
    Cache,
    ConfigDocument,
    Cors,
    DirectResponse,
    EndpointsDocument,
    KeyPart,
    Limit,
    Match,
    NewPath,
    PathMatch,
    Policy,
    Redirect,
    Rewrite,
    Route,
    Rule,
    Url,
    ValueMatch,
)
from inferway_dataplane.core.steps import completed
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings

MOST: Final = 10
"""The cost of a hostile request is bounded by this multiple of a plain one of its size."""

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
OK: Final = DirectResponse(status=200, content_type="text/plain", body="ok")
BACKEND: Final = Backend(url=Url(scheme="http", host="127.0.0.1", port=1))
SIZE: Final = 8000  # bytes of a target; the request line may have 8 KiB


class Case(NamedTuple):
    """A request, and a plain one of the same size. `@` in them is another number each time."""

    rules: tuple[Rule, ...]
    hostile: bytes
    plain: bytes
    policies: tuple[Policy, ...] = ()


def target(text: bytes, start: bytes = b"/") -> bytes:
    """Repeat a text up to the size of a target, whole times."""
    return start + text * ((SIZE - len(start)) // len(text))


def get(path: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: a", *fields, b""])


def paths(matches: tuple[PathMatch, ...]) -> tuple[Rule, ...]:
    return tuple(Rule(name=f"r{n}", matches=(Match(path=match),), respond=OK) for n, match in enumerate(matches))


ALL = Rule(name="all", respond=OK)
PLAIN_PATH = get(target(b"x"))
PREFIXES = (
    *paths(tuple(PathMatch(value="/a" * depth) for depth in range(1, 60))),
    *paths((PathMatch(value="/admin"), PathMatch(type="Exact", value="/v1/chat"))),
    ALL,
)
PATTERNS = (*paths(tuple(PathMatch(type="RegularExpression", value=f"/v{n}/[^/]+/.*") for n in range(30))), ALL)
QUERY_RULES = (
    *(
        Rule(name=f"q{n}", matches=(Match(query=(ValueMatch(name=f"q{n}", value="1"),)),), respond=OK)
        for n in range(60)
    ),
    ALL,
)
HEADER_RULES = (
    *(
        Rule(name=f"h{n}", matches=(Match(headers=(ValueMatch(name=f"x-{n}", value="1"),)),), respond=OK)
        for n in range(60)
    ),
    ALL,
)
QUERY_LIMITS = Policy(
    id="demo/limits",
    limits=tuple(
        Limit(name=f"l{n}", requests=10**9, per=1000, burst=10**9, key=(KeyPart(type="query", name=f"k{n}"),))
        for n in range(16)
    ),
)
LIMITED = (Rule(name="all", respond=OK),)
ORIGINS = (Rule(name="all", respond=OK, cors=Cors(allow_origins=tuple(f"https://*.{n}.example" for n in range(60)))),)
LETTERS = [bytes((letter,)) for letter in (*range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1))]
# All different, or looking at each of them once would be enough.
PARAMETERS = get(b"/?" + b"&".join(one + other for one in LETTERS for other in LETTERS)[: SIZE - 2])
ESCAPED_PARAMETERS = get(b"/?" + b"&".join(b"%61" + one + other for one in LETTERS for other in LETTERS)[: SIZE - 2])
SEMICOLONS = get(b"/?x" + b"".join(b";k0=%b%b" % (one, other) for one in LETTERS for other in LETTERS)[: SIZE - 3])
ONE_PARAMETER = get(target(b"x", b"/?a="))


def cached(**settings: object) -> tuple[Rule, ...]:
    return (Rule(name="all", backends=(BACKEND,), cache=Cache.model_validate({"ttl": 1, **settings})),)


CASES: dict[str, Case] = {
    "slashes": Case((ALL,), get(target(b"/")), PLAIN_PATH),
    "slashes, 60 prefixes": Case(PREFIXES, get(target(b"/")), PLAIN_PATH),
    "segments of 60 prefixes": Case(PREFIXES, get(target(b"/a", b"")), PLAIN_PATH),
    "a prefix of 500 segments": Case(
        (*paths((PathMatch(value="/a" * 500),)), ALL), get(target(b"/a", b"")), PLAIN_PATH
    ),
    "slashes, 30 patterns": Case(PATTERNS, get(target(b"/")), PLAIN_PATH),
    "an escape in every byte": Case(PREFIXES, get(target(b"%61")), PLAIN_PATH),
    "broken escapes": Case(PREFIXES, get(target(b"%")), PLAIN_PATH),
    "escaped slashes": Case(PREFIXES, get(target(b"%2F")), PLAIN_PATH),
    "escaped slashes, any rule": Case((ALL,), get(target(b"%2F")), PLAIN_PATH),
    "escaped slashes, 30 patterns": Case(PATTERNS, get(target(b"%2f")), PLAIN_PATH),
    "path parameters": Case(PREFIXES, get(target(b"/;", b"/x")), PLAIN_PATH),
    "dot segments with parameters": Case(PREFIXES, get(target(b"/z/..;", b"/x")), PLAIN_PATH),
    "all that is ambiguous": Case(PREFIXES, get(target(b"//..;%2F%5C;.%2fx", b"/x")), PLAIN_PATH),
    "all that is ambiguous, 30 patterns": Case(PATTERNS, get(target(b"//..;%2F%5C;.%2fx", b"/x")), PLAIN_PATH),
    "parameters, 60 query rules": Case(QUERY_RULES, PARAMETERS, ONE_PARAMETER),
    "escaped parameters, 60 query rules": Case(QUERY_RULES, ESCAPED_PARAMETERS, ONE_PARAMETER),
    "parameters, 16 limits": Case(LIMITED, PARAMETERS, ONE_PARAMETER, (QUERY_LIMITS,)),
    "parameters and semicolons, 16 limits": Case(LIMITED, SEMICOLONS, ONE_PARAMETER, (QUERY_LIMITS,)),
    "90 fields, 60 header rules": Case(
        HEADER_RULES, get(b"/", *(b"X-%d: %b" % (n, b"x" * 80) for n in range(90))), get(b"/", b"X: " + b"x" * SIZE)
    ),
    "one field 90 times, 60 header rules": Case(
        HEADER_RULES, get(b"/", *([b"X-1: " + b"x" * 80] * 90)), get(b"/", b"X: " + b"x" * SIZE)
    ),
    "90 fields with new names": Case(
        (ALL,),
        get(b"/", *(b"X-%d-@: %b" % (n, b"x" * 70) for n in range(90))),
        get(b"/", *(b"X-%d: %b" % (n, b"x" * 70) for n in range(90))),
    ),
    "2,600 names in Connection": Case(
        (ALL,),
        get(b"/", b"Connection: " + b",".join(one + other for one in LETTERS for other in LETTERS)[:SIZE]),
        get(b"/", b"X: " + b"x" * SIZE),
    ),
    "30 KB of directives, cached": Case(
        cached(), get(b"/", b"Cache-Control: " + b"a," * 15_000), get(b"/", b"X: " + b"x" * 30_000)
    ),
    "30 KB of quotes, cached": Case(
        cached(), get(b"/", b"Cache-Control: " + b'""' * 15_000), get(b"/", b"X: " + b"x" * 30_000)
    ),
    "30 KB of Connection": Case((ALL,), get(b"/", b"Connection: " + b"a," * 15_000), get(b"/", b"X: " + b"x" * 30_000)),
    "an origin, 60 wildcards": Case(
        ORIGINS, get(b"/", b"Origin: https://" + b"a." * 3990 + b"9.example"), get(b"/", b"X: " + b"x" * SIZE)
    ),
    "a new prefix": Case(
        (Rule(name="all", backends=(BACKEND,), rewrite=Rewrite(path=NewPath(prefix="/v1"))),),
        get(target(b"/")),
        PLAIN_PATH,
    ),
    "a redirect": Case((Rule(name="all", redirect=Redirect(status=302, path=NewPath(prefix="/v1"))),),
        get(target(b"/")), PLAIN_PATH,
    ),
    "parameters in a cache key, sorted": Case(cached(query_sort=True), PARAMETERS, ONE_PARAMETER),
    "parameters in a cache key, excluded": Case(cached(query_exclude=("b", "c")), PARAMETERS, ONE_PARAMETER),
    "parameters in a cache key, included": Case(cached(query_include=("a",)), PARAMETERS, ONE_PARAMETER),
}  # fmt: skip


class Cost(NamedTuple):
    """Seconds a request."""

    hostile: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.hostile / self.plain


def connected(case: Case) -> tuple[ClientConnection, UpstreamConnection]:
    """Return a client connection, and the one idle upstream connection behind it."""
    config = ConfigDocument(
        address_policy="Standalone",
        routes=(Route(id="demo/all", rules=case.rules),),
        policies=case.policies,
    )
    gateway = Gateway(Settings(), AccessLog(0, enabled=False))
    completed(gateway.live.accepting(config, EndpointsDocument()))
    endpoint = gateway.pools.endpoint("127.0.0.1", 1, tls=False, is_name=False)
    upstream = UpstreamConnection(endpoint)
    upstream.connection_made(Transport())
    endpoint.idle.append(upstream)
    client = gateway.client_connection()
    client.connection_made(Transport())
    return client, upstream


def sender(case: Case) -> Callable[[bytes], None]:
    """Return what sends one request of a case, each with another head, and answers it as the upstream."""
    client, upstream = connected(case)
    numbers: Iterator[int] = iter(range(10**9))

    def send(request: bytes) -> None:
        number = b"%d" % next(numbers)
        client.data_received(b"%bX-Number: %b\r\n\r\n" % (request.replace(b"@", number), number))
        if upstream.receiver is not None:
            upstream.data_received(ANSWER)

    return send


def measure(case: Case, rounds: int = 5, requests: int = 10) -> Cost:
    """Measure a case: the best of some rounds, in turns, in this thread's CPU time."""
    send = sender(case)
    best = {case.hostile: float("inf"), case.plain: float("inf")}
    for _ in range(rounds):
        for request in best:
            started = thread_time()
            for _ in range(requests):
                send(request)
            best[request] = min(best[request], (thread_time() - started) / requests)
    return Cost(best[case.hostile], best[case.plain])


def main(rounds: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """Print what each hostile request costs."""
    worst = 0.0
    for name, case in CASES.items():
        cost = measure(case, rounds)
        worst = max(worst, cost.ratio)
        print(f"{name:<40}{cost.hostile * 1e6:>9.0f} us{cost.plain * 1e6:>9.0f} us{cost.ratio:>7.1f}")
    print(f"at most {worst:.1f} times a plain request (bound: {MOST})")
    if worst > MOST:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
