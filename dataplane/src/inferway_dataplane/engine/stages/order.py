"""The order of the stages. A stage asks the core for a decision and performs it.

A stage returns True if the next one follows, and False if the exchange has its response or waits for one
(`exchange/suspension.py`: for a coroutine, for the body).
"""

from collections.abc import Callable

from inferway_dataplane.core.rule import Rule
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.stages.cache import cache
from inferway_dataplane.engine.stages.forward import forward
from inferway_dataplane.engine.stages.limit import limit
from inferway_dataplane.engine.stages.respond import preflight, respond
from inferway_dataplane.engine.stages.route import admit, route

Stage = Callable[[Exchange], bool]

ORDER: tuple[tuple[Stage, Callable[[Rule], bool]], ...] = (
    # After those of `route`, which select the rule. Each has the rules that need it.
    (limit, lambda rule: bool(rule.limits)),  # before the cache, so that a refused request costs no more than this
    (respond, lambda rule: rule.responses is not None),
    (cache, lambda rule: rule.cache is not None),
    (forward, lambda rule: True),
)

# A preflight that the rule answers by itself is free of limits: it carries no credentials, so all clients would share one
# bucket, and it costs no more than a refusal. Any other OPTIONS request goes through the stages of its rule.
PREFLIGHT: tuple[Stage, ...] = (preflight,)


def stages_of(rule: Rule) -> tuple[Stage, ...]:
    """The stages that a rule needs. A feature costs nothing where it is not used."""
    return tuple(stage for stage, is_needed in ORDER if is_needed(rule))


def begin(exchange: Exchange) -> None:
    """Run a request through its stages until one of them holds it."""
    try:
        exchange.identify()
        if admit(exchange) and route(exchange):
            exchange.advance()
    except Exception:
        local_reply.fail(exchange)
