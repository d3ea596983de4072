"""The stages of a request, in the one order there is. Each asks the core for a decision, performs it, and goes on.

A stage returns True to go on, and False when the exchange has its answer or waits for one.
"""

from collections.abc import Callable
from math import ceil

from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.limits import token_bucket
from inferway_dataplane.core.limits.token_bucket import Bucket
from inferway_dataplane.core.messages import methods, problems
from inferway_dataplane.core.routing import url_rewrite
from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.engine.exchange import local_reply, upstream_head
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.upstream_request import UpstreamRequest
from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.observability.stats import count_in

Stage = Callable[[Exchange], bool]


def identify(exchange: Exchange) -> bool:
    """Who asks, and under which id it is told."""
    client = exchange.client
    head = exchange.head
    exchange.request_id, exchange.span_id = exchange.gateway.next_id()
    if client.is_trusted:
        if head.block.forwarded_for is not None:
            exchange.client_ip = exchange.gateway.trusted.client(client.peer, head.block.forwarded_for)
        if head.block.request_id is not None and upstream_head.is_well_formed_id(head.block.request_id):
            exchange.request_id = head.block.request_id
    return True


def admit(exchange: Exchange) -> bool:
    """Whether there is room for one more request in flight."""
    gateway = exchange.gateway
    gateway.in_flight += 1
    if gateway.in_flight <= gateway.max_in_flight:
        return True
    count_in(gateway.stats.shed, "in_flight" if gateway.max_in_flight else "memory")
    return local_reply.refuse(exchange, problems.SHED)


def route(exchange: Exchange) -> bool:
    """Which rule, and what a rule answers by itself."""
    if exchange.problem is not None:
        return local_reply.refuse(exchange, exchange.problem)
    runtime = exchange.gateway.live
    if runtime is None:
        return local_reply.refuse(exchange, problems.NO_ROUTE)
    exchange.runtime = runtime
    head = exchange.head
    if head.path == b"*":
        return local_reply.answer(exchange, 204, b"allow: %b\r\n" % methods.ALLOW)
    if head.runtime is runtime:
        entry = head.entry
    else:
        entry = head.entry = runtime.table.find(head)
        head.runtime, head.cache_key = runtime, None
    if entry is None:
        return local_reply.refuse(exchange, problems.NO_ROUTE)
    exchange.rule = rule = entry.rule
    exchange.prefix = entry.path
    exchange.stats = rule.stats
    if rule.problem is not None:
        return local_reply.refuse(exchange, rule.problem)
    if head.block.content_length > rule.max_request_body or exchange.body_size > rule.max_request_body:
        return local_reply.refuse(exchange, problems.BODY_TOO_LARGE)
    return True


def limit(exchange: Exchange) -> bool:
    """Take from every bucket, or from none."""
    rule = exchange.rule
    if rule is None:
        return True
    now = exchange.started
    client_ip = exchange.client_ip
    head = exchange.head
    questions: list[token_bucket.LimitCheck] = []
    for bucket, key_of in rule.limits:
        questions.append((bucket, token_bucket.SHARED_KEY if key_of is None else key_of(head, client_ip), 1))
    refusing, tats = token_bucket.check(questions, now)
    if refusing is not None:
        return _refuse_by_limit(exchange, refusing, questions, tats, now)
    if rule.limit_headers is not None:
        exchange.limit_lines = rule.limit_headers.lines(tats, now)
    return True


def _refuse_by_limit(
    exchange: Exchange, refusing: Bucket, questions: list[token_bucket.LimitCheck], tats: list[float], now: float
) -> bool:
    rule = exchange.rule
    refusing.dropped += 1
    key = next(key for bucket, key, _ in questions if bucket is refusing)
    retry = refusing.level(key, now, 1, limited=True).retry
    after = max(1, ceil(retry - 1e-9)) if retry >= 0 else 0
    if rule is not None and rule.limit_headers is not None:
        exchange.limit_lines = rule.limit_headers.lines(tats, now, refusing, after)
    extra: dict[str, object] = {"limit": refusing.name, "policy": refusing.policy}
    if after:
        extra["retryAfter"] = after
    return local_reply.refuse(exchange, problems.RATE_LIMITED, b"retry-after: %d\r\n" % after if after else b"", extra)


