"""Rules: their names, time limits, sizes and caching, and that each of them has an action."""

from inferway_contract import document, values
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft


def check_names(draft: Draft) -> None:
    """Report names that two rules of a route have; the first rule keeps the name."""
    for route in draft.new_routes():
        owners: dict[str, int] = {}
        for rule in route.rules:
            name = rule.source.name
            owner = owners.setdefault(name, rule.source.index)
            if owner != rule.source.index:
                rule.add_error(
                    f"{messages.quoted(name)} is the name of rules[{owner}] too: use different names", "name"
                )


def translate_bounds(draft: Draft) -> None:
    """Translate time limits and sizes of every valid rule."""
    for _, rule in draft.new_rules():
        source = rule.source.rule
        if source is None:
            continue
        timeouts = source.timeouts
        rule.parts["timeouts"] = document.Timeouts(
            connect=values.milliseconds(timeouts.connect),
            # The default of one try is the limit of the whole request.
            backend_request=values.milliseconds(timeouts.backend_request or timeouts.request),
            request=values.milliseconds(timeouts.request),
            stream_idle=values.milliseconds(timeouts.stream_idle),
            upstream_idle=None if timeouts.upstream_idle is None else values.milliseconds(timeouts.upstream_idle),
        )
        rule.parts["max_request_body"] = values.size(source.limits.max_request_body)
        rule.parts["max_response_header"] = values.size(source.limits.max_response_header)


def translate_cache(draft: Draft) -> None:
    """Translate the cache settings of every valid rule."""
    for _, rule in draft.new_rules():
        cache = rule.source.rule.cache if rule.source.rule is not None else None
        if cache is None:
            continue
        rule.parts["cache"] = document.Cache(
            ttl=None if cache.ttl is None else values.milliseconds(cache.ttl),
            max_ttl=values.milliseconds(cache.max_ttl),
            statuses=cache.status_codes,
            key_host=cache.key.host,
            query_include=cache.key.query.include,
            query_exclude=cache.key.query.exclude,
            query_sort=cache.key.query.sort,
            key_headers=tuple(dict.fromkeys(name.lower() for name in cache.key.headers)),
            identity=cache.identity,
            store_private=cache.store_private,
            max_body=values.size(cache.max_body),
            status_header=cache.status_header,
        )


def require_action(draft: Draft) -> None:
    """Report rules without any action: they would leave their requests to a broader rule."""
    for _, rule in draft.new_rules():
        source = rule.source.rule
        if source is not None and not source.backend_refs and rule.redirect is None and rule.respond is None:
            rule.add_error("no action: add backendRefs, or a filter RequestRedirect or DirectResponse")
