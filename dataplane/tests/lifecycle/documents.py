"""The documents of the model: a rule for each way that an exchange can take, and a second document to reload."""

from inferway_contract.document import (
    Backend,
    Cache,
    CircuitBreaker,
    ConfigDocument,
    DirectResponse,
    Limit,
    LoadBalancer,
    Match,
    PathMatch,
    Policy,
    Retry,
    Route,
    Rule,
    Target,
    Timeouts,
    Url,
)


def _backend(host: int, priority: int = 0) -> Backend:
    return Backend(url=Url(scheme="http", host=f"192.0.2.{host}", port=80), priority=priority)


def _match(path: str) -> tuple[Match, ...]:
    return (Match(path=PathMatch(type="Exact", value=path)),)


_TIMES = Timeouts(connect=2_000, backend_request=10_000, request=20_000, stream_idle=30_000)
_RETRY = Retry(
    attempts=2,
    statuses=(503,),
    conditions=("ConnectFailure", "Reset", "Timeout"),
    methods=("GET", "HEAD", "PUT", "POST"),
    backoff=25,
)

PATHS = (
    b"/plain",
    b"/retry",
    b"/cached",
    b"/limited",
    b"/narrow",
    b"/direct",
    b"/small",
    b"/ewma",
    b"/hashed",
    b"/nowhere",
    b"/slow",
)
"""A target of each rule; `/nowhere` has none."""

_FIRST = (
    Rule(name="plain", matches=_match("/plain"), backends=(_backend(1),), timeouts=_TIMES),
    Rule(
        name="retry",
        matches=_match("/retry"),
        backends=(_backend(2), _backend(3), _backend(4, 1)),
        retry=_RETRY,
        circuit_breaker=CircuitBreaker(consecutive_failures=2, open_for=1_000),
        timeouts=_TIMES,
    ),
    Rule(name="cached", matches=_match("/cached"), backends=(_backend(1),), cache=Cache(ttl=60_000), timeouts=_TIMES),
    Rule(name="limited", matches=_match("/limited"), backends=(_backend(1),), timeouts=_TIMES),
    Rule(
        name="narrow",
        matches=_match("/narrow"),
        backends=(_backend(5),),
        circuit_breaker=CircuitBreaker(max_requests=2, max_pending=1),
        retry=_RETRY,
        timeouts=_TIMES,
    ),
    Rule(
        name="direct",
        matches=_match("/direct"),
        respond=DirectResponse(status=200, body="direct", content_type="text/plain"),
    ),
    Rule(
        name="small",
        matches=_match("/small"),
        backends=(_backend(1),),
        max_request_body=20,
        circuit_breaker=CircuitBreaker(max_requests=1),
        timeouts=_TIMES,
    ),
    Rule(
        name="ewma",
        matches=_match("/ewma"),
        backends=(_backend(6), _backend(7)),
        load_balancer=LoadBalancer(type="PeakEWMA"),
        timeouts=_TIMES,
    ),
    Rule(
        name="hashed",
        matches=_match("/hashed"),
        backends=(_backend(6), _backend(7)),
        load_balancer=LoadBalancer(type="ConsistentHash"),
        timeouts=_TIMES,
    ),
    Rule(
        name="slow",
        matches=_match("/slow"),
        backends=(_backend(8),),
        timeouts=Timeouts(request=0, backend_request=0, stream_idle=0),
    ),
)
_POLICIES = (
    Policy(
        id="demo/p",
        targets=(Target(route="a", rule="limited"),),
        limits=(Limit(name="l", requests=1, per=60_000, burst=2),),
    ),
)

DOCUMENTS = (
    ConfigDocument(address_policy="Standalone", routes=(Route(id="demo/a", rules=_FIRST),), policies=_POLICIES),
    ConfigDocument(
        address_policy="Standalone",
        routes=(Route(id="demo/a", rules=(*_FIRST[1:3], _FIRST[4].model_copy(update={"backends": (_backend(9),)}))),),
    ),
)