def respond(exchange: Exchange) -> bool:
    """What the rule answers by itself: preflights, redirects, direct responses. They are limited like all else."""
    rule = exchange.rule
    if rule is None:
        return True
    if rule.cors is not None:
        fields = rule.cors.preflight(exchange.head)
        if fields is not None:
            return local_reply.answer(exchange, 204, serialize.lines(fields))
    if rule.redirect is not None:
        location = url_rewrite.location(rule.redirect, exchange.head, exchange.prefix, exchange.client.scheme)
        return local_reply.answer(exchange, rule.redirect.status, _edited(exchange, [(b"location", location)]))
    if rule.respond is not None:
        own = rule.respond
        return local_reply.answer(
            exchange, own.status, _edited(exchange, []), own.content_type.encode(), own.body.encode()
        )
    return True


def _edited(exchange: Exchange, fields: list[tuple[bytes, bytes]]) -> bytes:
    edits = exchange.rule.response_edits if exchange.rule is not None else None
    return serialize.lines(edits.apply(fields) if edits is not None else fields)


def cache(exchange: Exchange) -> bool:
    """Answer from the store, or remember where the answer will go."""
    rule = exchange.rule
    if rule is None or rule.cache is None:
        return True
    head = exchange.head
    if head.method not in (b"GET", b"HEAD"):
        return _bypass(exchange, "method")
    if head.block.has_body:
        return _bypass(exchange, "body")
    if head.block.has_dropped:
        # The upstream will not see a field that the key would be made of: its answer is not for those who sent it.
        return _bypass(exchange, "connection")
    no_use, no_store = freshness.request_forbids(head) if head.block.caching else (False, False)
    if no_store:
        return _bypass(exchange, "request")
    gateway = exchange.gateway
    key = head.cache_key
    if key is None:
        key = head.cache_key = rule.cache.key(head, gateway.secret)
    if not no_use:
        stored = gateway.store.find(key, head, exchange.started)
        if stored is not None:
            rule.stats.fresh_hits += 1
            local_reply.put_stored(exchange, stored)
            return False
    rule.stats.misses += 1
    exchange.outcome = "MISS"
    exchange.cache_key = key
    return True


def _bypass(exchange: Exchange, reason: str) -> bool:
    exchange.outcome = "BYPASS"
    count_in(exchange.stats.bypasses, reason)
    return True


def forward(exchange: Exchange) -> bool:
    """Choose where it goes, and send it there."""
    rule = exchange.rule
    if rule is None:
        return local_reply.refuse(exchange, problems.NO_ROUTE)
    if not rule.breaker.enter():
        count_in(exchange.stats.upstream_errors, problems.OVERLOAD.code)
        return local_reply.refuse(exchange, problems.OVERLOAD)
    exchange.tries = UpstreamRequest(exchange, rule)
    if exchange.head.block.expects_continue and not exchange.is_request_complete:
        exchange.client.write(serialize.CONTINUE)
    exchange.tries.begin(exchange.started)
    return False


ORDER: tuple[tuple[Stage, Callable[[Rule], bool]], ...] = (
    # after `identify` and `route`, by which the rule is known: each with the rules that need it
    (limit, lambda rule: bool(rule.limits)),  # before the cache: what is refused costs no more than this
    (respond, lambda rule: bool(rule.cors or rule.redirect or rule.respond)),
    (cache, lambda rule: rule.cache is not None),
    (forward, lambda rule: True),
)


def needed(rule: Rule) -> tuple[Stage, ...]:
    """The stages of a rule. A feature costs only those who use it."""
    return tuple(stage for stage, is_needed in ORDER if is_needed(rule))


def begin(exchange: Exchange) -> None:
    """Run a request through its stages until one of them holds it."""
    if identify(exchange) and admit(exchange) and route(exchange) and exchange.rule is not None:
        exchange.stages = iter(exchange.rule.stages)
        exchange.advance()
